"""Moderators see what operators did in their server, but neither their names nor their IP addresses."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from guilds.models import Ban, BlockedTerm, Guild, GuildMember, Usage
from jobs import moderation, submission

from .conftest import MODERATOR_A, discord_user, signed_in

pytestmark = pytest.mark.django_db
NAME, ADDRESS = "olivia.operator", "203.0.113.77"


@pytest.fixture
def olivia(db):
    client = signed_in(User.objects.create(username=NAME, is_superuser=True, is_staff=True))
    client.defaults["REMOTE_ADDR"] = ADDRESS
    return client


def test_no_page_of_a_moderator_names_an_operator_or_their_address(olivia, moderator_a, guild_a, make_ask):
    now = timezone.now()
    GuildMember.objects.create(guild=guild_a, user_id=5, name="Emeka")
    assert olivia.post("/admin/guilds/ban/add/", {"guild": guild_a.pk, "user_id": 5, "reason": "x"}).status_code == 302
    assert olivia.post("/admin/guilds/blockedterm/add/", {"guild": guild_a.pk, "phrase": "tower"}).status_code == 302
    usage = Usage.objects.create(guild=guild_a, subject_id=0, window="day", starts_at=now)
    olivia.post(f"/admin/guilds/usage/{usage.pk}/grant/", {"images": 5, "gpu_seconds": 0, "_form_submitted": "on"})
    job = submission.submit(make_ask(guild_a), now=now).job
    assert moderation.cancel(job.pk, by=NAME, now=now)
    # An operator who signs in with Discord is an operator too.
    both = discord_user(77, first_name=NAME, is_superuser=True, is_staff=True)
    assert moderation.retry(job.pk, by=both.username, now=now)
    # A deleted account leaves an IP address whose owner is unknown.
    User.objects.filter(pk=both.pk).delete()
    ban, term = Ban.objects.get(), BlockedTerm.objects.get()
    pages = [
        "/admin/audit/",
        f"/admin/guilds/guild/{guild_a.pk}/audit/",
        f"/admin/guilds/guild/{guild_a.pk}/history/",
        f"/admin/guilds/ban/{ban.pk}/history/",
        f"/admin/guilds/blockedterm/{term.pk}/history/",
        "/admin/guilds/ban/",
        f"/admin/jobs/job/{job.pk}/change/",
    ]
    for page in pages:
        seen = moderator_a.get(page)
        assert seen.status_code == 200, page
        assert NAME not in seen.text, page
        assert ADDRESS not in seen.text, page
    assert "Sparkle operators" in moderator_a.get("/admin/audit/").text
    assert "Sparkle operators" in moderator_a.get("/admin/guilds/ban/").text
    assert "Sparkle operators" in moderator_a.get(f"/admin/jobs/job/{job.pk}/change/").text
    # Operators see the name.
    assert NAME in olivia.get("/admin/audit/").text
    assert ADDRESS in olivia.get("/admin/audit/").text


def test_moderators_still_see_each_other(moderator_a, guild_a):
    guild = Guild.objects.get(pk=guild_a.pk)
    User.objects.filter(username=f"discord-{MODERATOR_A}").update(first_name="Milo")
    moderator_a.post("/admin/guilds/blockedterm/add/", {"guild": guild.pk, "phrase": "tower"}, REMOTE_ADDR="192.0.2.9")
    seen = moderator_a.get("/admin/audit/").text
    assert "Milo" in seen
    assert str(MODERATOR_A) not in seen
    assert "192.0.2.9" in seen
