"""A replay of kept requests says what rules would have refused, as admission itself decides."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from guilds import quota
from guilds.models import Channel, QuotaRule
from guilds.policy import Refusal
from guilds.quota import Rule
from guilds.quota_clock import QuotaClock
from guilds.quota_replay import PastRequest, replay
from jobs import past_requests, submission
from tests.admin.conftest import guild_a, moderator_a  # noqa: F401

UTC_CLOCK = QuotaClock(time_zone="UTC", held={})


def rule(subject="member", limit=4, window="day", metric="images"):
    return Rule(subject=subject, role_id=None, metric=metric, window=window, limit=limit)


def past(at, user_id=1, images=2, used=None, gpu_ms=1000):
    used = images if used is None else used
    return PastRequest(
        at=at, user_id=user_id, images=images, gpu_ms=gpu_ms, used_images=used, used_gpu_ms=gpu_ms if used else 0
    )


def test_a_window_ends_and_members_count_apart(now):
    requests = [past(now + timedelta(hours=hour), user_id=user) for hour in (0, 1, 2, 24) for user in (1, 2)]
    result = replay([rule()], requests, clock=UTC_CLOCK)
    assert (result.requests, result.refused, result.members) == (8, 2, 2)
    assert replay([rule("guild")], requests, clock=UTC_CLOCK).refused == 4
    assert replay([], requests, clock=UTC_CLOCK).refused == 0


def test_what_was_refunded_leaves_room_and_what_is_refused_uses_nothing(now):
    requests = [past(now, used=0), past(now), past(now, images=4), past(now)]
    assert replay([rule()], requests, clock=UTC_CLOCK).refused == 1


def test_rules_of_roles_are_left_out(now):
    role = Rule(subject="role", role_id=5, metric="images", window="day", limit=0)
    assert replay([role], [past(now)], clock=UTC_CLOCK).refused == 0


def test_a_replay_that_takes_too_long_says_how_far_it_came(now):
    seconds = iter(range(100))
    result = replay([rule()], [past(now)] * 50, clock=UTC_CLOCK, spent_s=lambda: next(seconds))
    assert 0 < result.requests < 10


@pytest.mark.django_db
@pytest.mark.parametrize("limits", [{"member": 5}, {"guild": 14}, {"member": 7, "guild": 16}])
def test_the_replay_refuses_what_admission_refuses(make_guild, make_ask, now, limits):
    free, limited = (
        make_guild(max_waiting=10_000, max_waiting_per_member=10_000),
        make_guild(max_waiting=10_000, max_waiting_per_member=10_000),
    )
    for subject, limit in limits.items():
        QuotaRule.objects.create(guild=limited, subject=subject, metric="images", window="day", limit=limit)
    chance, refused, members = random.Random(11), 0, set()
    for number in range(40):
        at, user = now + timedelta(hours=number * 1.5), chance.randint(1, 4)
        ask = {"user_id": user, "count": chance.randint(1, 4)}
        assert not isinstance(submission.submit(make_ask(free, **ask), now=at), Refusal)
        if isinstance(submission.submit(make_ask(limited, **ask), now=at), Refusal):
            refused += 1
            members.add(user)
    rules = [rule(subject, limit) for subject, limit in limits.items()]
    for guild in (free, limited):
        requests = past_requests.since(guild.pk, now - timedelta(days=1))
        result = replay(rules, requests, clock=quota.load_clock(guild, now))
        assert (result.requests, result.refused, result.members) == (40, refused, len(members))
    assert refused > 5


@pytest.mark.django_db
def test_the_page_previews_the_rules_in_the_form(moderator_a, guild_a, make_ask):  # noqa: F811
    from django.utils import timezone

    for _ in range(3):
        submission.submit(make_ask(guild_a, count=2), now=timezone.now())
    address = f"/admin/guilds/guild/{guild_a.pk}/quota-preview/"
    typed = {"subject": "member", "role_id": "", "metric": "images", "window": "month", "limit": "4"}
    sent = {f"quota_rules-0-{name}": value for name, value in typed.items()}
    sent |= {"quota_rules-TOTAL_FORMS": "1", "quota_rules-INITIAL_FORMS": "0"}
    shown = moderator_a.post(address, sent).text
    assert "1 of 3 requests" in shown
    assert "of 1 member." in " ".join(shown.split())
    assert not QuotaRule.objects.exists(), "nothing is saved"
    shown = " ".join(moderator_a.post(address, sent | {"quota_rules-0-limit": "99", "cooldown_s": "3600"}).text.split())
    assert "these rules and the cool-down of 3600 seconds would have refused <strong>2 of 3 requests" in shown
    assert "Correct the rules first" in moderator_a.post(address, sent | {"cooldown_s": "-1"}).text
    elsewhere = sent | {"quota_rules-0-limit": "0", "quota_rules-0-channel_id": "71"}
    assert "Correct the rules first" in moderator_a.post(address, elsewhere).text, "no channel of this server"
    Channel.objects.create(pk=71, guild=guild_a, name="art", kind=0)
    assert "0 of 3 requests" in moderator_a.post(address, elsewhere).text
    assert "Correct the rules first" in moderator_a.post(address, sent | {"quota_rules-0-limit": ""}).text
    assert moderator_a.post("/admin/guilds/guild/1/quota-preview/", sent).status_code == 404
    assert moderator_a.get(address).status_code == 405
