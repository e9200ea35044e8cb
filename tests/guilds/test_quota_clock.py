"""Changing a guild's time zone neither ends a counting window early nor holds one for long."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest

from guilds.quota_clock import QuotaClock, Window, current_month_starts, window_end, window_start
from tests.properties import example, given, st

ZONES = [
    "UTC", "Etc/GMT+12", "Pacific/Kiritimati", "Pacific/Apia", "Asia/Tokyo", "Asia/Kolkata", "Asia/Kathmandu",
    "Asia/Beirut", "Africa/Cairo", "Europe/Berlin", "America/St_Johns", "America/New_York", "America/Asuncion",
    "Australia/Lord_Howe", "Antarctica/Troll",
]  # fmt: skip
moments = st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2028, 1, 1), timezones=st.just(UTC))
# Around the ends of months and the changes of clocks, where a rule of this kind breaks.
edges = st.builds(
    lambda day, offset: datetime(*day, tzinfo=UTC) + timedelta(minutes=offset),
    st.sampled_from([(2026, 3, 29), (2026, 10, 25), (2026, 11, 1), (2026, 12, 1), (2027, 1, 1), (2027, 3, 1)]),
    st.integers(-48 * 60, 48 * 60),
)
changes = st.lists(st.tuples(st.integers(0, 40 * 60), st.sampled_from(ZONES)), min_size=1, max_size=30)


def test_a_change_does_not_start_a_window():
    now = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)
    clock = QuotaClock(time_zone="UTC", held={})
    before = clock.windows(now)
    for zone in ZONES:
        clock = clock.moved(zone, now)
        assert {name: window.start for name, window in clock.windows(now).items()} == {
            name: window.start for name, window in before.items()
        }


def test_a_window_is_held_until_its_end_and_the_next_start_in_the_new_zone():
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    clock = QuotaClock(time_zone="UTC", held={}).moved("Asia/Tokyo", now)
    assert clock.window("day", now).end == datetime(2026, 11, 24, 15, tzinfo=UTC)
    # Tokyo's December starts nine hours before UTC's November ends: nobody waits for January.
    assert clock.window("month", now).end == datetime(2026, 12, 1, tzinfo=UTC)
    december = clock.window("month", datetime(2026, 12, 5, tzinfo=UTC))
    assert (december.start, december.end) == (
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2026, 12, 31, 15, tzinfo=UTC),
    )


def test_the_moment_a_held_window_ends_is_in_the_next_one():
    clock = QuotaClock(time_zone="UTC", held={}).moved("Asia/Tokyo", datetime(2026, 11, 23, 12, tzinfo=UTC))
    end = datetime(2026, 11, 24, 15, tzinfo=UTC)
    assert clock.window("day", end - timedelta(microseconds=1)).start == datetime(2026, 11, 23, tzinfo=UTC)
    assert clock.window("day", end) == Window(start=end, end=end + timedelta(days=1))
    assert clock.window("day", datetime(2026, 11, 22, 20, tzinfo=UTC)).start == datetime(2026, 11, 22, 15, tzinfo=UTC)


def test_a_month_that_ends_as_a_day_of_the_new_zone_starts_is_held_for_that_day():
    """Kiritimati is 24 hours ahead of Honolulu: its December starts with Honolulu's 30th of November."""
    clock = QuotaClock(time_zone="Pacific/Kiritimati", held={})
    clock = clock.moved("Pacific/Honolulu", datetime(2026, 11, 20, tzinfo=UTC))
    november = clock.window("month", datetime(2026, 11, 30, 12, tzinfo=UTC))
    assert november == Window(start=datetime(2026, 10, 31, 10, tzinfo=UTC), end=datetime(2026, 12, 1, 10, tzinfo=UTC))


def test_a_stored_clock_is_the_same_again_and_nothing_stored_is_a_new_one():
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    clock = QuotaClock(time_zone="UTC", held={}).moved("Asia/Tokyo", now)
    assert clock.dump() == {
        "time_zone": "Asia/Tokyo",
        "held": {"day": [1795392000, 1795478400], "month": [1793491200, 1796083200]},
    }
    assert QuotaClock.load(clock.dump(), time_zone="UTC") == clock
    assert QuotaClock.load({}, time_zone="Asia/Tokyo") == QuotaClock(time_zone="Asia/Tokyo", held={})
    assert QuotaClock.load({"time_zone": "UTC"}, time_zone="Asia/Tokyo") == QuotaClock(time_zone="UTC", held={})


