"""Webhook events, and the sync that makes up for lost ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from guilds import installations
from guilds.models import Guild
from interactions_lambda.handler import handler

from .conftest import event, payload

pytestmark = pytest.mark.django_db


def send(body: dict[str, Any], **how: Any) -> dict[str, Any]:
    return handler(event(json.dumps(body).encode(), path="/prod/events", **how), None)


def test_ping_is_answered_without_a_body() -> None:
    answer = send(payload("event_ping"))
    assert answer["statusCode"] == 204
    assert not answer["body"]
    assert "Content-Type" not in answer["headers"]


def test_a_forged_event_is_refused() -> None:
    assert send(payload("event_authorized"), signature="00" * 64)["statusCode"] == 401
    assert not Guild.objects.exists()


def test_an_authorization_makes_the_guild_with_its_defaults_once() -> None:
    for _ in range(2):
        assert send(payload("event_authorized"))["statusCode"] == 204
    guild = Guild.objects.get()
    assert (guild.pk, guild.name, guild.owner_id) == (290926798626357999, "Pixel Garden", 53908232506183680)
    assert (guild.enabled, guild.concurrency) == (True, 8)


def test_a_retried_event_is_taken_for_as_long_as_discord_retries() -> None:
    assert send(payload("event_authorized"), timestamp=str(int(time.time()) - 600))["statusCode"] == 204
    assert send(payload("event_authorized"), timestamp=str(int(time.time()) - 1000))["statusCode"] == 401


def test_who_comes_back_keeps_the_settings(make_guild: Callable[..., Guild], now: datetime) -> None:
    make_guild(id=290926798626357999, name="Old name", max_images=2, left_at=now)
    send(payload("event_authorized"))
    guild = Guild.objects.get()
    assert (guild.name, guild.max_images, guild.left_at) == ("Pixel Garden", 2, None)


@pytest.mark.parametrize(
    "change",
    [
        {"type": 99},
        {"type": None},
        {"event": None},
        {"event": {"type": "APPLICATION_AUTHORIZED"}},
        {"event": {"type": "APPLICATION_AUTHORIZED", "data": {"integration_type": 1, "user": {"id": "1"}}}},
        {"event": {"type": "APPLICATION_AUTHORIZED", "data": {"integration_type": 0, "guild": {"id": "x"}}}},
        {"event": {"type": "ENTITLEMENT_CREATE", "data": {}}},
        {"event": {"type": "SOMETHING_NEW"}},
    ],
)
def test_every_other_event_is_acknowledged(change: dict[str, Any]) -> None:
    assert send(payload("event_authorized") | change)["statusCode"] == 204
    assert not Guild.objects.exists()


def test_a_deauthorization_names_only_a_user_and_changes_nothing(make_guild: Callable[..., Guild]) -> None:
    guild = make_guild()
    assert send(payload("event_deauthorized"))["statusCode"] == 204
    guild.refresh_from_db()
    assert guild.left_at is None


def test_reconciling_finds_who_joined_left_and_returned(make_guild: Callable[..., Guild], now: datetime) -> None:
    yesterday = now - timedelta(days=1)
    stays, leaves = make_guild(installed_at=yesterday), make_guild(installed_at=yesterday)
    returns = make_guild(installed_at=yesterday, left_at=yesterday)
    told: list[dict[str, Any]] = [
        {"id": str(stays.pk), "name": "New name", "icon": None},
        {"id": str(returns.pk), "name": "Back", "icon": "abc"},
        {"id": "5", "name": "Unheard of", "icon": None},
    ]
    found = installations.sync_guilds(told, now)
    assert (found.joined, found.returned, found.left) == (1, 1, 1)
    for guild in (stays, leaves, returns):
        guild.refresh_from_db()
    assert (stays.name, stays.left_at) == ("New name", None)
    assert leaves.left_at == now
    assert (returns.left_at, returns.icon) == (None, "abc")
    assert Guild.objects.get(pk=5).enabled
    again = installations.sync_guilds(told, now + timedelta(hours=1))
    assert (again.joined, again.returned, again.left) == (0, 0, 0)


def test_a_guild_that_joined_while_the_list_was_on_its_way_stays(
    make_guild: Callable[..., Guild], now: datetime
) -> None:
    guild = make_guild(installed_at=now + timedelta(seconds=1))
    installations.sync_guilds([], now)
    guild.refresh_from_db()
    assert guild.left_at is None
