"""API keys in the admin: created by a moderator of the server, shown once, revoked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from jobs import api_keys
from jobs.api_models import ApiKey

from .conftest import MODERATOR_A

pytestmark = pytest.mark.django_db
CONFIRMED = {"_form_submitted": "on"}
ADD = "/admin/jobs/apikey/add/"


def submit(secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    body = {"prompt": "a red circle"}
    answer = Client().post("/api/v1/requests", body, content_type="application/json", headers=headers)
    return int(answer.status_code)


def test_a_moderator_creates_a_key_that_is_shown_once_and_revokes_it(moderator_a: Client, guild_a: Any) -> None:
    page = moderator_a.post(ADD, {"guild": guild_a.pk, "name": "Website", "webhook_url": ""})
    (secret,) = set(re.findall(r"sparkle_[\w-]{20,}", page.text))
    key = ApiKey.objects.get()
    assert (key.guild, key.user_id) == (guild_a, MODERATOR_A)
    assert submit(secret) == 202
    listed = moderator_a.get(reverse("admin:jobs_apikey_changelist")).text
    assert "Website" in listed
    assert secret not in listed
    moderator_a.post(reverse("admin:jobs_apikey_revoke_key", args=[key.pk]), CONFIRMED)
    assert submit(secret) == 401


def test_another_servers_keys_are_neither_seen_nor_made(moderator_a: Client, guild_b: Any) -> None:
    key = ApiKey(guild=guild_b, name="Theirs", user_id=5)
    secret = api_keys.issue(key)
    assert "Theirs" not in moderator_a.get(reverse("admin:jobs_apikey_changelist")).text
    assert moderator_a.post(reverse("admin:jobs_apikey_revoke_key", args=[key.pk]), CONFIRMED).status_code == 404
    moderator_a.post(ADD, {"guild": guild_b.pk, "name": "Mine", "webhook_url": ""})
    assert ApiKey.objects.count() == 1
    assert submit(secret) == 202


def test_an_operator_without_discord_needs_an_owner_to_act_for(operator: Client, guild_a: Any) -> None:
    page = operator.post(ADD, {"guild": guild_a.pk, "name": "Website", "webhook_url": ""})
    assert "Sign in with Discord to create a key" in page.text
    guild_a.owner_id = 42
    guild_a.save()
    operator.post(ADD, {"guild": guild_a.pk, "name": "Website", "webhook_url": ""})
    assert ApiKey.objects.get().user_id == 42


def test_a_server_has_a_bounded_number_of_keys(moderator_a: Client, guild_a: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(api_keys, "MOST_KEYS", 1)
    api_keys.issue(ApiKey(guild=guild_a, name="First", user_id=5))
    page = moderator_a.post(ADD, {"guild": guild_a.pk, "name": "Second", "webhook_url": ""})
    assert "This server has 1 keys. Revoke one" in page.text


def test_a_webhook_into_our_network_is_refused_in_words(moderator_a: Client, guild_a: Any, settings: Any) -> None:
    settings.WEBHOOKS_INSECURE = False
    page = moderator_a.post(ADD, {"guild": guild_a.pk, "name": "Website", "webhook_url": "http://10.0.0.8/"})
    assert "The address must begin with https://" in page.text
