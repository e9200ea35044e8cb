"""The stacked bar chart of ended requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.job_status import Status

from . import formatting

CHARTED = (Status.COMPLETED, Status.FAILED, Status.EXPIRED, Status.CANCELLED, Status.REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    status: str
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One bar of the chart. The heights of its segments are percent of the chart's height."""

    title: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    columns: tuple[Column, ...]
    totals: tuple[tuple[str, str, str], ...]
    """For each status that occurs: the status, its label and the number of jobs."""
    top: str
    half: str
    axis: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not any(column.segments for column in self.columns)


def round_top(highest: int) -> int:
    """Return the number at the top of the axis: round, even, and at least `highest`. Pure."""
    unit = 10 ** (len(str(highest)) - 1)
    return next(unit * step for step in (2, 4, 6, 8, 10) if unit * step >= highest)


def chart(counts: Iterable[tuple[datetime, str, int]], *, start: datetime, steps: int, step: timedelta) -> Chart:
    """Return a chart of `steps` columns from `start` on, from counts of (time, status, jobs). Pure."""
    stacks: list[dict[str, int]] = [defaultdict(int) for _ in range(steps)]
    totals: dict[str, int] = defaultdict(int)
    for at, status, jobs in counts:
        column = int((at - start) / step)
        if 0 <= column < steps:
            stacks[column][status] += jobs
            totals[status] += jobs
    top = round_top(max((sum(stack.values()) for stack in stacks), default=0))
    time_format = "%H:%M" if step < timedelta(days=1) else "%d %b"
    names = [(start + step * column).strftime(time_format) for column in range(steps)]
    return Chart(
        columns=tuple(
            Column(
                title=f"{name}: " + (", ".join(f"{jobs:,} {status}" for status, jobs in stack.items()) or "nothing"),
                segments=tuple(
                    Segment(status=status, percent=round(100 * stack[status] / top, 2))
                    for status in CHARTED
                    if stack.get(status)
                ),
            )
            for name, stack in zip(names, stacks, strict=True)
        ),
        totals=tuple(
            (str(status), str(status.label), formatting.count(totals[status]))
            for status in CHARTED
            if totals.get(status)
        ),
        top=formatting.count(top),
        half=formatting.count(top / 2),
        axis=(names[0], names[len(names) // 2], names[-1]) if steps > 2 else tuple(names),
    )
