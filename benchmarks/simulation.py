"""A discrete-event simulation of one scaling policy on one trace of requests.

Requests arrive, a metric is published every ten seconds, alarms count its data points, instances take time to start,
and workers serve first come, first served, and leave. Nothing sleeps. Chance comes only from the trace, the lengths of
starts, spot interruptions and zones without capacity, all seeded.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Any

from jobs import scaling, wait_estimate

from .arrival_traces import DAY, Trace
from .policies import TICK_S, Policy
from .simulated_starts import Starts
from .simulated_worker import Running, SimulatedWorker
from .simulation_run import Run

MAX_OVERTAKEN_S = 10.0
"""How long requests of loaded models may overtake one whose model must be loaded (gpu_worker/batch_policy.py)."""


class Simulation:
    """The state of one run; `run` handles the events in their order of time. Times are seconds since the start."""

    def __init__(self, trace: Trace, policy: Policy, *, seed: int) -> None:
        self.trace, self.policy = trace, policy
        self.fleet, self.alarms = policy.fleet, policy.alarms
        self.chance = random.Random(f"{seed} {trace.name}")
        self.instances = Starts(policy.fleet, random.Random(f"starts {seed} {trace.name}"))
        self.zone_chance = random.Random(f"zones {seed} {trace.name}")
        self.events: list[tuple[float, int, str, Any]] = []
        self.scheduled = 0
        self.queue: deque[int] = deque()
        self.later: deque[int] = deque()
        self.relaxed_waits: dict[int, float] = {}
        self.recent: deque[float] = deque()
        self.waits: dict[int, float] = {}
        self.done: set[int] = set()
        self.fleet_now: list[SimulatedWorker] = []
        self.ups: deque[bool] = deque(maxlen=self.alarms.up_points)
        self.downs: deque[bool] = deque(maxlen=self.alarms.down_points_of)
        self.desired = self.billed = self.starts = self.interrupted = 0
        self.billed_s = self.up_blocked_until = self.down_blocked_until = 0.0
        self.ticking = False
        self.workers: list[tuple[float, float]] = [(0.0, 0.0)]
        self.line: list[tuple[float, float]] = [(0.0, 0.0)]
        self.promised: dict[int, float] = {}
        self.kept: dict[int, float] = {}
        self.start_times: deque[float] = deque(maxlen=20)
        self.ended: deque[tuple[float, float]] = deque(maxlen=20)
        self.shortages = [0] * self.fleet.zones.count
        self.unplaced = 0

    def run(self) -> Run:
        """Run the trace to the last answer and until the last instance is gone."""
        handlers: dict[str, Callable[[float, Any], None]] = {
            "arrive": self._arrive,
            "ready": self._ready,
            "loaded": self._loaded,
            "made": self._made,
            "relaxed_made": self._relaxed_made,
            "due": self._due,
            "interrupt": self._interrupt,
            "released": self._released,
            "refilled": self._refilled,
            "shortage": self._shortage,
            "recovered": self._recovered,
            "tick": self._tick,
        }
        for number, when in enumerate(self.trace.arrivals):
            self._at(when, "arrive", number)
        self._plan_shortages()
        while self.events:
            now, _, what, about = heapq.heappop(self.events)
            handlers[what](now, about)
        hours, refill_hours = self.billed_s / 3600, self.instances.refill_s / 3600
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
            self._accept(number, now)
            self.recent.append(now)
        for worker in sorted(self.fleet_now, key=lambda each: len(each.hand)):
            if worker.serves(now):
                self._begin(worker, now)
                if not self.queue and number not in self.later:
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

    def _accept(self, number: int, now: float) -> None:
        """Queue the request; note what jobs/wait_estimate.py tells the member, from what production measures."""
        ahead = wait_estimate.Backlog(
            queued=len(self.queue),
            running=sum(len(each.hand) for each in self.fleet_now),
            waiting=0,
            workers=sum(each.ready_at <= now and not each.leaving for each in self.fleet_now),
            seconds=self._mean_s(0),
            gpu_s=self._mean_s(1),
            starts=tuple(self.start_times),
            asked_s=now - self.trace.arrivals[self.queue[0]] if self.queue else None,
        )
        wait_s = wait_estimate.estimate_position(ahead, waits=False).wait_s
        assert wait_s is not None  # The run time is known.
        self.promised[number] = wait_s
        self.queue.append(number)

    def _mean_s(self, which: int) -> float:
        """Return the mean of recent requests: 0 their run time, 1 their share of a GPU's time."""
        times = [each[which] for each in self.ended]
        return sum(times) / len(times) if times else self.fleet.service_s

    def _ready(self, now: float, worker: SimulatedWorker) -> None:
        if self.queue:
            self.start_times.append(now - self.trace.arrivals[self.queue[0]])
        self._begin(worker, now)

    def _loaded(self, now: float, worker: SimulatedWorker) -> None:
        if worker.loading is not None:
            worker.load(worker.loading)
            worker.loading = None
        if worker.leaving:
            self._end(worker, now)
        else:
            self._begin(worker, now)

    def _made(self, now: float, about: tuple[SimulatedWorker, int]) -> None:
        worker, turn = about
        if worker.gone or worker.turn != turn:
            return
        worker.advance(now)
        for done in worker.take_done():
            self.ended.append((now - done.began, done.gpu_s))
            self._finish(done.number, now, worker)
        self._expect(worker)
        if worker.leaving and not worker.hand and worker.relaxed is None:
            self._end(worker, now)
        else:
            self._begin(worker, now)

    def _expect(self, worker: SimulatedWorker) -> None:
        """Schedule the end of the request that is done next, and drop what was expected before the hand changed."""
        worker.turn += 1
        when = worker.next_done()
        if when is not None:
            self._at(when, "made", (worker, worker.turn))

    def _relaxed_made(self, now: float, worker: SimulatedWorker) -> None:
        if worker.gone or worker.relaxed is None or worker.relaxed_until != now:
            return
        self._finish(worker.relaxed, now, worker)
        worker.relaxed = worker.relaxed_until = None
        if worker.leaving:
            self._end(worker, now)
        else:
            self._begin(worker, now)

    def _finish(self, number: int, now: float, worker: SimulatedWorker) -> None:
        self.done.add(number)
        if number in self.trace.relaxed:
            self.relaxed_waits[number] = now - self.trace.arrivals[number]
        else:
            self.kept[number] = now - self.trace.arrivals[number]

    def _interrupt(self, now: float, worker: SimulatedWorker) -> None:
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
        if not worker.hand and worker.loading is None:
            self._end(worker, now)

    def _plan_shortages(self) -> None:
        zones = self.fleet.zones
        for zone in range(zones.count) if zones.shortages_per_day else ():
            at = 0.0
            while (at := at + self.zone_chance.expovariate(zones.shortages_per_day / DAY)) < self.trace.length_s:
                self._at(at, "shortage", zone)
                self._at(at + zones.shortage_s, "recovered", zone)

    def _shortage(self, now: float, zone: int) -> None:
        self.shortages[zone] += 1
        if self.fleet.interruptions_per_hour:
            for worker in [each for each in self.fleet_now if each.zone == zone and not each.leaving]:
                self._interrupt(now, worker)

    def _recovered(self, now: float, zone: int) -> None:
        self.shortages[zone] -= 1
        waiting, self.unplaced = self.unplaced, 0
        self._start(waiting, now)

    def _released(self, now: float, worker: SimulatedWorker) -> None:
        self.billed -= 1
        self.billed_s += now - worker.billed_from
        self.workers.append((now, float(self.billed)))

    def _refilled(self, now: float, _: object) -> None:
        self.instances.warm += 1

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
        running = sum(len(each.hand) + (each.relaxed is not None) for each in self.fleet_now)
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

    def _begin(self, worker: SimulatedWorker, now: float) -> None:
        if worker.gone or worker.ready_at > now or worker.loading is not None:
            return
        if not worker.leaving and self._fill(worker, now):
            self._expect(worker)
        if not worker.hand and worker.loading is None:
            self._ride_along(worker, now)

    def _fill(self, worker: SimulatedWorker, now: float) -> bool:
        """Let queued requests join, as gpu_worker/batch_policy.py does; return whether one did."""
        skipped: list[int] = []
        full: set[int] = set()
        joined = False
        while self.queue and len(full) < len(worker.loaded):
            number = self.queue.popleft()
            model = self.trace.model(number)
            if model not in worker.loaded:
                skipped.append(number)
                if not worker.hand:
                    self._pause_relaxed(worker, now)
                    worker.loading, worker.loads_for = model, (number, now)
                    self._at(now + self.fleet.batch.load_s, "loaded", worker)
                    break
                if now - self.trace.arrivals[number] >= MAX_OVERTAKEN_S:
                    break
            elif worker.is_full(model):
                skipped.append(number)
                full.add(model)
            else:
                self._join(worker, number, model, now)
                joined = True
        self.queue.extendleft(reversed(skipped))
        return joined

    def _join(self, worker: SimulatedWorker, number: int, model: int, now: float) -> None:
        self._pause_relaxed(worker, now)
        adapter = self.trace.adapters[number] if self.trace.adapters else 0
        began = worker.loads_for[1] if worker.loads_for[0] == number else now
        worker.join(Running(number=number, model=model, adapter=adapter, left_s=self.fleet.service_s, began=began), now)
        if number not in self.trace.relaxed:
            self.waits.setdefault(number, now - self.trace.arrivals[number])

    def _pause_relaxed(self, worker: SimulatedWorker, now: float) -> None:
        """A prompt request joins at the next step; the relaxed one goes on after it."""
        if worker.relaxed_until is not None:
            worker.relaxed_left_s, worker.relaxed_until = worker.relaxed_until - now, None

    def _ride_along(self, worker: SimulatedWorker, now: float) -> None:
        """Go on with the worker's relaxed request, or take one, while no prompt request waits."""
        if worker.relaxed is None and self.later and not worker.leaving:
            worker.relaxed, worker.relaxed_left_s = self.later.popleft(), self.fleet.service_s
        if worker.relaxed is not None and worker.relaxed_until is None:
            worker.relaxed_until = now + worker.relaxed_left_s
            self._at(worker.relaxed_until, "relaxed_made", worker)

    def _end(self, worker: SimulatedWorker, now: float) -> None:
        worker.gone = True
        self.fleet_now.remove(worker)
        self._at(now + self.fleet.release_s, "released", worker)

    def _start(self, count: int, now: float) -> None:
        zones = [zone for zone, shortages in enumerate(self.shortages) if not shortages]
        if not zones:
            self.unplaced += count
            return
        for _ in range(count):
            start_s, refill_s = self.instances.take()
            if refill_s is not None:
                self._at(now + refill_s, "refilled")
            zone = min(zones, key=lambda each: sum(worker.zone == each for worker in self.fleet_now))
            worker = SimulatedWorker(
                number=self.starts, batch=self.fleet.batch, billed_from=now, ready_at=now + start_s, zone=zone
            )
            self.fleet_now.append(worker)
            self.billed += 1
            self.starts += 1
            self._at(worker.ready_at, "ready", worker)
            if self.fleet.interruptions_per_hour:
                interval_s = self.chance.expovariate(self.fleet.interruptions_per_hour / 3600)
                self._at(now + interval_s, "interrupt", worker)
        self.workers.append((now, float(self.billed)))

    def _leave(self, count: int, now: float) -> None:
        # What could not be placed need not start. Then idle workers leave, the youngest of them first. A busy one is
        # protected and leaves when it is done.
        unplaced = min(count, self.unplaced)
        self.unplaced -= unplaced
        idle_first = sorted(
            self.fleet_now,
            key=lambda each: (_is_busy(each), -each.billed_from),
        )
        for worker in [each for each in idle_first if not each.leaving][: count - unplaced]:
            worker.leaving = True
            if not _is_busy(worker):
                self._end(worker, now)


def _is_busy(worker: SimulatedWorker) -> bool:
    return bool(worker.hand) or worker.relaxed is not None or worker.loading is not None


def simulate(trace: Trace, policy: Policy, *, seed: int = 7) -> Run:
    """Return what `policy` does on `trace`. The same seed gives the same run."""
    return Simulation(trace, policy, seed=seed).run()
