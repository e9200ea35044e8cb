"""The audit is filtered by person, by what was changed and by day, and read a page at a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from guilds.models import Ban, BlockedTerm, Guild, GuildMember, SettingChange
from sparkle_site.admin import audit_filter

from .conftest import MODERATOR_A

pytestmark = pytest.mark.django_db
AUDIT = "/admin/audit/"


def add_term(client: Any, guild: Guild, phrase: str) -> None:
    assert client.post("/admin/guilds/blockedterm/add/", {"guild": guild.pk, "phrase": phrase}).status_code == 302


def shown(client: Any, query: str = "") -> list[str]:
    """Return the terms that the page names, from its top."""
    return re.findall(r"blocked term (word\d+)", client.get(AUDIT + query).text)


def test_pages_follow_each_other_without_a_gap(operator: Any, guild_a: Guild, monkeypatch: Any) -> None:
    monkeypatch.setattr(audit_filter, "PAGE", 4)
    for n in range(11):
        BlockedTerm.objects.create(guild=guild_a, phrase=f"word{n:02}")
    seen: list[str] = []
    address = "?what=blockedterm"
    for _ in range(5):
        page = operator.get(AUDIT + address).text
        seen += re.findall(r"blocked term (word\d+)", page)
        older = re.search(r'href="(\?[^"]*before=[^"]*)"', page)
        if older is None:
            break
        address = older[1].replace("&amp;", "&")
        assert "what=blockedterm" in address
    assert seen == [f"word{n:02}" for n in reversed(range(11))]


def test_who_what_and_when_narrow_the_list(operator: Any, moderator_a: Any, guild_a: Guild) -> None:
    User.objects.filter(username=f"discord-{MODERATOR_A}").update(first_name="Grace")
    add_term(moderator_a, guild_a, "word1")
    add_term(operator, guild_a, "word2")
    Ban.objects.create(guild=guild_a, user_id=5)
    GuildMember.objects.create(guild=guild_a, user_id=MODERATOR_A, name="gracehopper", read_at=timezone.now())
    change = {"guild": guild_a, "model": "guild", "row_id": guild_a.pk, "field": "max_steps", "before": 50, "after": 9}
    SettingChange.objects.create(at=timezone.now(), user_id=MODERATOR_A, **change)
    assert shown(operator) == ["word2", "word1"]
    assert shown(operator, "?who=rac") == ["word1"]
    assert "from Discord" in operator.get(f"{AUDIT}?who=hopper").text, "by the name on the server"
    assert shown(operator, "?who=operator") == ["word2"]
    assert shown(operator, "?what=ban") == []
    assert "Added ban" in operator.get(f"{AUDIT}?what=ban").text
    today = timezone.localdate().isoformat()
    assert shown(operator, f"?from={today}&to={today}") == ["word2", "word1"]
    assert shown(operator, "?to=2020-01-01") == []
    assert "No change matches" in operator.get(f"{AUDIT}?to=2020-01-01").text


def test_moderators_cannot_find_out_an_operators_name(operator: Any, moderator_a: Any, guild_a: Guild) -> None:
    User.objects.filter(username="operator").update(first_name="Olivia")
    add_term(operator, guild_a, "word1")
    assert shown(moderator_a) == ["word1"]
    assert shown(moderator_a, "?who=oliv") == []
    assert shown(moderator_a, "?who=Sparkle op") == ["word1"], "by the name that moderators see"
    other = f"/admin/guilds/guild/{guild_a.pk}/audit/?who=oliv"
    assert "word1" not in moderator_a.get(other).text


def test_a_change_is_compared_with_the_record_before_it_on_any_page(
    operator: Any, guild_a: Guild, monkeypatch: Any
) -> None:
    monkeypatch.setattr(audit_filter, "PAGE", 1)
    for steps in (40, 30, 20):
        guild_a.max_steps = steps
        guild_a.save()
    page = operator.get(f"{AUDIT}?what=guild").text
    assert re.findall(r'sp-(?:old|new)">(\d+)<', page) == ["30", "20"]


@pytest.mark.parametrize(
    "query",
    ["?from=x&to=99999-01-01", "?before=x", "?before=0001-01-01T00:00:00", "?what=zzz", "?from=2026-02-30"],
)
def test_what_cannot_be_read_filters_nothing(operator: Any, guild_a: Guild, query: str) -> None:
    add_term(operator, guild_a, "word1")
    assert shown(operator, query) == ["word1"]


def test_a_moment_without_a_zone_is_in_utc() -> None:
    assert audit_filter.parse({"before": "2026-11-23T12:00:00"}).before == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert audit_filter.parse({"before": "2026-11-23T12:00:00+01:00"}).before == datetime(
        2026, 11, 23, 12, tzinfo=UTC
    ) - timedelta(hours=1)
