"""A discrete-event simulation of one scaling policy on one trace of requests.

Requests arrive, a metric is published every ten seconds, alarms count its data points, instances take time to start,
and workers serve first come, first served, and leave. Nothing sleeps. Chance comes only from the trace and from spot
interruptions, both seeded.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devtools.benchmark_result import percentile
from jobs import scaling, wait_estimate

from .arrival_traces import Trace
from .policies import TICK_S, TOKEN_S, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`waits` of prompt requests until a worker begins, in their order; `relaxed_waits` those of relaxed ones until
    their images are there. `workers` are (time, instances billed).

    `gpu_hours` are those of instances that start and serve; those that only refill the warm pool are apart.
    `money` is both.
    """

    policy: str
    waits: list[float]
    relaxed_waits: list[float]
    undelivered: int
    gpu_hours: float
    refill_hours: float
    money: float
    starts: int
    interrupted: int
    workers: list[tuple[float, float]]
    line: list[tuple[float, float]]
    promises: list[tuple[float, float]]
    """Of each prompt request, the wait that its reply promised and the real one, until its images are there."""

    def summary(self) -> dict[str, float]:
        return {
            "p50_wait_s": round(percentile(self.waits, 0.5), 1),
            "p95_wait_s": round(percentile(self.waits, 0.95), 1),
            "p99_wait_s": round(percentile(self.waits, 0.99), 1),
            "outlived_token": sum(wait > TOKEN_S for wait in self.waits),
            "undelivered": self.undelivered,
            "gpu_hours": round(self.gpu_hours, 2),
            "refill_hours": round(self.refill_hours, 2),
            "money_usd": round(self.money, 2),
            "instance_starts": self.starts,
            "interrupted": self.interrupted,
        }


@dataclass(slots=True, kw_only=True)
class _Worker:
    billed_from: float
    ready_at: float
    busy: int | None = None
    busy_until: float = 0.0
    leaving: bool = False
    gone: bool = False
    relaxed: int | None = None
    relaxed_left_s: float = 0.0
    relaxed_until: float | None = None
    """When the relaxed request is done; None while a prompt one has the GPU."""


