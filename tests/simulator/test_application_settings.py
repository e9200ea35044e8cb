"""The bot changes its own application: the simulator checks a new endpoint as Discord does, over real HTTP."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from devtools import api_gateway
from discord_api import errors
from discord_api.signature import verify

from .full_client import FullClient

Answer = Callable[[Request], Response]


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def deployed() -> Iterator[str]:
    """The address of the real handler behind the local API Gateway."""
    with make_server("127.0.0.1", 0, api_gateway.application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_real_handler_passes_the_check_and_is_saved(client_of_bot: FullClient, deployed: str, settings) -> None:
    changes = {
        "interactions_endpoint_url": f"{deployed}/interactions",
        "event_webhooks_url": f"{deployed}/events",
        "event_webhooks_status": 2,
        "event_webhooks_types": ["APPLICATION_AUTHORIZED"],
    }
    saved = client_of_bot.edit_application(changes)
    assert {name: saved[name] for name in changes} == changes
    assert client_of_bot.application() == saved
    assert saved["id"] == str(settings.DISCORD_APPLICATION_ID)
    assert saved["verify_key"] == settings.DISCORD_PUBLIC_KEY


def pong(request: Request) -> Response:
    return Response('{"type": 1}', content_type="application/json")


def silent(request: Request) -> Response:
    return Response(status=500)


def no_content(request: Request) -> Response:
    return Response(status=204)


@pytest.mark.parametrize("field", ["interactions_endpoint_url", "event_webhooks_url"])
@pytest.mark.parametrize("answer", [pong, silent, no_content])
def test_an_endpoint_that_takes_a_forgery_or_no_ping_is_not_saved(
    client_of_bot: FullClient, httpserver: HTTPServer, field: str, answer: Answer
) -> None:
    httpserver.expect_request("/here").respond_with_handler(answer)
    with pytest.raises(errors.InvalidFormBody) as refused:
        client_of_bot.edit_application({field: httpserver.url_for("/here"), "description": "new"})
    assert refused.value.code == 50035
    kept = client_of_bot.application()
    assert (kept[field], kept["description"]) == (None, "")


def test_an_endpoint_without_tls_elsewhere_is_refused_unasked(client_of_bot: FullClient) -> None:
    with pytest.raises(errors.InvalidFormBody):
        client_of_bot.edit_application({"interactions_endpoint_url": "http://example.org/interactions"})


def verifying(request: Request) -> Response:
    signature, timestamp = (request.headers.get(f"X-Signature-{part}") for part in ("Ed25519", "Timestamp"))
    if not verify(os.environ["DISCORD_PUBLIC_KEY"], signature, timestamp, request.get_data()):
        return Response(status=401)
    return pong(request)


def test_a_saved_endpoint_is_not_asked_again_and_null_removes_it(
    client_of_bot: FullClient, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/here").respond_with_handler(verifying)
    url = httpserver.url_for("/here")
    client_of_bot.edit_application({"interactions_endpoint_url": url})
    assert len(httpserver.log) == 2, "a PING and a forged one"
    client_of_bot.edit_application({"interactions_endpoint_url": url, "description": "images"})
    assert len(httpserver.log) == 2
    assert client_of_bot.edit_application({"interactions_endpoint_url": None})["interactions_endpoint_url"] is None


def test_a_wrong_token_may_not_change_it(make_client: Callable[..., FullClient]) -> None:
    with pytest.raises(errors.Unavailable) as refused:
        make_client(bot_token="wrong").edit_application({"description": "mine"})
    assert refused.value.status == 401
