"""Quota rules of a channel or category count what is requested there, and a cool-down keeps requests apart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from guilds import quota, quota_replay
from guilds.models import Guild, QuotaRule, Usage
from guilds.policy import Refusal
from guilds.quota import Rule
from jobs import past_requests, privacy, submission, transitions
from jobs.models import Job

pytestmark = pytest.mark.django_db
ART, CATEGORY, OTHER, THREAD = 71, 70, 72, 73


@pytest.fixture
def guild(make_guild: Callable[..., Guild]) -> Guild:
    return make_guild(max_images=4)


def add_rule(guild: Guild, subject: str = "member", **fields: Any) -> QuotaRule:
    values = {"metric": "images", "window": "day", "limit": 4, "channel_id": ART} | fields
    return QuotaRule.objects.create(guild=guild, subject=subject, **values)


@pytest.fixture
def ask(make_ask: Callable[..., Any], now: datetime) -> Callable[..., Any]:
    """Request two images in a channel of the category."""

    def ask_(
        guild: Guild, channel_id: int = ART, *, at: datetime = now, **fields: Any
    ) -> submission.Accepted | Refusal:
        wish = {"count": 2, "parent_channel_id": CATEGORY} | fields
        return submission.submit(make_ask(guild, channel_id=channel_id, **wish), now=at)

    return ask_


def test_a_channels_rule_counts_what_is_requested_there(guild: Guild, ask: Any) -> None:
    add_rule(guild)
    assert not isinstance(ask(guild, OTHER, count=4), Refusal)
    assert not any(isinstance(ask(guild), Refusal) for _ in range(2))
    refused = ask(guild)
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.params["channel_id"], refused.params["used"]) == ("quota_exceeded", ART, 4)
    assert not isinstance(ask(guild, OTHER), Refusal)
    assert not isinstance(ask(guild, user_id=43), Refusal), "another member has their own"


def test_a_categorys_rule_covers_its_channels_and_their_threads(guild: Guild, ask: Any) -> None:
    add_rule(guild, "guild", channel_id=CATEGORY)
    assert not isinstance(ask(guild, ART), Refusal)
    assert not isinstance(ask(guild, THREAD, parent_channel_id=OTHER, category_id=CATEGORY, user_id=43), Refusal)
    assert isinstance(ask(guild, OTHER), Refusal)
    assert not isinstance(ask(guild, 99, parent_channel_id=None), Refusal)


def test_what_is_not_made_is_returned_to_the_channel_too(guild: Guild, ask: Any, now: datetime) -> None:
    add_rule(guild)
    first = ask(guild, count=4)
    assert isinstance(ask(guild), Refusal)
    assert transitions.cancel(first.job.pk, by=42, now=now)
    assert not isinstance(ask(guild), Refusal)
    counted = {row.images for row in Usage.objects.filter(guild=guild, channel_id=ART)}
    assert counted == {2}


def test_erasing_a_members_data_gives_no_more(guild: Guild, ask: Any, now: datetime) -> None:
    add_rule(guild)
    job = ask(guild, count=4).job
    assert transitions.claim(job.pk, worker_id="w", now=now)
    Job.objects.filter(pk=job.pk).update(status="completed", settled_at=now, ended_at=now)
    privacy.erase_member(42, now=now)
    assert isinstance(ask(guild), Refusal)
    assert not Usage.objects.filter(guild=guild, subject_id=42).exists()
    of_channel = Usage.objects.get(guild=guild, channel_id=ART)
    assert of_channel.subject_id < 0, "the channel's counter names nobody"


def test_the_status_of_a_rule_is_that_of_its_channel(guild: Guild, ask: Any, now: datetime) -> None:
    add_rule(guild)
    ask(guild)
    statuses = [quota.load_status(guild.pk, 42, frozenset(), now=now, places=frozenset({place})) for place in (ART, 5)]
    assert [[status.used for status in each] for each in statuses] == [[2], []]
    assert [status.used for status in quota.load_status(guild.pk, 42, frozenset(), now=now)] == [2]


def test_a_channel_that_is_not_fully_known_is_not_taken_for_another(guild: Guild, ask: Any) -> None:
    add_rule(guild)
    refused = ask(guild, THREAD, parent_channel_id=None, channel_complete=False)
    assert isinstance(refused, Refusal)
    assert refused.code == "channel_unknown"


def test_rules_for_every_window_of_a_channel_and_its_category_fit_into_a_job(guild: Guild, ask: Any) -> None:
    for channel_id in (ART, CATEGORY):
        for subject, windows in (("member", ("hour", "day", "month")), ("guild", ("hour", "day"))):
            for window in windows:
                add_rule(guild, subject, channel_id=channel_id, window=window)
    accepted = ask(guild)
    assert len(accepted.job.usage_ids) == 16
    assert len(set(accepted.job.usage_ids)) == 16


def test_a_cool_down_keeps_a_members_requests_apart(guild: Guild, ask: Any, now: datetime) -> None:
    Guild.objects.update(cooldown_s=60)
    assert not isinstance(ask(guild), Refusal)
    for seconds in (1, 30, 59.5):
        refused = ask(guild, at=now + timedelta(seconds=seconds))
        assert isinstance(refused, Refusal)
        assert (refused.code, refused.params["seconds"]) == ("cooldown", 60)
        assert refused.params["resets_at"] == (now + timedelta(seconds=60)).timestamp()
    assert not isinstance(ask(guild, at=now + timedelta(seconds=1), user_id=43), Refusal)
    assert not isinstance(ask(guild, at=now + timedelta(seconds=60)), Refusal), "refused requests do not count"


def test_the_replay_refuses_what_channel_rules_and_the_cool_down_refuse(
    make_guild: Callable[..., Guild], ask: Any, now: datetime
) -> None:
    limited, free = (make_guild(max_waiting_per_member=100, cooldown_s=seconds) for seconds in (90, 0))
    for subject, channel_id, limit in (("member", ART, 4), ("guild", CATEGORY, 14)):
        add_rule(limited, subject, channel_id=channel_id, limit=limit)
    refused = 0
    for n in range(30):
        at = now + timedelta(minutes=n)
        wish = {"channel_id": (ART, OTHER, THREAD)[n % 3], "user_id": 42 + n % 2, "at": at}
        wish |= {"parent_channel_id": ART, "category_id": CATEGORY} if n % 3 == 2 else {}
        refused += isinstance(ask(limited, **wish), Refusal)
        ask(free, **wish)
    rules = [
        Rule(
            subject=rule.subject,
            role_id=None,
            channel_id=rule.channel_id,
            metric="images",
            window="day",
            limit=rule.limit,
        )
        for rule in QuotaRule.objects.filter(guild=limited)
    ]
    for guild in (free, limited):
        requests = past_requests.since(guild.pk, now)
        clock = quota.load_clock(guild, now)
        result = quota_replay.replay(rules, requests, clock=clock, cooldown_s=90)
        assert (result.requests, result.refused) == (30, refused), guild
    assert 0 < refused < 30
