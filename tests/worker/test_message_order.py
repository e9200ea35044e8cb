"""No edit follows a request's final message: neither a delayed one nor one of a stopping worker."""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError
from discord_api.payloads import Message
from gpu_worker.progress import ProgressReporter
from jobs import transitions

from .conftest import Place

WORKER = "worker-1"


def _client(server: HTTPServer) -> DiscordClient:
    return DiscordClient(server.url_for("").rstrip("/"), application_id=1, bot_token="t")


def _answer(_request: Request) -> Response:
    return Response('{"id": "7"}', content_type="application/json")


def test_an_edit_that_would_have_to_wait_is_skipped(httpserver: HTTPServer) -> None:
    limited = {"Retry-After": "0.2", "X-RateLimit-Scope": "user"}
    httpserver.expect_request("/webhooks/1/token/messages/@original").respond_with_json(
        {"message": "slow down", "retry_after": 0.2, "global": False}, status=429, headers=limited
    )
    client = _client(httpserver)
    for asked_in_all in (1, 1):
        # The second is not sent: the bucket is known to be empty.
        with pytest.raises(DiscordError):
            client.edit_original("token", Message(content="step 3"), may_wait=False)
        assert len(httpserver.log) == asked_in_all


def test_a_stopping_worker_waits_for_the_edit_in_progress(place: Place, httpserver: HTTPServer) -> None:
    arrived, let = threading.Event(), threading.Event()

    def slowly(request: Request) -> Response:
        arrived.set()
        assert let.wait(60)
        return _answer(request)

    httpserver.expect_request(re.compile("/webhooks/.*"), method="PATCH").respond_with_handler(slowly)
    job = place.ask()
    claimed = transitions.claim(job.pk, worker_id=WORKER, now=datetime.now(UTC))
    assert claimed is not None
    board = ProgressReporter(client=_client(httpserver), worker_id=WORKER, interval_s=0.01)
    board.start(stop=lambda job_id: None)
    board.open(claimed)
    assert arrived.wait(60)
    left = threading.Event()

    def leave() -> None:
        board.stop(within_s=60)
        left.set()

    leaving = threading.Thread(target=leave)
    leaving.start()
    time.sleep(0.2)
    assert not left.is_set()
    let.set()
    leaving.join(60)
    assert left.is_set()
    board.join(60)
