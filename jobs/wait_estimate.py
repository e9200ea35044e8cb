"""A request's place in line and its estimated wait, from the jobs ahead of it. The simulation uses it too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Used until a start was measured: a g4dn instance with the weights in its image, until the worker is ready.
DEFAULT_START_S = 180.0
# A start that takes longer than usual is expected to end after this share of its usual time.
OVERDUE_SHARE = 0.1
# One start in five takes longer than this share of the recent ones did, and the next tick of scaling comes on top.
START_QUANTILE = 0.8
START_MARGIN = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is ahead of a job: jobs `queued` and `running` in all guilds, `waiting` in its guild, and live `workers`.

    `active` are its guild's jobs among the queued and running ones.
    `seconds` is the mean run time of recent jobs; `gpu_s` their mean share of a GPU's time, which is less where jobs
    share a batch. `starts` are recent times from the request that asked for a worker until it was ready;
    `asked_s` is how long ago the oldest queued job asked. None if unknown.
    """

    queued: int
    running: int
    waiting: int
    workers: int
    seconds: float | None
    starts: Sequence[float] = ()
    asked_s: float | None = None
    gpu_s: float | None = None
    active: int = 0


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
        rounds = (ahead.queued + ahead.running + (_turns_before(ahead) if waits else 0)) // max(ahead.workers, 1)
        # In a batch, several jobs run at once. Their shares of the GPU's time add up; their run times do not.
        wait_s = max(ahead.seconds, (ahead.gpu_s or ahead.seconds) * (rounds + 1))
    if not ahead.workers:
        wait_s = (wait_s or 0.0) + _start_left_s(ahead)
    return QueuePosition(place=before + 1, wait_s=wait_s, gpu_starting=not ahead.workers)


def _turns_before(ahead: Backlog) -> int:
    """Return how many jobs of all guilds run while those end that wait in the job's own guild.

    A guild's next job is queued when one of its jobs ends, behind what other guilds have queued by then.
    """
    others = (ahead.queued + ahead.running) / ahead.active if ahead.active else 1.0
    return round(ahead.waiting * max(1.0, others))


def _start_left_s(ahead: Backlog) -> float:
    """Return how long until a worker is ready that the oldest queued job asked for, or this one."""
    asked_s = ahead.asked_s or 0.0
    starts = sorted(ahead.starts or (DEFAULT_START_S,))
    longer = [each for each in starts if each > asked_s]
    if not longer:
        return starts[-1] * OVERDUE_SHARE
    return longer[int(len(longer) * START_QUANTILE)] * START_MARGIN - asked_s
