"""Clients for each kind of user, and two servers that must be isolated from each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

MODERATOR_A = 900000000000000001


@pytest.fixture(autouse=True)
def _discord_is_away(settings: Any) -> None:
    """Nothing listens at this address, so that pages show the last known names at once."""
    settings.DISCORD_API_BASE = "http://127.0.0.1:9/api/v10"


@pytest.fixture
def guild_a(make_guild: Callable[..., Any]) -> Any:
    return make_guild(name="Apple Orchard")


@pytest.fixture
def guild_b(make_guild: Callable[..., Any]) -> Any:
    return make_guild(name="Banana Boat")


def discord_user(snowflake: int, **fields: Any) -> Any:
    from allauth.socialaccount.models import SocialAccount
    from django.contrib.auth.models import User

    user = User.objects.create(username=f"discord-{snowflake}", **fields)
    SocialAccount.objects.create(user=user, provider="discord", uid=str(snowflake))
    return user


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


@pytest.fixture
def operator(db: None) -> Client:
    from django.contrib.auth.models import User

    return signed_in(User.objects.create(username="operator", is_superuser=True, is_staff=True))


@pytest.fixture
def observer(db: None) -> Client:
    from django.contrib.auth.models import Group, User

    user = User.objects.create(username="observer", is_staff=True)
    user.groups.add(Group.objects.get_or_create(name="Observers")[0])
    return signed_in(user)


@pytest.fixture
def moderator_a(guild_a: Any) -> Client:
    from guilds.models import Staff

    Staff.objects.create(guild=guild_a, user_id=MODERATOR_A, role="manager", synced_at=timezone.now())
    return signed_in(discord_user(MODERATOR_A))


@pytest.fixture
def nobody(db: None) -> Client:
    return signed_in(discord_user(900000000000000003))