class Simulation:
    """The state of one run; `run` handles the events in their order of time. Times are seconds since the start."""

    def __init__(self, trace: Trace, policy: Policy, *, seed: int) -> None:
        self.trace, self.policy = trace, policy
        self.fleet, self.alarms = policy.fleet, policy.alarms
        self.chance = random.Random(f"{seed} {trace.name}")
        self.events: list[tuple[float, int, str, Any]] = []
        self.scheduled = 0
        self.queue: deque[int] = deque()
        self.later: deque[int] = deque()
        self.relaxed_waits: dict[int, float] = {}
        self.recent: deque[float] = deque()
        self.waits: dict[int, float] = {}
        self.done: set[int] = set()
        self.fleet_now: list[_Worker] = []
        self.ups: deque[bool] = deque(maxlen=self.alarms.up_points)
        self.downs: deque[bool] = deque(maxlen=self.alarms.down_points_of)
        self.desired = self.billed = self.starts = self.interrupted = self.refills = 0
        self.warm = self.fleet.warm_pool
        self.billed_s = self.up_blocked_until = self.down_blocked_until = 0.0
        self.ticking = False
        self.workers: list[tuple[float, float]] = [(0.0, 0.0)]
        self.line: list[tuple[float, float]] = [(0.0, 0.0)]
        self.promised: dict[int, float] = {}
        self.kept: dict[int, float] = {}
        self.start_times: deque[float] = deque(maxlen=5)

    def run(self) -> Run:
        """Run the trace to the last answer and until the last instance is gone."""
        handlers: dict[str, Callable[[float, Any], None]] = {
            "arrive": self._arrive,
            "ready": self._ready,
            "made": self._made,
            "relaxed_made": self._relaxed_made,
            "due": self._due,
            "interrupt": self._interrupt,
            "released": self._released,
            "refilled": self._refilled,
            "tick": self._tick,
        }
        for number, when in enumerate(self.trace.arrivals):
            self._at(when, "arrive", number)
        while self.events:
            now, _, what, about = heapq.heappop(self.events)
            handlers[what](now, about)
        hours, refill_hours = self.billed_s / 3600, self.refills * self.fleet.refill_s / 3600
        return Run(
            policy=self.policy.name,
            waits=[self.waits[number] for number in sorted(self.waits)],
            relaxed_waits=[self.relaxed_waits[number] for number in sorted(self.relaxed_waits)],
            undelivered=len(self.trace.arrivals) - len(self.done),
            gpu_hours=hours,
            refill_hours=refill_hours,
            money=(hours + refill_hours) * self.fleet.price,
            starts=self.starts,
            interrupted=self.interrupted,
            workers=self.workers,
            line=self.line,
            promises=[(self.promised[number], real) for number, real in sorted(self.kept.items())],
        )

    def _at(self, when: float, what: str, about: Any = None) -> None:
        self.scheduled += 1
        heapq.heappush(self.events, (when, self.scheduled, what, about))

    # -- events

    def _arrive(self, now: float, number: int) -> None:
        if number in self.trace.relaxed:
            self.later.append(number)
            self._at(now + self.trace.patience_s, "due", number)
        else:
            self._promise(number, now)
            self.queue.append(number)
            self.recent.append(now)
        for worker in self.fleet_now:
            if worker.busy is None and worker.ready_at <= now:
                self._begin(worker, now)
                break
        self._keep_ticking(now)

    def _keep_ticking(self, now: float) -> None:
        if not self.ticking:
            self.ticking = True
            self._at((now // TICK_S + 1) * TICK_S, "tick")

    def _due(self, now: float, number: int) -> None:
        if number in self.later:
            self.later.remove(number)
            self.queue.append(number)
            self._keep_ticking(now)

    def _promise(self, number: int, now: float) -> None:
        """Note what jobs/wait_estimate.py tells the member, from what production measures."""
        ahead = wait_estimate.Backlog(
            queued=len(self.queue),
            running=sum(each.busy is not None for each in self.fleet_now),
            waiting=0,
            workers=sum(each.ready_at <= now and not each.leaving for each in self.fleet_now),
            seconds=self.fleet.service_s,
            start_s=sum(self.start_times) / len(self.start_times) if self.start_times else None,
            asked_s=now - self.trace.arrivals[self.queue[0]] if self.queue else None,
        )
        wait_s = wait_estimate.estimate_position(ahead, waits=False).wait_s
        assert wait_s is not None  # The run time is known.
        self.promised[number] = wait_s

    def _ready(self, now: float, worker: _Worker) -> None:
        if self.queue:
            self.start_times.append(now - self.trace.arrivals[self.queue[0]])
        self._begin(worker, now)

    def _made(self, now: float, worker: _Worker) -> None:
        if worker.gone or worker.busy is None or worker.busy_until != now:
            return
        self._finish(worker.busy, now)
        worker.busy = None
        if worker.leaving and worker.relaxed is None:
            self._end(worker, now)
        else:
            self._begin(worker, now)

    def _relaxed_made(self, now: float, worker: _Worker) -> None:
        if worker.gone or worker.relaxed is None or worker.relaxed_until != now:
            return
        self._finish(worker.relaxed, now)
        worker.relaxed = worker.relaxed_until = None
        if worker.leaving:
            self._end(worker, now)
        else:
            self._begin(worker, now)

    def _finish(self, number: int, now: float) -> None:
        self.done.add(number)
        if number in self.trace.relaxed:
            self.relaxed_waits[number] = now - self.trace.arrivals[number]
        else:
            self.kept[number] = now - self.trace.arrivals[number]

    def _interrupt(self, now: float, worker: _Worker) -> None:
        if worker.gone:
            return
        # Two minutes' notice: a worker finishes its request, which takes seconds. Its replacement starts at once.
        self.interrupted += 1
        if not worker.leaving:
            worker.leaving = True
            self._start(1, now)
        if worker.relaxed is not None:
            self.later.appendleft(worker.relaxed)
            worker.relaxed = worker.relaxed_until = None
        if worker.busy is None:
            self._end(worker, now)

    def _released(self, now: float, worker: _Worker) -> None:
        self.billed -= 1
        self.billed_s += now - worker.billed_from
        self.workers.append((now, float(self.billed)))

    def _refilled(self, now: float, _: object) -> None:
        self.warm += 1

    def _tick(self, now: float, _: object) -> None:
        metric = self.policy.metric(self._demand(now), self.desired)
        self.line.append((now, float(len(self.queue))))
        self.ups.append(metric >= 1)
        self.downs.append(metric <= -1)
        if self._up_alarm(now):
            more = min(self.alarms.up_by or int(metric), self.fleet.max_workers - self.desired)
            self.desired += more
            self.up_blocked_until = now + self.alarms.up_cooldown_s
            self._start(more, now)
        elif self._down_alarm(now):
            fewer = min(self.alarms.down_by or int(-metric), self.desired)
            self.desired -= fewer
            self.down_blocked_until = now + self.alarms.down_cooldown_s
            self._leave(fewer, now)
        # With an empty queue and no worker the metric stays as it is until the next request.
        self.ticking = bool(self.queue or self.desired or self.fleet_now or metric)
        if self.ticking:
            self._at(now + TICK_S, "tick")
        else:
            self.ups.clear()
            self.downs.clear()

    # -- what a tick looks at

    def _demand(self, now: float) -> scaling.Demand:
        running = sum((each.busy is not None) + (each.relaxed is not None) for each in self.fleet_now)
        runnable = len(self.queue) + running
        while self.recent and self.recent[0] <= now - scaling.LONG_WINDOW_S:
            self.recent.popleft()
        accepted_in_short_window = len(self.recent) - bisect_right(self.recent, now - scaling.SHORT_WINDOW_S)
        idle_s = now - self.recent[-1] if self.recent else scaling.LONG_WINDOW_S
        return scaling.Demand(
            runnable=runnable,
            relaxed=len(self.later),
            accepted_in_short_window=accepted_in_short_window,
            accepted_in_long_window=len(self.recent),
            idle_s=idle_s,
        )

    def _up_alarm(self, now: float) -> bool:
        filled = len(self.ups) == self.alarms.up_points
        return filled and all(self.ups) and now >= self.up_blocked_until and self.desired < self.fleet.max_workers

    def _down_alarm(self, now: float) -> bool:
        filled = len(self.downs) == self.alarms.down_points_of
        low = filled and sum(self.downs) >= self.alarms.down_points and self.downs[-1]
        return low and now >= self.down_blocked_until and self.desired > 0

    # -- workers

    def _begin(self, worker: _Worker, now: float) -> None:
        if worker.busy is not None or worker.gone or worker.ready_at > now:
            return
        if worker.leaving or not self.queue:
            self._ride_along(worker, now)
            return
        if worker.relaxed_until is not None:
            # The prompt request joins at the next step; the relaxed one goes on after it.
            worker.relaxed_left_s, worker.relaxed_until = worker.relaxed_until - now, None
        worker.busy = self.queue.popleft()
        if worker.busy not in self.trace.relaxed:
            self.waits.setdefault(worker.busy, now - self.trace.arrivals[worker.busy])
        worker.busy_until = now + self.fleet.service_s
        self._at(worker.busy_until, "made", worker)

    def _ride_along(self, worker: _Worker, now: float) -> None:
        """Go on with the worker's relaxed request, or take one, while no prompt request waits."""
        if worker.relaxed is None and self.later and not worker.leaving:
            worker.relaxed, worker.relaxed_left_s = self.later.popleft(), self.fleet.service_s
        if worker.relaxed is not None and worker.relaxed_until is None:
            worker.relaxed_until = now + worker.relaxed_left_s
            self._at(worker.relaxed_until, "relaxed_made", worker)

    def _end(self, worker: _Worker, now: float) -> None:
        worker.gone = True
        self.fleet_now.remove(worker)
        self._at(now + self.fleet.release_s, "released", worker)

    def _start(self, count: int, now: float) -> None:
        for _ in range(count):
            start_s = self.fleet.warm_start_s if self.warm else self.fleet.cold_start_s
            if self.warm:
                self.warm -= 1
                self.refills += 1
                self._at(now + self.fleet.refill_s, "refilled")
            worker = _Worker(billed_from=now, ready_at=now + start_s)
            self.fleet_now.append(worker)
            self.billed += 1
            self.starts += 1
            self._at(worker.ready_at, "ready", worker)
            if self.fleet.interruptions_per_hour:
                interval_s = self.chance.expovariate(self.fleet.interruptions_per_hour / 3600)
                self._at(now + interval_s, "interrupt", worker)
        self.workers.append((now, float(self.billed)))

    def _leave(self, count: int, now: float) -> None:
        # Idle workers leave first, the youngest of them first. A busy one is protected and leaves when it is done.
        idle_first = sorted(
            self.fleet_now,
            key=lambda each: (each.busy is not None or each.relaxed is not None, -each.billed_from),
        )
        for worker in [each for each in idle_first if not each.leaving][:count]:
            worker.leaving = True
            if worker.busy is None and worker.relaxed is None:
                self._end(worker, now)


def simulate(trace: Trace, policy: Policy, *, seed: int = 7) -> Run:
    """Return what `policy` does on `trace`. The same seed gives the same run."""
    return Simulation(trace, policy, seed=seed).run()
