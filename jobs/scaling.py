"""How many GPU workers are wanted. Pure: the scaling function calls it every ten seconds, and so does the simulation.

The defaults come from the simulation (docs/performance.md); Terraform's variables repeat them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LATELY_S = 300
RECENTLY_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Requests queued or running now, and how many were accepted in the last LATELY_S and in the last RECENTLY_S.

    `quiet_s`: since the newest of them was accepted; without one in the last RECENTLY_S it does not matter.
    """

    runnable: int
    lately: int = 0
    recently: int = 0
    quiet_s: float = RECENTLY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When one more worker is worth its start, and when the last is worth its keep.

    `jobs_per_worker`: requests that may be in line for each worker before one more is started. A worker makes half of
    them while another would start: with fewer in line it is sooner done alone.
    `jobs_per_hour`: what one worker makes; `full_from`: the share of it from which requests that keep coming need one
    more, since those who come at random wait for each other long before a worker is full.
    `busy_from`: with so many requests within the hour the next one comes soon, and starting anew costs as much as
    waiting for it. The last worker then stays for `patience` times the mean gap between them, `longest_stay_s` at most:
    silence says that a crowd has gone sooner than that a trickle has.
    """

    jobs_per_worker: int = 32
    max_workers: int = 8
    jobs_per_hour: int = 480
    full_from: float = 0.65
    busy_from: int = 15
    patience: float = 10
    longest_stay_s: float = 600


def wanted(demand: Demand, limits: Limits) -> int:
    """Return how many workers the demand wants: none where there is none, at most `max_workers`."""
    in_line = -(-demand.runnable // limits.jobs_per_worker)
    return min(limits.max_workers, max(in_line, _steady(demand, limits), int(_stays(demand, limits))))


def _steady(demand: Demand, limits: Limits) -> int:
    """More than one worker for what keeps coming, even while the line is short; one is `_stays`' to keep."""
    # The hour's own number as well: a few minutes' crowd is gone before a start is over.
    per_hour = min(demand.lately * (3600 // LATELY_S), demand.recently)
    needed = math.ceil(per_hour / (limits.jobs_per_hour * limits.full_from))
    return needed if needed > 1 else 0


def _stays(demand: Demand, limits: Limits) -> bool:
    if demand.recently < limits.busy_from:
        return False
    return demand.quiet_s < min(limits.longest_stay_s, limits.patience * RECENTLY_S / demand.recently)


def short(demand: Demand, *, desired: int, limits: Limits) -> int:
    """Return the metric: how many workers are short (positive) or too many (negative) against what is desired now.

    None is too many that has work in hand: a line that was worth a start is worth being finished.
    """
    enough = max(wanted(demand, limits), min(demand.runnable, desired))
    return enough - desired
