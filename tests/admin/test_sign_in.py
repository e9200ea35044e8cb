"""Signing in through the simulator over real HTTP; changing rights; the operators' second factor."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from guilds.models import Guild, Staff

from .conftest import discord_user, signed_in


def sign_in(client: Client, site: str, user_id: int, settings: Any) -> Any:
    """Follow the redirect to Discord, choose a user and come back. Return the last response."""
    host = site.removeprefix("http://")
    asked = client.post("/accounts/discord/login/?next=/admin/", HTTP_HOST=host)
    assert asked.status_code == 302
    assert asked["Location"].startswith(f"{site}/simulator/oauth2/authorize?")
    query = dict(parse_qsl(urlsplit(asked["Location"]).query))
    assert query["code_challenge_method"] == "S256"
    assert set(query["scope"].split()) == {"identify", "guilds"}
    page = asked["Location"].removeprefix(site)
    answered = client.post(page, {"answer": str(user_id)}, HTTP_HOST=host)
    assert answered.status_code == 302, answered.content[:500]
    return client.get(answered["Location"].removeprefix(site), HTTP_HOST=host)


@pytest.fixture
def site(live_server: Any, settings: Any) -> str:
    """A running site whose Discord is its own simulator."""
    address = str(live_server.url).replace("localhost", "127.0.0.1")
    settings.SITE_URL = address
    settings.DISCORD_API_BASE = f"{address}/simulator/api/v10"
    settings.DISCORD_OAUTH_BASE = f"{address}/simulator/oauth2"
    settings.ALLOWED_HOSTS = ["*"]
    settings.CSRF_TRUSTED_ORIGINS = [address]
    from devtools.simulator import seed_data

    seed_data.run()
    return address


@pytest.mark.django_db(transaction=True)
def test_an_owner_signs_in_and_sees_their_servers_and_no_other(site, settings):
    from devtools.simulator.models import SimGuild

    installed = SimGuild.objects.filter(installed=True)
    mine = installed.first()
    assert mine is not None
    Guild.objects.get_or_create(pk=mine.pk, defaults={"name": "an old name"})
    client = Client()
    back = sign_in(client, site, mine.owner_id, settings)
    assert back.status_code == 302, back.content[:1000]
    assert back["Location"] == "/admin/"
    staff = Staff.objects.filter(user_id=mine.owner_id)
    assert staff.get(guild_id=mine.pk).role == "owner"
    assert Guild.objects.get(pk=mine.pk).name == mine.name

    listed = client.get("/admin/guilds/guild/").text
    assert mine.name in listed
    for other in installed.exclude(pk__in=staff.values("guild_id")):
        assert other.name not in listed
    from allauth.socialaccount.models import SocialAccount, SocialToken

    assert not SocialToken.objects.exists(), "the user's token is used once and not kept"
    assert set(SocialAccount.objects.get().extra_data) <= {"id", "username", "global_name", "avatar"}


@pytest.mark.django_db(transaction=True)
def test_rights_are_asked_for_again_before_they_lapse_and_go_when_discord_takes_them(site, settings):
    from devtools.simulator.models import SimGuild, SimUser

    mine = SimGuild.objects.filter(installed=True).first()
    assert mine is not None
    Guild.objects.get_or_create(pk=mine.pk, defaults={"name": mine.name})
    host = site.removeprefix("http://")
    client = Client()
    sign_in(client, site, mine.owner_id, settings)
    Staff.objects.update(synced_at=timezone.now() - timedelta(minutes=10))

    again = client.get("/admin/guilds/guild/", HTTP_HOST=host)
    assert again.status_code == 302
    assert "prompt=none" in again["Location"]
    through = client.get(again["Location"].removeprefix(site), HTTP_HOST=host)
    back = client.get(through["Location"].removeprefix(site), HTTP_HOST=host)
    assert back["Location"] == "/admin/guilds/guild/"
    assert Staff.objects.get(guild_id=mine.pk, user_id=mine.owner_id).synced_at > timezone.now() - timedelta(minutes=1)

    former = mine.owner_id
    successor = SimUser.objects.exclude(pk=former).exclude(bot=True).first()
    SimGuild.objects.filter(pk=mine.pk).update(owner=successor)
    mine.members.filter(user_id=former).update(role_ids=[])
    Staff.objects.update(synced_at=timezone.now() - timedelta(minutes=10))
    session = client.session
    session["discord_asked_at"] = 0
    session.save()
    again = client.get(f"/admin/guilds/guild/{mine.pk}/change/", HTTP_HOST=host)
    through = client.get(again["Location"].removeprefix(site), HTTP_HOST=host)
    client.get(through["Location"].removeprefix(site), HTTP_HOST=host)
    assert not Staff.objects.filter(user_id=former, guild_id=mine.pk).exists()
    assert client.get(f"/admin/guilds/guild/{mine.pk}/change/", HTTP_HOST=host).status_code in (302, 404)


@pytest.mark.django_db
def test_stale_rights_open_nothing_even_where_discord_cannot_be_asked(make_guild):
    guild = make_guild()
    client = signed_in(discord_user(77))
    Staff.objects.create(guild=guild, user_id=77, role="owner", synced_at=timezone.now() - Staff.FRESH_FOR)
    page = f"/admin/guilds/guild/{guild.pk}/change/"
    assert client.post(page, {"enabled": ""}).status_code == 302
    assert client.get("/admin/dashboard/", headers={"Sec-Fetch-Mode": "cors"}).status_code == 302
    assert Guild.objects.get(pk=guild.pk).enabled


@pytest.mark.django_db
def test_operators_and_observers_set_up_a_second_factor_first(operator, observer, settings):
    settings.OPERATORS_NEED_2FA = True
    for client in (operator, observer):
        answer = client.get("/admin/")
        assert (answer.status_code, answer["Location"]) == (302, "/accounts/2fa/totp/activate/")
        assert client.post("/admin/stuck-jobs/", {"action": "resend"}).status_code == 302


@pytest.mark.django_db
def test_a_password_alone_does_not_sign_an_operator_in_once_there_is_a_second_factor(settings):
    from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
    from django.contrib.auth.models import User

    settings.OPERATORS_NEED_2FA = True
    operator = User.objects.create_user("olivia", password="correct horse battery", is_superuser=True, is_staff=True)
    secret = generate_totp_secret()
    TOTP.activate(operator, secret)
    client = Client()
    answer = client.post("/accounts/login/", {"login": "olivia", "password": "correct horse battery"})
    assert answer["Location"].startswith("/accounts/2fa/authenticate/")
    assert client.get("/admin/").status_code == 302, "not in yet"
    code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    assert client.post("/accounts/2fa/authenticate/", {"code": code}).status_code == 302
    assert client.get("/admin/").status_code == 200


@pytest.mark.django_db
def test_five_wrong_passwords_lock_an_account_for_their_address_alone():
    from django.contrib.auth.models import User
    from django.core.cache import cache

    cache.clear()
    User.objects.create_user("olivia", password="correct horse battery", is_superuser=True, is_staff=True)
    client = Client()
    for _ in range(5):
        assert client.post("/accounts/login/", {"login": "olivia", "password": "wrong"}).status_code == 200
    right = {"login": "olivia", "password": "correct horse battery"}
    locked = client.post("/accounts/login/", right)
    assert "Too many" in locked.text
    assert client.get("/admin/").status_code == 302
    # The wrong passwords locked the account for their own address, not for its owner.
    assert Client(REMOTE_ADDR="198.51.100.7").post("/accounts/login/", right).status_code == 302
    cache.clear()


@pytest.mark.django_db
def test_an_address_that_tries_many_accounts_is_stopped():
    from django.core.cache import cache

    cache.clear()
    client = Client()
    texts = [client.post("/accounts/login/", {"login": f"name{at}", "password": "wrong"}).text for at in range(25)]
    assert "Too many" not in texts[19]
    assert "Too many" in texts[20]
    cache.clear()


@pytest.mark.django_db
def test_the_addresses_of_one_ipv6_network_count_as_one():
    from django.contrib.auth.models import User
    from django.core.cache import cache

    cache.clear()
    User.objects.create_user("olivia", password="correct horse battery", is_superuser=True, is_staff=True)
    for at in range(6):
        client = Client(REMOTE_ADDR=f"2001:db8:1:2::{at + 1}")
        last = client.post("/accounts/login/", {"login": "olivia", "password": "wrong"})
    assert "Too many" in last.text
    cache.clear()


@pytest.mark.django_db
def test_nobody_signs_up_with_a_password():
    client = Client()
    assert client.get("/accounts/signup/").status_code == 404
    assert (
        client.post("/accounts/signup/", {"username": "x", "password1": "y" * 14, "password2": "y" * 14}).status_code
        == 404
    )


@pytest.mark.django_db
def test_who_manages_nothing_is_told_so(nobody):
    answer = nobody.get("/admin/", follow=True)
    assert answer.status_code == 403
    assert "You don’t manage any servers here" in answer.text
