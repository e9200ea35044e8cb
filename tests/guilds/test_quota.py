from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guilds.quota import Rule, Used, applicable, decide, decide_budget, stand
from guilds.quota_clock import QuotaClock, window_end, window_start

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WINDOWS = QuotaClock(time_zone="UTC", held={}).windows(NOON)


def rule(subject="member", *, limit, role_id=None, metric="pictures", window="day"):
    return Rule(subject=subject, role_id=role_id, metric=metric, window=window, limit=limit)


def test_a_role_rule_wins_over_the_members_rule_even_when_it_is_lower():
    assert applicable([rule(limit=100), rule("role", limit=4, role_id=7)], frozenset({7}))[0].limit == 4


def test_of_several_roles_the_highest_limit_wins_and_unlimited_is_highest():
    rules = [rule("role", limit=4, role_id=7), rule("role", limit=None, role_id=8), rule("role", limit=9, role_id=9)]
    assert applicable(rules, frozenset({7, 9}))[0].limit == 9
    assert applicable(rules, frozenset({7, 8, 9}))[0].limit is None


def test_the_guilds_rule_counts_beside_an_unlimited_role():
    rules = [rule("guild", limit=10), rule("role", limit=None, role_id=7)]
    bound = applicable(rules, frozenset({7}))
    refusal = decide(stand(bound, {(0, "day"): Used(pictures=8)}, user_id=42, windows=WINDOWS), pictures=4, gpu_ms=0)
    assert refusal is not None
    assert refusal.code == "quota_exceeded"
    assert refusal.params["subject"] == "guild"


def test_what_fits_exactly_is_allowed():
    standings = stand([rule(limit=8)], {(42, "day"): Used(pictures=4)}, user_id=42, windows=WINDOWS)
    assert decide(standings, pictures=4, gpu_ms=0) is None
    assert decide(standings, pictures=5, gpu_ms=0) is not None


def test_a_grant_adds_to_the_limit():
    used = {(42, "day"): Used(pictures=8, granted_pictures=4)}
    standings = stand([rule(limit=8)], used, user_id=42, windows=WINDOWS)
    assert standings[0].left == 4
    assert decide(standings, pictures=4, gpu_ms=0) is None


def test_the_refusal_names_the_reset_that_comes_last():
    standings = stand([rule(limit=1, window="hour"), rule(limit=1, window="month")], {}, user_id=42, windows=WINDOWS)
    refusal = decide(standings, pictures=4, gpu_ms=0)
    assert refusal is not None
    assert refusal.params["resets_at"] == int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())


def test_gpu_seconds_are_counted_in_seconds():
    standings = stand([rule(limit=10, metric="gpu_seconds")], {(42, "day"): Used(gpu_ms=9_000)}, user_id=42,
                      windows=WINDOWS)  # fmt: skip
    assert decide(standings, pictures=99, gpu_ms=1_000) is None
    assert decide(standings, pictures=0, gpu_ms=1_001) is not None


def test_a_budget_stops_hard():
    assert decide_budget(100, spent_ms=99_000, gpu_ms=1_000, now=NOON) is None
    refusal = decide_budget(100, spent_ms=99_000, gpu_ms=1_001, now=NOON)
    assert refusal is not None
    assert refusal.code == "budget_spent"
    assert refusal.params["resets_at"] == int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())
    assert decide_budget(None, spent_ms=10**12, gpu_ms=10**9, now=NOON) is None


def test_a_day_begins_at_the_guilds_midnight():
    start = window_start("day", NOON, "America/New_York")
    assert start == datetime(2026, 11, 23, 5, tzinfo=UTC)
    assert window_end("day", NOON, "America/New_York") == datetime(2026, 11, 24, 5, tzinfo=UTC)


def test_the_day_the_clocks_go_back_is_25_hours_long():
    noon = datetime(2026, 10, 25, 12, tzinfo=UTC)
    length = window_end("day", noon, "Europe/Berlin") - window_start("day", noon, "Europe/Berlin")
    assert length == timedelta(hours=25)


@pytest.mark.parametrize("window", ["hour", "day", "month"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia"])
@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2035, 1, 1), timezones=st.just(UTC)))
def test_windows_hold_their_moment_and_touch_without_gap(window, zone, at):
    start, end = window_start(window, at, zone), window_end(window, at, zone)
    assert start <= at < end
    assert window_start(window, end, zone) == end
    assert window_end(window, end - timedelta(microseconds=1), zone) == end
