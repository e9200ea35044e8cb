"""A doorbell on the wire, and what becomes of one that does not get through."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from jobs.dispatch import send_message, sqs
from jobs.dispatch.doorbell import DispatchFailed, Doorbell
from jobs.dispatch.send_message import NotSent
from jobs.dispatch.sqs import SqsDispatcher

from .emulator import Queue

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "AWS_DEFAULT_REGION": "eu-west-1"}
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/sparkle.fifo"
MESSAGE = {"MessageBody": "{}", "MessageGroupId": "1-42", "MessageDeduplicationId": "17-1"}
DAY = timedelta(days=1)
BELL = Doorbell(job_id=17, group="1-42", dedup_id="17-1")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_SQS", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    forget()
    yield
    forget()


def forget() -> None:
    """Forget what a process keeps: who it is, its connections and its client."""
    send_message._signer.cache_clear()
    send_message._tls.cache_clear()
    for connections in send_message._idle.values():
        while connections:
            connections.pop().close()
    sqs.client.cache_clear()


@dataclass
class Wire:
    """What a queue was asked, over how many connections, and what it answers next: a status, or silence."""

    url: str = ""
    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0
    answers: list[int | None] = field(default_factory=list)
    hangs_up: bool = False
    silence: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def served(self, *, certificate: Path | None = None) -> Iterator[Wire]:
        """Answer at `url`: by TLS with the key and `certificate` in that file, if there is one."""
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                wire.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                wire.asked.append((dict(self.headers.items()), body))
                status = wire.answers.pop(0) if wire.answers else 200
                if status is None:
                    wire.silence.wait(10)
                    return
                answer = json.dumps({"MessageId": "1", "__type": "com.amazonaws.sqs#Odd"}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                # It does not say so, as a balancer's idle time-out does not.
                self.close_connection = wire.hangs_up

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            self.silence.set()
            server.shutdown()
            server.server_close()


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    with Wire().served() as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        yield found


def test_the_queue_hears_what_its_client_would_have_said(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in queue.environment.items():
        monkeypatch.setenv(name, value)
    forget()
    send_message.send(queue.url, **MESSAGE | {"MessageBody": '{"v":1,"job_id":17}'})
    (message,) = queue.sqs.receive_message(QueueUrl=queue.url, AttributeNames=["All"])["Messages"]
    assert message["Body"] == '{"v":1,"job_id":17}'
    assert message["Attributes"]["MessageGroupId"] == "1-42"
    assert message["Attributes"]["MessageDeduplicationId"] == "17-1"


def test_the_signature_is_of_what_is_on_the_wire(wire: Wire) -> None:
    send_message.send(QUEUE_URL, **MESSAGE)
    ((headers, body),) = wire.asked
    assert json.loads(body) == {"QueueUrl": QUEUE_URL, **MESSAGE}
    assert headers["X-Amz-Target"] == "AmazonSQS.SendMessage"
    assert headers["Content-Type"] == "application/x-amz-json-1.0"

    given = headers["Authorization"]
    names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert "host" in names
    received = {name: value for name, value in headers.items() if name.lower() in names}
    again = AWSRequest("POST", f"http://{headers['Host']}/", headers=received, data=body)
    again.context["timestamp"] = headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"]), "sqs", "eu-west-1")
    signature = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    assert given.endswith(f"Signature={signature}")
    assert "/eu-west-1/sqs/aws4_request" in given


def test_a_temporary_key_brings_its_token(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-the-lambdas-role")
    forget()
    send_message.send(QUEUE_URL, **MESSAGE)
    assert wire.asked[0][0]["X-Amz-Security-Token"] == "of-the-lambdas-role"


def test_a_connection_is_kept(wire: Wire) -> None:
    for _ in range(3):
        send_message.send(QUEUE_URL, **MESSAGE)
    assert len(wire.asked) == 3
    assert wire.connections == 1


def test_a_connection_that_the_queue_closed_is_replaced(wire: Wire) -> None:
    wire.hangs_up = True
    for _ in range(3):
        send_message.send(QUEUE_URL, **MESSAGE)
        # The end has to arrive.
        threading.Event().wait(0.05)
    assert wire.connections == 3


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_what_the_queue_does_not_take_is_not_sent(wire: Wire, status: int) -> None:
    wire.answers = [status]
    with pytest.raises(NotSent, match=str(status)):
        send_message.send(QUEUE_URL, **MESSAGE)
    send_message.send(QUEUE_URL, **MESSAGE)


def test_what_fails_is_left_to_the_client_with_the_same_deduplication(wire: Wire) -> None:
    wire.answers = [500]
    SqsDispatcher(queue_url=QUEUE_URL).ring([BELL])
    first, second = (json.loads(body) for _, body in wire.asked)
    assert first == second
    assert first["MessageDeduplicationId"] == "17-1"


def test_a_queue_that_goes_on_failing_is_one_error(wire: Wire) -> None:
    wire.answers = [500] * 10
    with pytest.raises(DispatchFailed):
        SqsDispatcher(queue_url=QUEUE_URL).ring([BELL])


def test_silence_ends_after_a_second_and_is_no_answer_to_the_next(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_message, "TIMEOUT_S", 0.2)
    wire.answers = [None]
    with pytest.raises(NotSent, match="TimeoutError"):
        send_message.send(QUEUE_URL, **MESSAGE)
    send_message.send(QUEUE_URL, **MESSAGE)
    assert wire.connections == 2


def test_nobody_there_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(NotSent, match="ConnectionRefusedError"):
        send_message.send(QUEUE_URL, **MESSAGE)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and its own certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the queue")])
    today = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), today - DAY, today + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path / "queue.pem"
    file.write_bytes(secret + made.public_bytes(pem))
    return file


def test_a_queue_is_believed_by_its_certificate_alone(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire().served(certificate=certificate) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        with pytest.raises(NotSent, match="SSLCertVerificationError"):
            send_message.send(QUEUE_URL, **MESSAGE)
        assert wire.asked == []
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        forget()
        send_message.send(QUEUE_URL, **MESSAGE)
        assert len(wire.asked) == 1
        forget()


def test_a_proxy_is_left_to_the_client(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(NotSent, match="proxy"):
        send_message.send(QUEUE_URL, **MESSAGE)
    assert wire.asked == []


def test_without_credentials_nothing_is_sent(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    forget()
    with pytest.raises(NotSent, match="no credentials"):
        send_message.send(QUEUE_URL, **MESSAGE)
    assert wire.asked == []
