"""How many GPU workers are wanted. Pure: the scaling function calls it every ten seconds, and so does the simulation.

The defaults come from the simulation (docs/performance.md); Terraform's variables repeat them.
"""

from __future__ import annotations

from dataclasses import dataclass

LATELY_S = 300
RECENTLY_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Requests queued or running now, and how many were accepted in the last LATELY_S and in the last RECENTLY_S."""

    runnable: int
    lately: int = 0
    recently: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`jobs_per_worker`: requests that may be in line for each worker before one more is started.

    A worker makes that many while one and a half others would start: with fewer in line it is sooner done alone.
    `busy_from`: with so many requests within the hour the next one comes soon: the last worker then stays until none
    came for LATELY_S, since starting anew costs as much. `jobs_per_hour`: what one worker makes.
    """

    jobs_per_worker: int = 24
    max_workers: int = 8
    busy_from: int = 12
    jobs_per_hour: int = 480


def wanted(demand: Demand, limits: Limits) -> int:
    """Return how many workers the demand wants: none where there is none, at most `max_workers`."""
    in_line = -(-demand.runnable // limits.jobs_per_worker)
    # What keeps coming needs its workers even while their line is short.
    kept_busy = demand.lately * (3600 // LATELY_S) // limits.jobs_per_hour
    stays = demand.lately > 0 and demand.recently >= limits.busy_from
    return min(limits.max_workers, max(in_line, kept_busy, int(stays)))


def short(demand: Demand, *, desired: int, limits: Limits) -> int:
    """Return the metric: how many workers are short (positive) or too many (negative) against what is desired now.

    None is too many that has work in hand: a line that was worth a start is worth being finished.
    """
    enough = max(wanted(demand, limits), min(demand.runnable, desired))
    return enough - desired
