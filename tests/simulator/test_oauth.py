"""Signing in with Discord, against the stand-in for its OAuth2 server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from devtools.simulator.models import SimGrant, SimUser

CALLBACK = "http://testserver/accounts/discord/login/callback/"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def asked(settings: Any) -> dict[str, str]:
    """What the site asks of Discord's page."""
    settings.DISCORD_CLIENT_SECRET = "a-secret"
    return {
        "client_id": str(settings.DISCORD_APPLICATION_ID),
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "identify guilds",
        "state": "a-state",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }


@pytest.fixture
def consent(client: Client, asked: dict[str, str]) -> Callable[..., dict[str, str]]:
    """Answer Discord's page; returns what the browser brings back to the site."""

    def consent(answer: str) -> dict[str, str]:
        response = client.post(reverse("simulator:authorize"), {"answer": answer}, query_params=asked)
        assert response.status_code == 302
        assert response["Location"].startswith(CALLBACK)
        return {name: values[0] for name, values in parse_qs(urlsplit(response["Location"]).query).items()}

    return consent


def exchange(client: Client, asked: dict[str, str], code: str, /, **changes: str) -> Any:
    body = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "client_id": asked["client_id"],
        "client_secret": "a-secret",
        "code_verifier": VERIFIER,
    }
    return client.post("/simulator/api/oauth2/token", body | changes)


def read(client: Client, token: str, path: str) -> Any:
    return client.get(
        f"/simulator/api/v10{path}", headers={"Authorization": f"Bearer {token}", "User-Agent": "python-requests/2"}
    )


def test_a_member_signs_in_and_the_token_reads_their_account_and_servers(
    client: Client, asked: dict[str, str], consent: Callable[..., dict[str, str]], ada: SimUser
) -> None:
    page = client.get(reverse("simulator:authorize"), asked)
    assert b"know which servers you are in" in page.content
    back = consent(str(ada.pk))
    assert back["state"] == "a-state"
    token = exchange(client, asked, back["code"]).json()
    assert token["token_type"] == "Bearer"
    assert read(client, token["access_token"], "/users/@me").json()["username"] == "ada"
    guilds = read(client, token["access_token"], "/users/@me/guilds?limit=200").json()
    assert [(guild["name"], guild["owner"]) for guild in guilds] == [("Pixel Garden", True), ("Retro Arcade", False)]


def test_a_member_who_has_consented_is_not_asked_again(
    client: Client, asked: dict[str, str], consent: Callable[..., dict[str, str]], ada: SimUser
) -> None:
    quietly = asked | {"prompt": "none"}
    assert client.get(reverse("simulator:authorize"), quietly).status_code == 200
    consent(str(ada.pk))
    response = client.get(reverse("simulator:authorize"), quietly)
    assert response.status_code == 302
    assert "code=" in response["Location"]


def test_a_refusal_redirects_with_an_error(consent: Callable[..., dict[str, str]], world: None) -> None:
    assert consent("cancel")["error"] == "access_denied"


def test_a_code_works_once(
    client: Client, asked: dict[str, str], consent: Callable[..., dict[str, str]], ada: SimUser
) -> None:
    code = consent(str(ada.pk))["code"]
    assert exchange(client, asked, code).status_code == 200
    assert exchange(client, asked, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "another-verifier"}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"code": "no-such-code"}, "invalid_grant"),
        ({"redirect_uri": "http://testserver/elsewhere"}, "invalid_grant"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_only_the_right_code_gets_a_token(
    client: Client,
    asked: dict[str, str],
    consent: Callable[..., dict[str, str]],
    ada: SimUser,
    changes: dict[str, str],
    error: str,
) -> None:
    code = consent(str(ada.pk))["code"]
    response = exchange(client, asked, code, **changes)
    assert response.status_code in {400, 401}
    assert response.json()["error"] == error


def test_codes_and_tokens_expire(
    client: Client, asked: dict[str, str], consent: Callable[..., dict[str, str]], ada: SimUser
) -> None:
    late = consent(str(ada.pk))["code"]
    with time_machine.travel(timezone.now() + timedelta(seconds=61)):
        assert exchange(client, asked, late).json()["error"] == "invalid_grant"
    token = exchange(client, asked, consent(str(ada.pk))["code"]).json()["access_token"]
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        assert read(client, token, "/users/@me").status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "1"},
        {"redirect_uri": "http://evil.example/accounts/discord/login/callback/"},
        {"redirect_uri": "http://testserver/elsewhere/"},
        {"response_type": "token"},
        {"scope": "identify bot"},
        {"scope": ""},
        {"code_challenge_method": "plain"},
    ],
)
def test_a_wrong_request_gets_an_error_page_and_no_redirect(
    client: Client, asked: dict[str, str], world: None, changes: dict[str, str]
) -> None:
    response = client.get(reverse("simulator:authorize"), asked | changes)
    assert response.status_code == 400
    assert b'role="alert"' in response.content


def test_a_token_reads_only_what_its_scope_names(
    client: Client, asked: dict[str, str], consent: Callable[..., dict[str, str]], ada: SimUser
) -> None:
    asked["scope"] = "identify"
    token = exchange(client, asked, consent(str(ada.pk))["code"]).json()["access_token"]
    assert read(client, token, "/users/@me").status_code == 200
    assert read(client, token, "/users/@me/guilds").status_code == 403


def test_an_unknown_token_reads_nothing(client: Client, world: None) -> None:
    assert read(client, "no-such-token", "/users/@me").status_code == 401


def test_a_refresh_token_is_exchanged_once_and_a_grant_is_revoked(db: None, settings: Any) -> None:
    settings.DISCORD_CLIENT_SECRET = "secret"
    now = timezone.now()
    user = SimUser.objects.create(pk=5, username="ada")
    SimGrant.objects.create(code="c", user=user, redirect_uri="https://x.test", scope="identify", created_at=now)
    client = {"client_id": str(settings.DISCORD_APPLICATION_ID), "client_secret": "secret"}

    def post(path: str, **fields: str) -> Any:
        return Client().post(f"/simulator/api/oauth2/{path}", client | fields)

    first = post("token", grant_type="authorization_code", code="c", redirect_uri="https://x.test").json()
    second = post("token", grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert second["access_token"] != first["access_token"]
    again = post("token", grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")

    def me(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "test"}
        return Client().get("/simulator/api/v10/users/@me", headers=headers).status_code

    assert me(first["access_token"]) == 401
    assert me(second["access_token"]) == 200
    assert post("token/revoke", token=second["access_token"]).status_code == 200
    assert me(second["access_token"]) == 401
    assert post("token", grant_type="refresh_token", refresh_token=second["refresh_token"]).status_code == 400
    assert Client().post("/simulator/api/oauth2/token/revoke", {"token": "x"}).status_code == 401
