"""The plan of faults, drawn from a seed: the same seed gives the same plan. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    KILL_WORKER = "kill_worker"  # SIGKILL, started again
    STOP_WORKER = "stop_worker"  # SIGTERM, started again
    KILL_INGRESS = "kill_ingress"
    KILL_UPKEEP = "kill_upkeep"
    KILL_DISCORD = "kill_discord"
    KILL_DATABASE = "kill_database"  # immediate shutdown: every connection cut, crash recovery at the start
    KILL_QUEUE = "kill_queue"  # what is in the queue is lost
    CUT_DATABASE = "cut_database"  # connections reset, new ones too, for a while
    SLOW_DATABASE = "slow_database"
    CUT_QUEUE = "cut_queue"
    SLOW_QUEUE = "slow_queue"
    CUT_DISCORD = "cut_discord"
    DISCORD_429 = "discord_429"
    DISCORD_500 = "discord_500"
    DISCORD_404 = "discord_404"
    DOUBLE_MESSAGES = "double_messages"
    REORDER_MESSAGES = "reorder_messages"
    REDELIVER = "redeliver"  # visibility to 0 while the work goes on
    SKEW_CLOCK = "skew_clock"  # a worker's clock a few seconds ahead or behind
    HANG_ENGINE = "hang_engine"  # a request on which every engine hangs, in a step or in decoding
    POISON_JOB = "poison_job"  # a request on which every engine raises, or the card breaks
    LOADER_RAISES = "loader_raises"  # a request for a model that cannot be loaded
    MONTH_BOUNDARY = "month_boundary"  # two processes decide at once, one in the old month and one in the new
    CHANGE_TIME_ZONE = "change_time_zone"  # of a server whose members have used up their quota
    CLOSE_SERVER = "close_server"  # one server's replies are deleted, its channel and its members' DMs refuse
    DISCORD_DOWN = "discord_down"  # for minutes, while other faults go on


# How often each kind is drawn, relative to the others.
_WEIGHTS = {
    Kind.KILL_WORKER: 6,
    Kind.STOP_WORKER: 4,
    Kind.KILL_INGRESS: 2,
    Kind.KILL_UPKEEP: 2,
    Kind.KILL_DISCORD: 1,
    Kind.KILL_DATABASE: 1,
    Kind.KILL_QUEUE: 1,
    Kind.CUT_DATABASE: 2,
    Kind.SLOW_DATABASE: 2,
    Kind.CUT_QUEUE: 2,
    Kind.SLOW_QUEUE: 1,
    Kind.CUT_DISCORD: 2,
    Kind.DISCORD_429: 4,
    Kind.DISCORD_500: 3,
    Kind.DISCORD_404: 1,
    Kind.DOUBLE_MESSAGES: 4,
    Kind.REORDER_MESSAGES: 2,
    Kind.REDELIVER: 2,
    Kind.SKEW_CLOCK: 1,
    Kind.HANG_ENGINE: 1,
    Kind.POISON_JOB: 2,
    Kind.LOADER_RAISES: 2,
    Kind.MONTH_BOUNDARY: 1,
    Kind.CHANGE_TIME_ZONE: 2,
    Kind.CLOSE_SERVER: 1,
    # Once a run: it lasts longer than all others.
    Kind.DISCORD_DOWN: 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`at_job`: how many requests are sent before the fault; `seconds`: how long it lasts, if it has a length."""

    at_job: int
    kind: Kind
    target: int
    seconds: float


def draw(seed: int, *, jobs: int, faults: int, workers: int, kinds: Sequence[Kind] = tuple(Kind)) -> tuple[Fault, ...]:
    """Draw `faults` faults of `kinds` over a run of `jobs` requests; every kind comes once before any by weight."""
    # Must repeat with the same seed; no secret.
    chance = random.Random(seed)  # nosec B311
    first = chance.sample(kinds, k=min(faults, len(kinds)))
    rest = chance.choices(kinds, weights=[_WEIGHTS[kind] for kind in kinds], k=max(0, faults - len(first)))
    drawn = [
        Fault(
            at_job=chance.randrange(1, max(2, jobs)),
            kind=kind,
            target=chance.randrange(workers),
            seconds=round(chance.uniform(0.3, 2.5), 2),
        )
        for kind in (*first, *rest)
    ]
    return tuple(sorted(drawn, key=lambda fault: fault.at_job))
