"""The least instance hours that a trace can cost, for a policy that knows every arrival in advance."""

from __future__ import annotations

from .arrival_traces import Trace
from .policies import TOKEN_S, Fleet


def optimum_hours(trace: Trace, fleet: Fleet, *, p95_wait_s: float, longest_s: float = TOKEN_S) -> float:
    """Return the least instance hours with 95 % waiting at most `p95_wait_s` and the rest at most `longest_s`.

    A lower bound: work is never less than its sum; a session of one start lasts at least from the last moment its
    first request can begin to the end of its last; sessions are cut where that is cheapest. The 5 % that may wait
    longer join the next session where it comes in time, those first that save most.
    """
    start, service = fleet.warm_start_s + fleet.release_s, fleet.service_s
    arrivals = trace.arrivals
    sessions = _sessions(arrivals, boot=start, service=service, slack=p95_wait_s)
    total, movable = 0.0, []
    for place, (first, last) in enumerate(sessions):
        count = last - first + 1
        span = arrivals[last] + service - arrivals[first] - p95_wait_s
        # As many machines as the densest stretch needs; each of them is started.
        peak = _peak(arrivals[first : last + 1], service=service, slack=p95_wait_s)
        cost = peak * start + max(count * service, span)
        total += cost
        if place + 1 < len(sessions) and arrivals[sessions[place + 1][0]] - arrivals[first] <= longest_s:
            movable.append((cost - count * service, count))
    spare = len(arrivals) // 20
    for saved, count in sorted(movable, key=lambda each: -each[0] / each[1]):
        if count <= spare:
            spare -= count
            total -= saved
    return total / 3600


def _sessions(arrivals: tuple[float, ...], *, boot: float, service: float, slack: float) -> list[tuple[int, int]]:
    """Cut the arrivals into sessions of least cost, by dynamic programming over the gaps worth a cut."""
    cuts = [0] + [i for i in range(1, len(arrivals)) if arrivals[i] - arrivals[i - 1] > boot / 2] + [len(arrivals)]
    best = [0.0] + [float("inf")] * (len(cuts) - 1)
    came = [0] * len(cuts)
    for right in range(1, len(cuts)):
        for left in range(right - 1, max(-1, right - 200), -1):
            first, last = cuts[left], cuts[right] - 1
            span = arrivals[last] + service - arrivals[first] - slack
            cost = best[left] + boot + max((last - first + 1) * service, span)
            if cost < best[right]:
                best[right], came[right] = cost, left
    found = []
    right = len(cuts) - 1
    while right:
        found.append((cuts[came[right]], cuts[right] - 1))
        right = came[right]
    return found[::-1]


def _peak(arrivals: tuple[float, ...], *, service: float, slack: float) -> int:
    """The fewest workers that begin every request within `slack`, by the densest stretch between two requests."""
    step = max(1, len(arrivals) // 300)
    picked = range(0, len(arrivals), step)
    need = 1.0
    for first in picked:
        for last in picked:
            if last > first:
                work = (last - first) * service
                need = max(need, work / (arrivals[last] - arrivals[first] + slack + service))
    return int(-(-need // 1))
