"""The client that Django's settings make, against a real server on this machine."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from discord_api import errors
from discord_api.payloads import Message
from guilds.discord_client import from_settings


@pytest.fixture
def configured(httpserver: HTTPServer, settings: Any) -> HTTPServer:
    settings.DISCORD_API_BASE = httpserver.url_for("/api/v10/")
    settings.DISCORD_APPLICATION_ID = 1234
    settings.DISCORD_BOT_TOKEN = "the-bots-own"
    settings.SITE_URL = "https://sparkle.example"
    return httpserver


def test_the_client_is_made_from_the_settings(configured: HTTPServer) -> None:
    configured.expect_request(
        "/api/v10/applications/1234/commands", query_string="with_localizations=true"
    ).respond_with_json([{"name": "imagine"}])
    client = from_settings()
    assert client.commands() == [{"name": "imagine"}]
    client.close()
    ((request, _),) = configured.log
    assert request.headers["Authorization"] == "Bot the-bots-own"
    # Discord's form: a name, an address and a version.
    assert re.fullmatch(
        r"DiscordBot \(https://sparkle\.example, [0-9]+\.[0-9]+\.[0-9]+\)", request.headers["User-Agent"]
    )


def test_the_bots_token_is_read_when_it_is_needed_and_not_before(configured: HTTPServer, settings: Any) -> None:
    configured.expect_request("/api/v10/users/@me/channels").respond_with_json({"id": "9"})
    client = from_settings()
    settings.DISCORD_BOT_TOKEN = "a-newer-one"
    assert client.open_dm(4) == 9
    client.close()
    assert configured.log[0][0].headers["Authorization"] == "Bot a-newer-one"


def test_an_answer_that_takes_longer_than_the_timeout_is_not_waited_for(configured: HTTPServer) -> None:
    def late(request: Request) -> Response:
        time.sleep(1)
        return Response("{}", content_type="application/json")

    configured.expect_request("/api/v10/webhooks/1234/token/messages/@original").respond_with_handler(late)
    client = from_settings(timeout_s=0.1)
    with pytest.raises(errors.Unavailable):
        client.edit_original("token", Message(content="x"), may_wait=False)
    client.close()
    patient = from_settings()
    patient.edit_original("token", Message(content="x"), may_wait=False)
    patient.close()
