"""A request's place in line and its estimated wait, from the jobs ahead of it. The simulation uses it too."""

from __future__ import annotations

from dataclasses import dataclass

# Used until a start was measured: a g4dn instance with the weights in its image, until the worker is ready.
DEFAULT_START_S = 180.0
# A start that takes longer than usual is expected to end after this share of its usual time.
OVERDUE_SHARE = 0.1
# Half of the starts take longer than the mean.
START_MARGIN = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is ahead of a job: jobs `queued` and `running` in all guilds, `waiting` in its guild, and live `workers`.

    `seconds` is the mean run time of recent jobs. `start_s` is the mean time of recent starts, from the request that
    asked for a worker until it was ready; `asked_s` is how long ago the oldest queued job asked. None if unknown.
    """

    queued: int
    running: int
    waiting: int
    workers: int
    seconds: float | None
    start_s: float | None
    asked_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePosition:
    """`place` 1 is next. `wait_s`, until the images are there, is None if no job was measured yet."""

    place: int
    wait_s: float | None
    gpu_starting: bool


def estimate_position(ahead: Backlog, *, waits: bool) -> QueuePosition:
    """Return a job's place in the queue and its estimated wait. `waits`: it is in its guild's queue, not queued yet."""
    before = ahead.queued + (ahead.waiting if waits else 0)
    wait_s = None
    if ahead.seconds is not None:
        # What runs counts whole: half of it is left on average, but then every other promise would be too short.
        rounds = (before + ahead.running) // max(ahead.workers, 1)
        wait_s = ahead.seconds * (rounds + 1)
    if not ahead.workers:
        wait_s = (wait_s or 0.0) + _start_left_s(ahead)
    return QueuePosition(place=before + 1, wait_s=wait_s, gpu_starting=not ahead.workers)


def _start_left_s(ahead: Backlog) -> float:
    """Return how long until a worker is ready that the oldest queued job asked for, or this one."""
    start_s = (ahead.start_s or DEFAULT_START_S) * START_MARGIN
    return max(start_s - (ahead.asked_s or 0.0), start_s * OVERDUE_SHARE)
