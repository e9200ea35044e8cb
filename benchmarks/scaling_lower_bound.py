"""The least cost of any policy that knows the request rate, but not the arrivals.

The optimum of benchmarks/optimum.py costs less, because it knows all arrivals. No real policy can close that gap.
The bound comes from dynamic programming, backwards over slots of ten seconds. Each late request has a price, which is
raised until 95 % of the requests are in time. This is a Lagrangian bound: no policy with the same p95 costs less on
average over such days. The bound favours the policy: it knows the rate at every moment, no request waits for another,
and a peak takes fractions of a machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .policies import Fleet

SLOT_S = 10.0


def least_hours(
    rate: Callable[[float], float], length_s: float, fleet: Fleet, *, p95_wait_s: float, longest_s: float = 0.0
) -> float:
    """Return the least expected machine hours with 95 % of the requests waiting `p95_wait_s` at most.

    `rate` is in requests a second at a time. A machine is started when the first request waits for it; with a
    `longest_s` beyond a start's length it may be put off, to be started for several that wait up to that long. Raises
    ValueError where waiting for a start is within `p95_wait_s`: then there is nothing to decide.
    """
    if p95_wait_s >= fleet.warm_start_s:
        raise ValueError(f"a start of {fleet.warm_start_s:g} s is within {p95_wait_s:g} s")
    slots = [rate((slot + 0.5) * SLOT_S) * SLOT_S for slot in range(round(length_s / SLOT_S))]
    may_be_late = 0.05 * sum(slots)
    # Being in time is never worth more than a machine that always runs.
    least, low, high = 0.0, 0.0, length_s
    for _ in range(20):
        price = (low + high) / 2
        seconds, late = _pay(slots, fleet, price, p95_wait_s=p95_wait_s, longest_s=longest_s)
        least = max(least, seconds - price * may_be_late)
        low, high = (price, high) if late > may_be_late else (low, price)
    return least / 3600


def _pay(slots: list[float], fleet: Fleet, price: float, *, p95_wait_s: float, longest_s: float) -> tuple[float, float]:
    """Return machine seconds and prices of all that is late together, and how much is late, for the best decisions.

    Rows of each state are [seconds and prices, late], from the slot at hand to the end.
    """
    to_ready = round(fleet.warm_start_s / SLOT_S)
    put_off = max(0, int((longest_s - fleet.warm_start_s) / SLOT_S))
    # No machine and no request; a request that has waited for n slots; n slots until ready; ready.
    off, asked = np.zeros(2), np.zeros((put_off + 1, 2))
    starting, on = np.zeros((to_ready + 1, 2)), np.zeros(2)
    waits_too_long = (np.arange(to_ready + 1) - 0.5) * SLOT_S > p95_wait_s
    for coming in reversed(slots):
        someone = 1 - math.exp(-coming)
        late = np.array([coming * price, coming])
        stay = on + np.array([max(SLOT_S, coming * fleet.service_s), 0])
        begun = np.vstack([starting[:1], np.vstack([on[None], starting[1:-1]]) + np.array([SLOT_S, 0])])
        begun += np.outer(waits_too_long, late)
        # A request without a machine waits for a whole start, which is too long.
        nobody = (1 - someone) * off + someone * asked[0] + late
        longer = np.vstack([asked[1:], [[math.inf, 0]]]) + late
        on = _cheaper(stay, nobody + np.array([fleet.release_s, 0]))
        off = _cheaper(nobody, begun[-1])
        asked = np.where((longer[:, 0] < begun[-1, 0])[:, None], longer, begun[-1])
        starting = begun
    return float(off[0]), float(off[1])


def _cheaper(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one if one[0] <= other[0] else other
