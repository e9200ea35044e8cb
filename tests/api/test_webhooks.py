"""Webhooks: signed, tried again, given up, and never sent into our own network."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from guilds.policy import RequestedParams
from jobs import api_keys, transitions, upkeep, webhooks
from jobs.api_models import ApiKey, ApiRequest
from jobs.submission import Accepted


@pytest.fixture
def ended(make_guild: Callable[..., Any], httpserver: HTTPServer) -> tuple[str, ApiRequest]:
    """The secret of a key with a webhook, and a request of it that has ended."""
    key = ApiKey(guild=make_guild(), name="Website", user_id=7, webhook_url=httpserver.url_for("/hook"))
    secret = api_keys.issue(key)
    made = api_keys.submit(key, RequestedParams(prompt="x"), idempotency_key=None, now=timezone.now())
    assert isinstance(made, Accepted)
    assert upkeep.send_webhooks(now=timezone.now()) == 0, "the request has not ended"
    assert transitions.cancel(made.job.pk, by=7, now=timezone.now())
    return secret, ApiRequest.objects.get(job=made.job)


@pytest.mark.django_db
def test_a_webhook_is_signed_under_the_keys_digest(ended: tuple[str, ApiRequest], httpserver: HTTPServer) -> None:
    secret, request = ended
    got: list[Request] = []
    httpserver.expect_request("/hook").respond_with_handler(lambda call: got.append(call) or Response("ok"))
    assert upkeep.send_webhooks(now=timezone.now()) == 1
    assert upkeep.send_webhooks(now=timezone.now() + timedelta(days=1)) == 0, "it is sent once"
    (call,) = got
    assert json.loads(call.data) == {"id": str(request.pk), "status": "cancelled", "reason": "cancelled_by_member"}
    # As docs/how-to/use-the-api.md tells the receiver to check it.
    stamp, sent = (part.partition("=")[2] for part in call.headers["Sparkle-Signature"].split(","))
    digest = hashlib.sha256(secret.encode()).hexdigest()
    signed = hmac.new(digest.encode(), f"{stamp}.".encode() + call.data, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(signed, sent)


@pytest.mark.django_db
def test_a_webhook_that_fails_is_tried_again_and_given_up(
    ended: tuple[str, ApiRequest], httpserver: HTTPServer
) -> None:
    _, request = ended
    httpserver.expect_request("/hook").respond_with_data("", status=500)
    at = timezone.now()
    for wait in (*webhooks.RETRY_AFTER, None):
        upkeep.send_webhooks(now=at)
        assert upkeep.send_webhooks(now=at) == 0, "not before it is due"
        request.refresh_from_db()
        assert request.webhook_after == (at + wait if wait else None)
        at += wait or timedelta()
    assert len(httpserver.log) == 1 + len(webhooks.RETRY_AFTER)


@pytest.mark.django_db
def test_a_revoked_key_calls_nobody(ended: tuple[str, ApiRequest], httpserver: HTTPServer) -> None:
    _, request = ended
    assert api_keys.revoke(request.key, now=timezone.now())
    upkeep.send_webhooks(now=timezone.now())
    assert httpserver.log == []


PRIVATE = ["127.0.0.1", "10.0.0.8", "169.254.169.254", "100.64.0.1", "::1", "fd00:ec2::254", "::ffff:10.0.0.8",
           "0.0.0.0", "224.0.0.1", "2002:a00:1::"]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_our_own_network_is_never_called(address: str) -> None:
    calls: list[httpx.Request] = []
    transport = httpx.MockTransport(lambda request: calls.append(request) or httpx.Response(200))
    with pytest.raises(webhooks.WebhookFailed) as failed:
        # One public address beside it does not help.
        webhooks.post(
            "https://example.com/", b"", {}, resolve=lambda _: ["93.184.215.14", address], transport=transport
        )
    assert failed.value.permanent
    assert calls == []


def test_the_checked_address_is_the_one_that_is_called() -> None:
    calls: list[httpx.Request] = []
    transport = httpx.MockTransport(lambda request: calls.append(request) or httpx.Response(204))
    webhooks.post("https://example.com/hook", b"{}", {}, resolve=lambda _: ["93.184.215.14"], transport=transport)
    (call,) = calls
    assert call.url.host == "93.184.215.14"
    assert call.headers["Host"] == "example.com"
    assert call.extensions["sni_hostname"] == "example.com"


def test_a_redirect_is_not_followed() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(302, headers={"Location": "http://10.0.0.8/"}))
    with pytest.raises(webhooks.WebhookFailed, match="answered 302"):
        webhooks.post("https://example.com/", b"", {}, resolve=lambda _: ["93.184.215.14"], transport=transport)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "https://example.com:8443/", "https://a:b@example.com/", "ftp://example.com", "example.com",
     "https://", "https://exa mple.com/", "https://[::1", "https://example.com\\@10.0.0.8/"],
)  # fmt: skip
def test_an_unsafe_address_is_refused_in_the_form(url: str) -> None:
    assert webhooks.wrong_url(url)


def test_a_plain_address_is_taken() -> None:
    assert webhooks.wrong_url("https://example.com/sparkle?from=1") is None
