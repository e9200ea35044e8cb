"""How many GPU workers to run. The scaling function calls it every ten seconds, and the simulation does too.

The defaults come from the simulation (docs/explanation/performance.md); Terraform's variables repeat them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SHORT_WINDOW_S = 300
LONG_WINDOW_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Requests queued or running now, and those accepted in the last SHORT_WINDOW_S and LONG_WINDOW_S.

    `relaxed`: relaxed requests that are open and not due. They are in none of the other numbers until they run.
    `idle_s`: seconds since the newest request was accepted. Ignored if none was in the last LONG_WINDOW_S.
    """

    runnable: int
    relaxed: int = 0
    accepted_in_short_window: int = 0
    accepted_in_long_window: int = 0
    idle_s: float = LONG_WINDOW_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to start one more worker, and when to stop the last one.

    `jobs_per_worker`: queued requests per worker before one more is started. A worker finishes half of them while
    another starts, so a shorter queue is done sooner without it.
    `jobs_per_hour`: what one worker completes in an hour. `target_utilization`: the share of it at which a steady
    arrival rate needs one more worker; random arrivals wait for each other long before a worker is full.
    `keep_alive_min_hourly`: with at least this many requests in the last hour the last worker is kept, since the next
    request comes soon and a new start costs as much as waiting. It stays for `keep_alive_gaps` times the mean gap
    between requests, at most `keep_alive_max_s`.
    `relaxed_together`: with so many relaxed requests a worker is started before they are due.
    """

    jobs_per_worker: int = 32
    max_workers: int = 8
    jobs_per_hour: int = 480
    target_utilization: float = 0.65
    keep_alive_min_hourly: int = 15
    keep_alive_gaps: float = 10
    keep_alive_max_s: float = 600
    relaxed_together: int = 32


def desired_workers(demand: Demand, limits: Limits) -> int:
    """Return how many workers to run for the demand, from 0 to `max_workers`."""
    relaxed = demand.relaxed if demand.relaxed >= limits.relaxed_together else 0
    for_queue = -(-(demand.runnable + relaxed) // limits.jobs_per_worker)
    return min(limits.max_workers, max(for_queue, _steady_workers(demand, limits), int(_kept_workers(demand, limits))))


def _steady_workers(demand: Demand, limits: Limits) -> int:
    """Return the workers for a steady arrival rate, even while the queue is short. A single one is _kept_workers'."""
    # Bounded by the last hour: a burst of a few minutes ends before a new worker is ready.
    per_hour = min(demand.accepted_in_short_window * (3600 // SHORT_WINDOW_S), demand.accepted_in_long_window)
    needed = math.ceil(per_hour / (limits.jobs_per_hour * limits.target_utilization))
    return needed if needed > 1 else 0


def _kept_workers(demand: Demand, limits: Limits) -> bool:
    if demand.accepted_in_long_window < limits.keep_alive_min_hourly:
        return False
    return demand.idle_s < min(
        limits.keep_alive_max_s, limits.keep_alive_gaps * LONG_WINDOW_S / demand.accepted_in_long_window
    )


def worker_deficit(demand: Demand, *, desired: int, limits: Limits) -> int:
    """Return the metric: missing workers (positive) or excess workers (negative), compared with `desired`.

    No worker is excess while there is a job for it. A relaxed one counts, because now it needs no start.
    """
    enough = max(desired_workers(demand, limits), min(demand.runnable + demand.relaxed, desired))
    return enough - desired
