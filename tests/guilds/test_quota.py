from datetime import UTC, datetime, timedelta

import pytest

from guilds.policy import Refusal
from guilds.quota import Counter, Rule, applicable, decide, decide_budget, evaluate
from guilds.quota_clock import QuotaClock, window_end, window_start
from tests.properties import given, st

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MIDNIGHT = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp())
WINDOWS = QuotaClock(time_zone="UTC", held={}).windows(NOON)


def rule(subject="member", *, limit, role_id=None, metric="images", window="day"):
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
    refusal = decide(evaluate(bound, {(0, "day"): Counter(images=8)}, user_id=42, windows=WINDOWS), images=4, gpu_ms=0)
    assert refusal is not None
    assert refusal.code == "quota_exceeded"
    assert refusal.params["subject"] == "guild"


def test_what_fits_exactly_is_allowed():
    standings = evaluate([rule(limit=8)], {(42, "day"): Counter(images=4)}, user_id=42, windows=WINDOWS)
    assert decide(standings, images=4, gpu_ms=0) is None
    assert decide(standings, images=5, gpu_ms=0) is not None


ROLE = {"subject": "role", "role_id": 7}


@pytest.mark.parametrize(
    ("of", "used", "wanted", "params"),
    [
        (
            {"limit": 8},
            Counter(images=6, granted_images=1),
            {"images": 4, "gpu_ms": 0},
            {"subject": "member", "role_id": None, "metric": "images", "limit": 9, "used": 6, "left": 3, "needed": 4},
        ),
        (
            ROLE | {"limit": 8},
            Counter(images=9),
            {"images": 1, "gpu_ms": 9_000},
            {"subject": "role", "role_id": 7, "metric": "images", "limit": 8, "used": 9, "left": 0, "needed": 1},
        ),
        (
            {"limit": 10, "metric": "gpu_seconds"},
            Counter(gpu_ms=11_260, granted_gpu_ms=2_999),
            {"images": 1, "gpu_ms": 1_260},
            {"subject": "member", "role_id": None, "metric": "gpu_seconds", "limit": 12, "used": 11.3, "left": 0.7,
             "needed": 1.3},
        ),
        (
            {"limit": 0, "metric": "gpu_seconds"},
            Counter(gpu_ms=0),
            {"images": 1, "gpu_ms": 49},
            {"subject": "member", "role_id": None, "metric": "gpu_seconds", "limit": 0, "used": 0, "left": 0,
             "needed": 0.0},
        ),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_left_and_what_was_needed(of, used, wanted, params):
    standings = evaluate([rule(**of)], {(42, "day"): used}, user_id=42, windows=WINDOWS)
    assert decide(standings, **wanted) == Refusal(
        code="quota_exceeded", params=params | {"window": "day", "resets_at": MIDNIGHT}
    )


def test_what_is_left_of_an_unlimited_rule_is_unlimited():
    (standing,) = evaluate([rule(limit=None)], {(42, "day"): Counter(images=10**9)}, user_id=42, windows=WINDOWS)
    assert (standing.limit, standing.left, standing.used) == (None, None, 10**9)
    assert decide([standing], images=10**9, gpu_ms=0) is None


def test_a_second_has_a_thousand_milliseconds():
    granted = {(42, "day"): Counter(granted_gpu_ms=1_000_000)}
    (standing,) = evaluate([rule(limit=1, metric="gpu_seconds")], granted, user_id=42, windows=WINDOWS)
    assert standing.limit == 1001
    assert decide([standing], images=0, gpu_ms=2_000_000).params["needed"] == 2000


def test_counters_are_added_part_by_part():
    one = Counter(images=1, gpu_ms=20, granted_images=300, granted_gpu_ms=4000)
    two = Counter(images=5, gpu_ms=60, granted_images=700, granted_gpu_ms=8000)
    assert one + two == Counter(images=6, gpu_ms=80, granted_images=1000, granted_gpu_ms=12_000)


def test_a_rule_is_held_against_its_own_subject_and_window():
    used = {(0, "day"): Counter(images=1), (42, "day"): Counter(images=2), (42, "hour"): Counter(images=3),
            (43, "day"): Counter(images=4)}  # fmt: skip
    rules = [rule("guild", limit=9), rule(limit=9), rule(limit=9, window="hour"), rule("role", limit=9, role_id=7)]
    standings = evaluate(rules, used, user_id=42, windows=WINDOWS)
    assert [each.used for each in standings] == [1, 2, 3, 2]
    assert [each.rule for each in standings] == rules
    assert [each.resets_at.hour for each in standings] == [0, 0, 13, 0]


def test_each_metric_and_window_has_a_rule_of_its_own():
    rules = [
        rule(limit=1),
        rule(limit=2, window="hour"),
        rule(limit=3, metric="gpu_seconds"),
        rule("role", limit=4, role_id=7, window="hour"),
        rule("role", limit=5, role_id=8),
    ]
    assert [each.limit for each in applicable(rules, frozenset({7}))] == [1, 4, 3]
    assert [each.limit for each in applicable(rules, frozenset())] == [1, 2, 3]


def test_a_grant_of_images_gives_no_gpu_time_and_the_other_way_round():
    granted = {(42, "day"): Counter(granted_images=5, granted_gpu_ms=7_999)}
    standings = evaluate([rule(limit=1), rule(limit=1, metric="gpu_seconds")], granted, user_id=42, windows=WINDOWS)
    assert [each.limit for each in standings] == [1 + 5, 1 + 7]


def test_a_grant_adds_to_the_limit():
    used = {(42, "day"): Counter(images=8, granted_images=4)}
    standings = evaluate([rule(limit=8)], used, user_id=42, windows=WINDOWS)
    assert standings[0].left == 4
    assert decide(standings, images=4, gpu_ms=0) is None


def test_the_refusal_names_the_reset_that_comes_last():
    standings = evaluate([rule(limit=1, window="hour"), rule(limit=1, window="month")], {}, user_id=42, windows=WINDOWS)
    refusal = decide(standings, images=4, gpu_ms=0)
    assert refusal is not None
    assert refusal.params["resets_at"] == int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())


def test_gpu_seconds_are_counted_in_seconds():
    standings = evaluate([rule(limit=10, metric="gpu_seconds")], {(42, "day"): Counter(gpu_ms=9_000)}, user_id=42,
                      windows=WINDOWS)  # fmt: skip
    assert decide(standings, images=99, gpu_ms=1_000) is None
    assert decide(standings, images=0, gpu_ms=1_001) is not None


def test_a_budget_stops_hard():
    assert decide_budget(100, spent_ms=99_000, gpu_ms=1_000, now=NOON) is None
    refusal = decide_budget(100, spent_ms=99_000, gpu_ms=1_001, now=NOON)
    december = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())
    assert refusal == Refusal(code="budget_spent", params={"limit": 100, "resets_at": december})
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
