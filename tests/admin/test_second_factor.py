"""Without a second factor an operator has no operator rights on any page."""

from __future__ import annotations

import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.contrib.auth.models import User
from django.urls import reverse

from guilds.models import StylePreset
from jobs.models import JobImage
from tests.admin.test_tenant_isolation import MARKS, World, filled, visible

from .conftest import discord_user, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def world(db, now):
    return World(now)


@pytest.mark.parametrize("kind", ["operator", "observer"])
def test_nothing_of_any_server_is_read_without_a_second_factor(world, kind, request, settings):
    client = request.getfixturevalue(kind)
    settings.OPERATORS_NEED_2FA = True
    for path, _, _ in filled(world, world.b):
        assert not MARKS.search(visible(client.get(path))), path
    job = world.b["job"]
    assert client.get(f"/gallery/{job.guild_id}/{job.pk}/").status_code == 404
    image, style = JobImage.objects.get(job=job), StylePreset.objects.get(guild=job.guild)
    for address in (
        reverse("admin:image", args=[image.pk]),
        reverse("admin:preview", args=["guilds_stylepreset", style.pk]),
    ):
        assert client.get(address).status_code == 302


def new_factor(user):
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def code_of(secret):
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def test_a_session_counts_as_an_operators_only_once_it_used_the_factor(world, settings):
    settings.OPERATORS_NEED_2FA = True
    operator = User.objects.create(username="olivia", is_superuser=True, is_staff=True)
    client, other = signed_in(operator), signed_in(operator)
    job = world.b["job"]
    address = f"/gallery/{job.guild_id}/{job.pk}/"
    assert client.get(address).status_code == 404
    secret = new_factor(operator)
    assert client.get(address).status_code == 404, "signed in before the factor was set up"
    answer = client.get("/admin/jobs/job/?q=a")
    assert answer["Location"] == "/accounts/2fa/reauthenticate/?next=%2Fadmin%2Fjobs%2Fjob%2F%3Fq%3Da"
    assert client.post("/admin/stuck-jobs/", {"action": "resend"}).status_code == 302
    wrong = f"{(int(code_of(secret)) + 1) % 10**6:06}"
    assert client.post(answer["Location"], {"code": wrong}).status_code == 200
    assert client.get(address).status_code == 404
    assert client.post(answer["Location"], {"code": code_of(secret)})["Location"] == "/admin/jobs/job/?q=a"
    assert client.get(address).status_code == 200
    assert client.get("/admin/jobs/job/?q=a").status_code == 200
    assert other.get(address).status_code == 404, "each session for itself"


def test_a_factor_that_was_removed_opens_nothing_after_the_next_is_set_up(world, settings):
    settings.OPERATORS_NEED_2FA = True
    operator = User.objects.create(username="olivia", is_superuser=True, is_staff=True)
    client = signed_in(operator)
    job = world.b["job"]
    client.post("/accounts/2fa/reauthenticate/", {"code": code_of(new_factor(operator))})
    assert client.get(f"/gallery/{job.guild_id}/{job.pk}/").status_code == 200
    Authenticator.objects.filter(user=operator).delete()
    new_factor(operator)
    assert client.get(f"/gallery/{job.guild_id}/{job.pk}/").status_code == 404


def test_an_operator_without_it_still_reads_what_is_their_own(world, settings):
    settings.OPERATORS_NEED_2FA = True
    job = world.b["job"]
    client = signed_in(discord_user(job.user_id, is_superuser=True, is_staff=True))
    assert client.get(f"/gallery/{job.guild_id}/{job.pk}/").status_code == 200
    other = world.a["job"]
    assert client.get(f"/gallery/{other.guild_id}/{other.pk}/").status_code == 404
