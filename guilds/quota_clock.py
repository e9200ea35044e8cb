"""When a guild's counting windows start and end, however often its time zone is changed. Pure.

A window that has begun is held until the end that it had when the zone was changed, and from there to the next start of
a window in the new zone. So a change never ends a window early, and counters need not be moved. A window is held from
its first end, however many changes follow, so changing the zone often does not hold it any longer either.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

WINDOWS = ("hour", "day", "month")
# A day is held until the next start of a day in the new zone. A month would be held for another month where the new
# zone's month started hours before the old one's ended: it ends at its own end then.
_LONGEST_HOLD = {"day": timedelta(days=2), "month": timedelta(days=2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From `start` up to, and without, `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaClock:
    """The zone that windows start by, and those that were open at a change of it, with the ends they had then."""

    time_zone: str
    held: Mapping[str, Window]

    @classmethod
    def load(cls, stored: Mapping[str, Any], *, time_zone: str) -> QuotaClock:
        """Return what `dump` stored; an empty mapping is a clock of `time_zone` that nothing was counted by."""
        return cls(
            time_zone=stored.get("time_zone", time_zone),
            held={
                name: Window(start=datetime.fromtimestamp(start, UTC), end=datetime.fromtimestamp(end, UTC))
                for name, (start, end) in stored.get("held", {}).items()
            },
        )

    def dump(self) -> dict[str, Any]:
        """Return the clock as JSON takes it: moments as seconds since 1970."""
        held = {name: [int(each.start.timestamp()), int(each.end.timestamp())] for name, each in self.held.items()}
        return {"time_zone": self.time_zone, "held": held}

    def window(self, name: str, now: datetime) -> Window:
        """Return the window around `now`."""
        natural = Window(start=window_start(name, now, self.time_zone), end=window_end(name, now, self.time_zone))
        held = self.held.get(name)
        if held is None or now < held.start:
            return natural
        end = self._end_of_hold(name, held)
        if now < end:
            return Window(start=held.start, end=end)
        return replace(natural, start=max(natural.start, end))

    def windows(self, now: datetime) -> dict[str, Window]:
        """Return all windows around `now` by their names."""
        return {name: self.window(name, now) for name in WINDOWS}

    def moved(self, time_zone: str, now: datetime) -> QuotaClock:
        """Return the clock after a change of the zone; the windows that are open now are held."""
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
    """The start of the window around `now`, on the clock of `time_zone` (an hour is an hour everywhere)."""
    if name == "hour":
        return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    local = now.astimezone(zoneinfo.ZoneInfo(time_zone))
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return (day.replace(day=1) if name == "month" else day).astimezone(UTC)


def window_end(name: str, now: datetime, time_zone: str) -> datetime:
    """When the window around `now` ends; a day may be 23 or 25 hours long."""
    start = window_start(name, now, time_zone)
    if name == "hour":
        return start + timedelta(hours=1)
    # Well into the next day or month, then back to its start on the local clock.
    return window_start(name, start + timedelta(hours=36 if name == "day" else 24 * 33), time_zone)
