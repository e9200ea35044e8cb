"""One SendMessage for half of the client's work: signed by botocore's signer, sent on a connection that stays open.

botocore's client looks up, describes and checks each call anew, and makes that much before the first one. A message
that this does not get through is left to it: it knows what to do, and a doorbell that is sent twice rings once.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
"""

from __future__ import annotations

import atexit
import functools
import http
import http.client
import json
import os
import select
import ssl
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from botocore.credentials import Credentials

TIMEOUT_S = 1.0
_HEADERS = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.SendMessage"}


class NotSent(Exception):
    """The queue has not said that it took the message. It may have taken it."""


# Open connections to the queue's host that nobody uses. A thread takes one and gives it back.
_idle: defaultdict[tuple[str, str], deque[http.client.HTTPConnection]] = defaultdict(deque)


def send(queue_url: str, **message: str) -> None:
    """Send the fields of SendMessage to the queue. Raises NotSent, after a second where nothing is heard."""
    from botocore.exceptions import BotoCoreError

    url = urlsplit(os.environ.get("AWS_ENDPOINT_URL_SQS") or os.environ.get("AWS_ENDPOINT_URL") or queue_url)
    if any(os.environ.get(name) for name in (f"{url.scheme}_proxy", f"{url.scheme}_proxy".upper())):
        raise NotSent("there is a proxy, which botocore knows how to use")
    body = json.dumps({"QueueUrl": queue_url, **message}).encode()
    try:
        status = _post(url.scheme, url.netloc, body, _signed(f"{url.scheme}://{url.netloc}/", body))
    except (OSError, http.client.HTTPException, BotoCoreError) as exc:
        raise NotSent(type(exc).__name__) from exc
    if status != http.HTTPStatus.OK:
        raise NotSent(f"the queue answered {status}")


def prepare() -> None:
    """Load what sending needs, and connect to nothing."""
    _signer()
    _tls()


def _post(scheme: str, host: str, body: bytes, headers: Mapping[str, str]) -> int:
    connection = _connection(scheme, host)
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        answer.read()
    except BaseException:
        # Half an answer must not become the next message's.
        connection.close()
        raise
    _idle[scheme, host].append(connection)
    return answer.status


def _connection(scheme: str, host: str) -> http.client.HTTPConnection:
    try:
        connection = _idle[scheme, host].pop()
    except IndexError:
        if scheme == "https":
            return http.client.HTTPSConnection(host, timeout=TIMEOUT_S, context=_tls())
        return http.client.HTTPConnection(host, timeout=TIMEOUT_S)
    # Before a question there is nothing to read, unless the queue has closed the connection meanwhile.
    if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
        connection.close()  # It connects anew by itself.
    return connection


@atexit.register
def _close_idle() -> None:
    for connections in _idle.values():
        while connections:
            connections.pop().close()


@functools.cache
def _tls() -> ssl.SSLContext:
    from botocore.httpsession import get_cert_path

    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True))


@functools.cache
def _signer() -> tuple[Credentials | None, str | None]:
    import botocore.session

    session = botocore.session.get_session()
    # The object fetches new ones when these run out.
    return session.get_credentials(), session.get_config_variable("region")


def _signed(url: str, body: bytes) -> dict[str, str]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    credentials, region = _signer()
    if credentials is None or region is None:
        raise NotSent("no credentials or no region")
    request = AWSRequest("POST", url, headers=_HEADERS, data=body)
    SigV4Auth(credentials.get_frozen_credentials(), "sqs", region).add_auth(request)
    return dict(request.headers.items())
