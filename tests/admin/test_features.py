"""A moderator switches features off, sets a cool-down, writes rules for channels and exceptions from terms."""

from __future__ import annotations

from typing import Any

import pytest

from guilds import blocked_term_lists
from guilds.features import FEATURES
from guilds.models import BlockedTerm, Channel, Guild, QuotaRule
from jobs import submission
from tests.security.test_csrf_and_forms import shown_fields

from .test_settings import rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(guild_a: Any) -> str:
    Channel.objects.create(pk=71, guild=guild_a, name="art", kind=0, position=1)
    return f"/admin/guilds/guild/{guild_a.pk}/change/"


def test_features_and_the_cool_down_are_saved_and_audited(moderator_a: Any, guild_a: Any, page: str) -> None:
    fields = shown_fields(moderator_a, page)
    assert fields["features"] == list(FEATURES)
    on = [feature for feature in FEATURES if feature not in ("vary", "private")]
    assert moderator_a.post(page, fields | {"features": on, "cooldown_s": "30"}).status_code == 302
    guild_a.refresh_from_db()
    assert (guild_a.switched_off, guild_a.cooldown_s) == (["private", "vary"], 30)
    fields = shown_fields(moderator_a, page)
    assert fields["features"] == on
    # What only a newer version of the site knows stays as it is.
    Guild.objects.update(switched_off=["vary", "teleport"])
    assert moderator_a.post(page, fields | {"features": list(FEATURES)}).status_code == 302
    guild_a.refresh_from_db()
    assert guild_a.switched_off == ["teleport"]
    audit = moderator_a.get("/admin/audit/").text
    assert "Switched off" in audit
    assert "private, vary" in audit


@pytest.mark.parametrize("seconds", ["-1", "86401", "", "x"])
def test_a_cool_down_out_of_range_is_refused(moderator_a: Any, guild_a: Any, page: str, seconds: str) -> None:
    assert moderator_a.post(page, shown_fields(moderator_a, page) | {"cooldown_s": seconds}).status_code == 200
    assert moderator_a.post(page, shown_fields(moderator_a, page) | {"features": ["fly"]}).status_code == 200
    guild_a.refresh_from_db()
    assert (guild_a.cooldown_s, guild_a.switched_off) == (0, [])


def test_an_observer_sees_the_settings(observer: Any, page: str) -> None:
    assert observer.get(page).status_code == 200


def test_a_rule_names_a_channel_of_the_server(moderator_a: Any, guild_a: Any, page: str) -> None:
    fields = shown_fields(moderator_a, page)
    one = {"subject": "member", "role_id": "", "channel_id": 71, "metric": "images", "window": "day", "limit": 5}
    one |= {"guild": guild_a.pk}
    assert moderator_a.post(page, rules(fields, one, one | {"channel_id": ""})).status_code == 302
    assert set(QuotaRule.objects.values_list("channel_id", flat=True)) == {71, None}
    assert "#art" in moderator_a.get(page).text
    QuotaRule.objects.all().delete()
    answer = moderator_a.post(page, rules(fields, one, one | {"limit": 6}))
    assert "This rule already exists" in answer.text
    assert "not on this server any more" in moderator_a.post(page, rules(fields, one | {"channel_id": 72})).text
    every = [one | {"subject": who, "window": when} for who in ("member", "guild") for when in ("hour", "day", "month")]
    assert "Delete one of them first" in moderator_a.post(page, rules(fields, *every)).text
    assert moderator_a.post(page, rules(fields, *every[1:])).status_code == 302


def test_an_exception_is_added_listed_exported_and_tested(
    moderator_a: Any, guild_a: Any, make_ask: Any, now: Any
) -> None:
    submission.submit(make_ask(guild_a, prompt="seen by the naked eye"), now=now)
    dry_run = "/admin/guilds/blockedterm/dry-run/?phrase=naked"
    assert "1 of the 1 newest prompts" in moderator_a.get(dry_run).text
    add = "/admin/guilds/blockedterm/add/"
    both = {"guild": guild_a.pk, "phrase": "naked eye", "allowed": "on", "nsfw": "on"}
    assert "An exception is no term" in moderator_a.post(add, both).text
    assert moderator_a.post(add, {"guild": guild_a.pk, "phrase": "naked eye", "allowed": "on"}).status_code == 302
    assert "Exception" in moderator_a.get("/admin/guilds/blockedterm/").text
    assert "0 of the 1 newest prompts" in moderator_a.get(dry_run).text
    BlockedTerm.objects.create(guild=guild_a, phrase="naked")
    exported = moderator_a.get("/admin/guilds/blockedterm/export/").text
    assert exported.splitlines() == ["naked", "naked eye | allowed"]
    assert [(line.phrase, line.allowed) for line in blocked_term_lists.parse_terms(exported)] == [
        ("naked", False),
        ("naked eye", True),
    ]
    assert isinstance(submission.submit(make_ask(guild_a, prompt="the naked eye"), now=now), submission.Accepted)
    refused = submission.submit(make_ask(guild_a, prompt="n a k e d"), now=now)
    assert isinstance(refused, submission.Accepted)
    Guild.objects.update(find_spaced_letters=True)
    assert getattr(submission.submit(make_ask(guild_a, prompt="n a k e d"), now=now), "code", "") == "term_blocked"


def test_a_server_makes_no_exception_from_the_operators_terms(guild_a: Any, make_ask: Any, now: Any) -> None:
    BlockedTerm.objects.create(phrase="naked")
    BlockedTerm.objects.create(guild=guild_a, phrase="naked eye", allowed=True)
    refused = submission.submit(make_ask(guild_a, prompt="the naked eye"), now=now)
    assert getattr(refused, "code", "") == "term_blocked"
    BlockedTerm.objects.create(phrase="naked eye", allowed=True)
    assert isinstance(submission.submit(make_ask(guild_a, prompt="the naked eye"), now=now), submission.Accepted)
