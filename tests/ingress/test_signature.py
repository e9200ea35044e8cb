"""Only signed bodies are parsed. PING and rejections need neither Django nor a database."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from nacl.signing import SigningKey

from discord_api.signature import verify
from interactions_lambda.handler import handler
from interactions_lambda.verification import MAX_BODY

from .conftest import KEY, event, payload

# RFC 8032, section 7.1: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]


@pytest.mark.parametrize(("public_key", "message", "signature"), RFC_8032)
def test_agrees_with_the_rfcs_vectors(public_key: str, message: str, signature: str) -> None:
    body = bytes.fromhex(message)
    assert verify(public_key, signature, "", body)
    assert not verify(public_key, signature, "", body + b"x")
    assert not verify(public_key, ("0" if signature[0] != "0" else "1") + signature[1:], "", body)


def test_refuses_the_other_form_of_a_good_signature() -> None:
    # Malleability: S + L verifies in implementations that do not check the range of S.
    order = 2**252 + 27742317777372353535851937790883648493
    good = KEY.sign(b"1hello").signature
    assert verify(KEY.verify_key.encode().hex(), good.hex(), "1", b"hello")
    twisted = good[:32] + (int.from_bytes(good[32:], "little") + order).to_bytes(32, "little")
    assert not verify(KEY.verify_key.encode().hex(), twisted.hex(), "1", b"hello")


@pytest.mark.parametrize("public_key", ["", "zz", "00", "é" * 64, "0" * 64])
def test_a_broken_public_key_verifies_nothing(public_key: str) -> None:
    assert not verify(public_key, KEY.sign(b"1").signature.hex(), "1", b"")


def test_answers_ping() -> None:
    answer = handler(event(json.dumps(payload("ping")).encode()), None)
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "application/json"
    assert answer["headers"]["Access-Control-Allow-Origin"] == "https://discord.com"
    assert json.loads(answer["body"]) == {"type": 1}


def test_verifies_the_raw_bytes_of_a_base64_body() -> None:
    answer = handler(event(json.dumps(payload("ping")).encode(), as_base64=True), None)
    assert answer["statusCode"] == 200


def test_reads_header_names_in_any_case() -> None:
    request = event(json.dumps(payload("ping")).encode())
    request["headers"] = {name.title(): value for name, value in request["headers"].items()}
    assert handler(request, None)["statusCode"] == 200


GOOD = KEY.sign(b"1" + b"{}").signature.hex()


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0",
        GOOD[:-1],
        GOOD + "00",
        "zz" * 64,
        "é" * 128,
        "0x" + GOOD[2:],
        GOOD[:64] + " " * 64,
        GOOD.replace(GOOD[0], "g", 1),
        SigningKey(b"\x08" * 32).sign(b"1{}").signature.hex(),
        "00" * 64,
    ],
)
def test_refuses_a_bad_signature(signature: str) -> None:
    assert handler(event(b"{}", timestamp="1", signature=signature), None)["statusCode"] == 401


@pytest.mark.parametrize("missing", ["x-signature-ed25519", "x-signature-timestamp"])
def test_refuses_a_missing_header(missing: str) -> None:
    request = event(json.dumps(payload("ping")).encode())
    del request["headers"][missing]
    assert handler(request, None)["statusCode"] == 401


def test_refuses_a_changed_body_and_a_changed_timestamp() -> None:
    request = event(b'{"type":1}')
    assert handler(request | {"body": '{"type":1} '}, None)["statusCode"] == 401
    request["headers"]["x-signature-timestamp"] += "0"
    assert handler(request, None)["statusCode"] == 401


def test_without_a_public_key_nothing_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISCORD_PUBLIC_KEY")
    assert handler(event(json.dumps(payload("ping")).encode()), None)["statusCode"] == 401


@pytest.mark.parametrize("age", [301, 3600, -301, 10**9])
def test_refuses_a_replay(age: int) -> None:
    body = json.dumps(payload("slash")).encode()
    assert handler(event(body, timestamp=str(int(time.time()) - age)), None)["statusCode"] == 401


@pytest.mark.parametrize("timestamp", ["", "now", "1e9", "-5", "١٢٣", "9" * 40])
def test_refuses_a_timestamp_that_is_none(timestamp: str) -> None:
    body = json.dumps(payload("slash")).encode()
    assert handler(event(body, timestamp=timestamp), None)["statusCode"] == 401


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b'"x"', b"null", b"\xff\xfe", b'{"a":"\xff"}', b"[" * 100_000, b'{"a":' + b"9" * 5000],
)
def test_a_signed_body_that_is_no_json_object_is_a_bad_request(body: bytes) -> None:
    assert handler(event(body, as_base64=True), None)["statusCode"] == 400


def test_a_body_that_is_not_the_promised_base64_is_a_bad_request() -> None:
    assert handler(event(b"{}") | {"isBase64Encoded": True, "body": "%%%"}, None)["statusCode"] == 400


def test_a_huge_body_is_refused_before_it_is_read() -> None:
    assert handler(event(b'{"type":1,"x":"' + b"a" * MAX_BODY + b'"}'), None)["statusCode"] == 413
    assert handler(event(b" " * 1_048_576), None)["statusCode"] == 413


@pytest.mark.parametrize("broken", [{}, {"headers": None, "body": None}, {"headers": {"a": 1}, "body": 5}])
def test_an_event_that_is_no_http_request_is_refused(broken: dict[str, object]) -> None:
    assert handler(broken, None)["statusCode"] in (400, 401)


def test_other_methods_are_refused_and_preflight_is_answered() -> None:
    assert handler(event(b"", method="GET"), None)["statusCode"] == 405
    answer = handler(event(b"", method="OPTIONS"), None)
    assert answer["statusCode"] == 204
    assert answer["headers"]["Access-Control-Allow-Methods"] == "POST,OPTIONS"


_FRESH_PROCESS = """
import json, os, sys
os.environ["DISCORD_PUBLIC_KEY"] = sys.argv[1]
from interactions_lambda.handler import handler
signed, forged = json.loads(sys.stdin.read())
heavy = {"django", "torch", "celery", "boto3", "psycopg", "httpx", "diffusers", "PIL"}
loaded = lambda: sorted(heavy & {name.partition(".")[0] for name in sys.modules})
answers = [loaded(), handler(signed, None)["statusCode"], handler(forged, None)["statusCode"], loaded()]
print(json.dumps(answers))
"""


@pytest.mark.processes
def test_ping_and_a_bad_signature_are_answered_without_loading_django() -> None:
    signed = event(json.dumps(payload("ping")).encode())
    forged = json.loads(json.dumps(signed))
    forged["headers"]["x-signature-ed25519"] = "00" * 64
    done = subprocess.run(
        [sys.executable, "-c", _FRESH_PROCESS, KEY.verify_key.encode().hex()],
        input=json.dumps([signed, forged]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == [[], 200, 401, []]
