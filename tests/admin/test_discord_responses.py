"""Whatever Discord responds during sign-in, the member is signed in or asked to try again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from guilds.models import Staff
from sparkle_site.accounts.discord import responses

GUILD = 1_200_000_000_000_000_077
TOKEN = {"access_token": "a-token", "token_type": "Bearer", "expires_in": 604800, "refresh_token": "r", "scope": "x"}
USER = {"id": "900000000000000077", "username": "chiyo", "global_name": "Chiyo", "avatar": None}
SERVER = {"id": str(GUILD), "name": "Pixel Garden", "icon": None, "owner": True, "permissions": "0"}


class Discord:
    """A Discord that answers what a test has put into `says`, as bytes by the last part of the path."""

    def __init__(self) -> None:
        self.says: dict[str, bytes] = {}
        self.status = 200
        self.content_type = "application/json"
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                content = owner.says[urlsplit(self.path).path.rsplit("/", 1)[-1]]
                self.send_response(owner.status)
                if owner.content_type:
                    self.send_header("Content-Type", owner.content_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _answer  # noqa: N815

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.says = {"token": _json(TOKEN), "@me": _json(USER), "guilds": _json([SERVER])}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture
def discord(settings: Any, db: None) -> Iterator[Discord]:
    found = Discord()
    base = f"http://127.0.0.1:{found.server.server_port}"
    settings.DISCORD_API_BASE = f"{base}/api/v10"
    settings.DISCORD_OAUTH_BASE = f"{base}/oauth2"
    yield found
    found.server.shutdown()
    found.server.server_close()


def sign_in() -> Any:
    client = Client()
    asked = client.post("/accounts/discord/login/")
    state = parse_qs(urlsplit(asked["Location"]).query)["state"][0]
    return client.get("/accounts/discord/login/callback/", {"code": "c", "state": state})


def test_what_discord_documents_signs_in(discord, make_guild):
    make_guild(id=GUILD)
    assert sign_in().status_code == 302
    assert Staff.objects.get(guild_id=GUILD).role == "owner"


DEEP = b"[" * 100_000 + b"]" * 100_000
ODD = [b"", b"null", b"true", b"7", b'"text"', b"[]", b"{}", b"[[]]", b"[null]", b"<html>", b"\xff\xfe", DEEP, b"NaN",
       b'{"id": NaN}', b"9" * 5000, b"[" + b"9" * 5000 + b"]", b" " * 3_000_000, b'{"error": "x"}']  # fmt: skip
ODD_USERS = [
    [USER], {**USER, "id": None}, {**USER, "id": 7}, {**USER, "id": ""}, {**USER, "id": "-1"}, {**USER, "id": "x"},
    {**USER, "id": "0"}, {**USER, "id": "9" * 30}, {**USER, "id": str(2**63)}, {**USER, "id": "٣"}, {**USER, "id": [1]},
    {**USER, "id": True}, {**USER, "username": 7}, {**USER, "username": {}}, {**USER, "global_name": ["x"]},
    {**USER, "avatar": 5}, {key: value for key, value in USER.items() if key != "id"},
]  # fmt: skip
ODD_SERVERS = [
    {}, SERVER, "x", [SERVER, None], [SERVER, 7], [[SERVER]], [{**SERVER, "id": None}], [{**SERVER, "id": 7.5}],
    [{**SERVER, "id": "x"}], [{**SERVER, "id": "9" * 25}], [{**SERVER, "permissions": "x"}], [{}],
    [{**SERVER, "permissions": -1}], [{**SERVER, "permissions": [8]}], [{**SERVER, "permissions": "9" * 5000}],
    [{**SERVER, "owner": "yes"}], [{**SERVER, "owner": 1}], [{**SERVER, "name": {}}], [{**SERVER, "icon": []}],
]  # fmt: skip
ODD_TOKENS = [
    [TOKEN], {"access_token": None}, {"access_token": 7}, {"access_token": ["x"]}, {"access_token": ""},
    {"access_token": "a\r\nX-Other: b"}, {"access_token": "ключ"}, {"access_token": "x" * 5000},
]  # fmt: skip


# An empty list of servers is right.
WRONG = [
    (part, content) for part in ("token", "@me", "guilds") for content in ODD if (part, content) != ("guilds", b"[]")
]


@pytest.mark.parametrize(("part", "content"), WRONG)
def test_an_answer_of_the_wrong_kind_is_a_page_that_says_so(discord, part, content):
    discord.says[part] = content
    refused(sign_in())


@pytest.mark.parametrize("answer", ODD_USERS)
def test_a_user_of_the_wrong_kind_is_not_signed_in(discord, answer):
    discord.says["@me"] = _json(answer)
    refused(sign_in())


@pytest.mark.parametrize("answer", ODD_SERVERS)
def test_servers_of_the_wrong_kind_give_no_rights(discord, answer, make_guild):
    make_guild(id=GUILD)
    discord.says["guilds"] = _json(answer)
    refused(sign_in())
    assert not Staff.objects.exists()


@pytest.mark.parametrize("answer", ODD_TOKENS)
def test_a_token_of_the_wrong_kind_signs_nobody_in(discord, answer):
    discord.says["token"] = _json(answer)
    refused(sign_in())


def test_a_token_with_an_odd_lifetime_still_signs_in(discord):
    for lifetime in ("soon", -1, 10**30, None, [1]):
        discord.says["token"] = _json({**TOKEN, "expires_in": lifetime, "refresh_token": {}})
        assert sign_in().status_code == 302


@pytest.mark.parametrize("status", [204, 301, 400, 401, 429, 500, 503])
def test_a_refusal_is_a_page_that_says_so(discord, status):
    discord.status = status
    if status == 204:
        discord.says = dict.fromkeys(discord.says, b"")
    refused(sign_in())


@pytest.mark.parametrize("content_type", ["", "text/html", "application/json; charset=utf-16", "x"])
def test_the_content_type_does_not_matter(discord, content_type):
    discord.content_type = content_type
    assert sign_in().status_code == 302


def test_names_are_taken_as_far_as_they_can_be_kept(discord, make_guild):
    make_guild(id=GUILD, name="before")
    discord.says["@me"] = b'{"id": "900000000000000077", "username": null, "global_name": "a\\u0000b\\ud800c"}'
    discord.says["guilds"] = _json([{**SERVER, "name": None}])
    assert sign_in().status_code == 302
    assert User.objects.get().first_name == "abc"
    assert Staff.objects.get().guild.name == "before"


def refused(answer: Any) -> None:
    assert answer.status_code == 401
    assert "Sign-in failed" in answer.text
    assert "Try again" in answer.text
    assert not User.objects.exists()


def test_a_name_is_cut_to_what_its_column_holds():
    assert len(responses.servers([{**SERVER, "name": "x" * 5000}])[0].name) == 100
