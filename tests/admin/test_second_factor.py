"""Until the second factor is set up, an operator has no operator's rights on any page of the site."""

from __future__ import annotations

import pytest
from django.urls import reverse

from guilds.models import StylePreset
from jobs.models import JobImage
from tests.admin.test_walk import MARKS, World, filled, visible

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
        reverse("admin:picture", args=[image.pk]),
        reverse("admin:preview", args=["guilds_stylepreset", style.pk]),
    ):
        assert client.get(address).status_code == 302


def test_with_a_second_factor_an_operator_reads_the_gallery(world, settings):
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
    from django.contrib.auth.models import User

    settings.OPERATORS_NEED_2FA = True
    operator = User.objects.create(username="olivia", is_superuser=True, is_staff=True)
    client = signed_in(operator)
    job = world.b["job"]
    assert client.get(f"/gallery/{job.guild_id}/{job.pk}/").status_code == 404
    TOTP.activate(operator, generate_totp_secret())
    assert client.get(f"/gallery/{job.guild_id}/{job.pk}/").status_code == 200


def test_an_operator_without_it_still_reads_what_is_their_own(world, settings):
    settings.OPERATORS_NEED_2FA = True
    job = world.b["job"]
    client = signed_in(discord_user(job.user_id, is_superuser=True, is_staff=True))
    assert client.get(f"/gallery/{job.guild_id}/{job.pk}/").status_code == 200
    other = world.a["job"]
    assert client.get(f"/gallery/{other.guild_id}/{other.pk}/").status_code == 404
