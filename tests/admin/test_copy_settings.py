"""One server's settings are copied to another, as far as they do not name its own channels and roles."""

from __future__ import annotations

import pytest
from django.utils import timezone

from guilds.models import BlockedTerm, Guild, QuotaRule, Staff

from .conftest import MODERATOR_A

pytestmark = pytest.mark.django_db


@pytest.fixture
def both(guild_a, guild_b):
    """Make the moderator of one server a moderator of the other; the first has settings to copy."""
    Staff.objects.create(guild=guild_b, user_id=MODERATOR_A, role="manager", synced_at=timezone.now())
    Guild.objects.filter(pk=guild_a.pk).update(
        max_images=2, language="de", allowed_channel_ids=[77], concurrency=3, nsfw_rule="spoiler"
    )
    QuotaRule.objects.create(guild=guild_a, subject="member", metric="images", window="day", limit=7)
    QuotaRule.objects.create(guild=guild_a, subject="role", role_id=5, metric="images", window="day", limit=70)
    QuotaRule.objects.create(guild=guild_b, subject="guild", metric="images", window="day", limit=1)
    QuotaRule.objects.create(guild=guild_b, subject="role", role_id=6, metric="images", window="day", limit=60)
    for guild, phrase in ((guild_a, "gore"), (guild_a, "celebrity"), (guild_b, "Gore"), (guild_b, "ours")):
        BlockedTerm.objects.create(guild=guild, phrase=phrase)
    return guild_a, guild_b


def copy(client, target, source):
    address = f"/admin/guilds/guild/{target.pk}/copy/"
    return client.post(address, {"source": source, "_form_submitted": "on"}, headers={"HX-Request": "true"})


def test_settings_rules_and_terms_are_copied_and_what_names_the_server_stays(moderator_a, both):
    source, target = both
    before = Guild.objects.get(pk=target.pk).concurrency
    assert "HX-Redirect" in copy(moderator_a, target, source.pk).headers
    target.refresh_from_db()
    assert (target.max_images, target.language, target.nsfw_rule) == (2, "de", "spoiler")
    assert (target.allowed_channel_ids, target.concurrency) == ([], before)
    rules = set(QuotaRule.objects.filter(guild=target).values_list("subject", "role_id", "limit"))
    assert rules == {("member", None, 7), ("role", 6, 60)}
    terms = set(BlockedTerm.objects.filter(guild=target).values_list("phrase", flat=True))
    assert terms == {"Gore", "ours", "celebrity"}
    page = moderator_a.get(f"/admin/guilds/guild/{target.pk}/change/").text
    assert "with 1 quota rule and 1 new blocked term." in page
    assert "Audit" in page


@pytest.mark.parametrize("wrong", ["", "5", "x"])
def test_a_wrong_choice_is_refused_in_words(moderator_a, both, wrong):
    _, target = both
    answer = copy(moderator_a, target, wrong)
    assert "Choose" in answer.text
    assert "HX-Redirect" not in answer.headers
    assert QuotaRule.objects.get(guild=target, subject="guild").limit == 1


def test_nothing_is_copied_from_or_to_a_server_of_others(moderator_a, guild_a, guild_b):
    Guild.objects.filter(pk=guild_b.pk).update(max_images=1)
    assert "HX-Redirect" not in copy(moderator_a, guild_a, guild_b.pk).headers
    assert copy(moderator_a, guild_b, guild_a.pk).status_code == 404
    guild_a.refresh_from_db()
    assert guild_a.max_images == 4
