"""When a guild's quota windows start and end, also when its time zone changes.

If the time zone changes while a window is open, the window lasts at least until its old end. If no window of the new
zone starts at that moment, it lasts until the next one starts. So a change never ends a window early, and counters are
not moved. The window's first end counts, so repeated changes do not extend it.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

WINDOWS = ("hour", "day", "month")
# A day is held until the next start of a day in the new zone. Holding a month could add a whole month, if the new
# zone's month started hours before the old one's end; then the month ends at its old end.
_LONGEST_HOLD = {"day": timedelta(days=2), "month": timedelta(days=2)}
# What time zones differ from UTC by: from -12:00 to +14:00, in steps of a quarter of an hour.
_UTC_OFFSETS = [timedelta(minutes=15 * quarters) for quarters in range(-12 * 4, 14 * 4 + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time from `start` until `end`, excluding `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaClock:
    """The time zone of windows, and the windows that a change of it holds, with their old ends."""

    time_zone: str
    held: Mapping[str, Window]

    @classmethod
    def load(cls, stored: Mapping[str, Any], *, time_zone: str) -> QuotaClock:
        """Return the clock that `dump` stored. An empty mapping is a new clock of `time_zone`."""
        return cls(
            time_zone=stored.get("time_zone", time_zone),
            held={
                name: Window(start=datetime.fromtimestamp(start, UTC), end=datetime.fromtimestamp(end, UTC))
                for name, (start, end) in stored.get("held", {}).items()
            },
        )

    def dump(self) -> dict[str, Any]:
        """Return the clock for JSON, with times as seconds since 1970."""
        held = {name: [int(w.start.timestamp()), int(w.end.timestamp())] for name, w in self.held.items()}
        return {"time_zone": self.time_zone, "held": held}

    def window(self, name: str, now: datetime) -> Window:
        """Return the window that `now` is in."""
        natural = Window(start=window_start(name, now, self.time_zone), end=window_end(name, now, self.time_zone))
        held = self.held.get(name)
        if held is None or now < held.start:
            return natural
        end = self._end_of_hold(name, held)
        if now < end:
            return Window(start=held.start, end=end)
        return replace(natural, start=max(natural.start, end))

    def windows(self, now: datetime) -> dict[str, Window]:
        """Return all open windows at `now`, by name."""
        return {name: self.window(name, now) for name in WINDOWS}

    def moved(self, time_zone: str, now: datetime) -> QuotaClock:
        """Return the clock after a change of the time zone, which holds the windows that are open now."""
        if time_zone == self.time_zone:
            return self
        held = dict(self.held)
        for name in _LONGEST_HOLD:
            current = self.window(name, now)
            if name not in held or held[name].start != current.start:
                held[name] = current
        return QuotaClock(time_zone=time_zone, held=held)

    def _end_of_hold(self, name: str, held: Window) -> datetime:
        start = window_start(name, held.end, self.time_zone)
        if start == held.end:
            return held.end
        end = window_end(name, held.end, self.time_zone)
        return end if end - held.end <= _LONGEST_HOLD[name] else held.end


def window_start(name: str, now: datetime, time_zone: str) -> datetime:
    """Return the start of the window at `now` in `time_zone`. Hours are the same in every zone."""
    if name == "hour":
        return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    local = now.astimezone(zoneinfo.ZoneInfo(time_zone))
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return (day.replace(day=1) if name == "month" else day).astimezone(UTC)


def window_end(name: str, now: datetime, time_zone: str) -> datetime:
    """Return the end of the window at `now`. A day may have 23 or 25 hours."""
    start = window_start(name, now, time_zone)
    if name == "hour":
        return start + timedelta(hours=1)
    # A time within the next day or month, then its start in local time.
    return window_start(name, start + timedelta(hours=36 if name == "day" else 24 * 33), time_zone)


def current_month_starts(now: datetime) -> list[datetime]:
    """Return when the month that is current at `now` started, for every offset from UTC.

    A month's counter of any server is of the current month if it starts at one of these. Exact but for the hour by
    which a change to or from summer time moves a month's end.
    """
    utc = now.astimezone(UTC)
    return sorted({window_start("month", utc + offset, "UTC") - offset for offset in _UTC_OFFSETS})