@pytest.mark.parametrize("now", [datetime(2026, 11, 1, 12, tzinfo=UTC), datetime(2026, 11, 1, 5, 30, tzinfo=UTC)])
def test_a_day_with_two_midnights_starts_at_the_first(now):
    """In Havana the clocks go from one in the morning back to midnight."""
    midnight = datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert window_start("day", now, "America/Havana") == midnight
    assert window_end("day", midnight - timedelta(hours=1), "America/Havana") == midnight
    assert window_end("day", now, "America/Havana") == datetime(2026, 11, 2, 5, tzinfo=UTC)


@pytest.fixture
def _machine_in_kolkata(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_machine_in_kolkata")
def test_the_machines_own_zone_changes_nothing():
    now = datetime(2026, 11, 23, 12, 10, tzinfo=UTC)
    for name, start in (("hour", (2026, 11, 23, 12)), ("day", (2026, 11, 23, 5)), ("month", (2026, 11, 1, 4))):
        found = window_start(name, now, "America/New_York")
        assert (found, found.tzinfo) == (datetime(*start, tzinfo=UTC), UTC)


def test_trying_many_zones_holds_a_window_no_longer():
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    clock = QuotaClock(time_zone="UTC", held={})
    for zone in [*ZONES, *ZONES, "UTC"]:
        clock = clock.moved(zone, now)
    assert clock.window("day", now).end == datetime(2026, 11, 24, tzinfo=UTC)
    assert clock.window("month", now).end == datetime(2026, 12, 1, tzinfo=UTC)


@given(start=st.one_of(moments, edges), first=st.sampled_from(ZONES), changes=changes)
@example(start=datetime(2026, 3, 29, tzinfo=UTC), first="Antarctica/Troll", changes=[(1320, "UTC")])
def test_windows_follow_each_other_and_none_is_cut_short(start, first, changes):
    clock, now = QuotaClock(time_zone=first, held={}), start
    seen = {name: [clock.window(name, now)] for name in ("day", "month")}
    for minutes, zone in changes:
        now += timedelta(minutes=minutes)
        before = clock.windows(now)
        clock = QuotaClock.load(clock.moved(zone, now).dump(), time_zone="UTC")
        for name in ("day", "month"):
            # What the old clock had open or the new one has: one moment has one window.
            for window in (before[name], clock.window(name, now)):
                assert window.start <= now < window.end
                if window.start != seen[name][-1].start:
                    seen[name].append(window)
    # At Troll the clocks are moved by two hours, so one day of the year has 22.
    shortest = {"day": timedelta(hours=22), "month": timedelta(days=28) - timedelta(hours=27)}
    for name, windows in seen.items():
        starts = [window.start for window in windows]
        assert starts == sorted(set(starts))
        for one, two in itertools.pairwise(starts):
            assert two - one >= shortest[name], (name, one, two)


@given(start=st.one_of(moments, edges), first=st.sampled_from(ZONES), changes=changes)
def test_no_more_is_used_than_by_one_zone(start, first, changes):
    """Somebody who uses all they may at every moment, and changes the zone whenever they like, gains nothing."""
    clock, now, counters = QuotaClock(time_zone=first, held={}), start, {}
    for minutes, zone in changes:
        for _ in range(2):
            counters[clock.window("day", now).start] = now
            clock = clock.moved(zone, now)
        now += timedelta(minutes=minutes)
    days = (now - start) / timedelta(hours=22)
    assert len(counters) <= days + 2


@pytest.mark.parametrize("zone", ZONES)
@given(now=st.one_of(moments, edges))
def test_an_unchanged_clock_has_the_zones_own_windows(zone, now):
    clock = QuotaClock(time_zone=zone, held={}).moved(zone, now)
    for name in ("hour", "day", "month"):
        window = clock.window(name, now)
        assert (window.start, window.end) == (window_start(name, now, zone), window_end(name, now, zone))


@given(moments | edges, st.sampled_from(ZONES))
def test_a_month_that_starts_at_one_of_the_current_starts_is_current(now, zone):
    start = window_start("month", now, zone)
    # What a change to or from summer time moves the end of a month by; two hours at the South Pole.
    change = timedelta(hours=2)
    assert start in {*current_month_starts(now), *current_month_starts(now - change)}
    assert window_start("month", start - timedelta(days=1), zone) not in current_month_starts(now + change)
