"""Simulates how workers come and go, with jobs/scaling.py's own decision inside, beside the AWS sample's policy.

A discrete-event simulation: requests arrive, each ten seconds a metric is published, alarms count its data points,
instances take their time to start, workers serve first come, first served, and leave. Nothing sleeps; no chance but
the trace's and the interruptions', both seeded.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from devtools.results_file import Figure, Result, percentile
from jobs import scaling

from . import arrival_traces, lower_bound
from .arrival_traces import Trace
from .svg_plots import lines

TICK_S = 10.0
TOKEN_S = 15 * 60.0
# The sample's own figure for four pictures, 16 steps, one after another, on a T4.
SAMPLE_SERVICE_S = 16.0
# Published for a T4: batches of four +4 %, torch.compile +13 %. Nothing else is claimed for the worker here.
T4_SERVICE_S = SAMPLE_SERVICE_S / 1.04 / 1.13
# By counted work: 0.23 s a picture at the least on an L4, 0.43 s on a T4.
L4_SERVICE_S = T4_SERVICE_S * 0.23 / 0.43
# US dollars an hour on demand, us-east-1; spot is about 0.35 of it.
G4DN, G6, SPOT_SHARE = 0.526, 0.8048, 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What the policy's machines are. Seconds; `release_s` is from the last task's end to the bill's."""

    service_s: float
    price: float
    max_workers: int
    warm_start_s: float
    cold_start_s: float
    warm_pool: int
    release_s: float
    interruptions_per_hour: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """Data points of ten seconds until an alarm acts, and the cool-down after it acted, in seconds."""

    up_points: int
    up_cooldown_s: float
    down_points: int
    down_points_of: int
    down_cooldown_s: float
    up_by: int | None = None
    """Workers added at once; None: as many as the metric says."""
    down_by: int | None = None


# (demand, workers desired) -> the metric.
Metric = Callable[[scaling.Demand, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    name: str
    metric: Metric
    alarms: Alarms
    fleet: Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`waits` until a worker begins, in the order of service; `workers` are (time, instances billed)."""

    policy: str
    waits: list[float]
    undelivered: int
    gpu_hours: float
    money: float
    starts: int
    interrupted: int
    workers: list[tuple[float, float]]
    line: list[tuple[float, float]]

    def summary(self) -> dict[str, float]:
        return {
            "p50_wait_s": round(percentile(self.waits, 0.5), 1),
            "p95_wait_s": round(percentile(self.waits, 0.95), 1),
            "p99_wait_s": round(percentile(self.waits, 0.99), 1),
            "outlived_token": sum(wait > TOKEN_S for wait in self.waits),
            "undelivered": self.undelivered,
            "gpu_hours": round(self.gpu_hours, 2),
            "money_usd": round(self.money, 2),
            "instance_starts": self.starts,
            "interrupted": self.interrupted,
        }


def ours(
    *,
    limits: scaling.Limits | None = None,
    idle_s: float = 20,
    service_s: float = L4_SERVICE_S,
    price: float = G6,
    warm_pool: int = 1,
    release_s: float = 30,
    name: str = "Sparkle",
    interruptions_per_hour: float = 0.0,
) -> Policy:
    """The design of terraform/: a step to what is wanted at the first data point, down after the idle time."""
    limits = limits or scaling.Limits()
    points = max(1, round(idle_s / TICK_S))
    return Policy(
        name=name,
        metric=lambda demand, desired: scaling.worker_deficit(demand, desired=desired, limits=limits),
        alarms=Alarms(
            up_points=1, up_cooldown_s=20, down_points=-(-points * 9 // 10), down_points_of=points, down_cooldown_s=60
        ),
        fleet=Fleet(
            service_s=service_s,
            price=price,
            max_workers=limits.max_workers,
            warm_start_s=110,
            cold_start_s=350,
            warm_pool=warm_pool,
            release_s=release_s,
            interruptions_per_hour=interruptions_per_hour,
        ),
    )


def sample() -> Policy:
    """The AWS sample as published: backlog of 60 s / 15 s = 4 a task, one up after 150 s, one down after 25 minutes."""
    return Policy(
        name="AWS sample",
        metric=lambda demand, desired: -(-demand.runnable // 4) - desired,
        alarms=Alarms(
            up_points=15, up_cooldown_s=600, down_points=150, down_points_of=150, down_cooldown_s=300, up_by=1,
            down_by=1,
        ),
        # Ten minutes from nothing to the first picture, of which 150 s are the alarm's.
        fleet=Fleet(
            service_s=SAMPLE_SERVICE_S, price=G4DN, max_workers=2, warm_start_s=450, cold_start_s=450, warm_pool=0,
            release_s=30,
        ),
    )  # fmt: skip


def target_tracking(*, service_s: float = L4_SERVICE_S, price: float = G6, max_workers: int = 8) -> Policy:
    """AWS's usual answer: keep the backlog per instance at 8; its alarms go up after 3 minutes, down after 15."""
    return Policy(
        name="target tracking",
        metric=lambda demand, desired: min(max_workers, -(-demand.runnable // 8)) - desired,
        alarms=Alarms(up_points=18, up_cooldown_s=60, down_points=90, down_points_of=90, down_cooldown_s=300),
        fleet=replace(ours().fleet, service_s=service_s, price=price, max_workers=max_workers),
    )


@dataclass(slots=True, kw_only=True)
class _Worker:
    billed_from: float
    ready_at: float
    busy: int | None = None
    busy_until: float = 0.0
    leaving: bool = False
    gone: bool = False


def simulate(trace: Trace, policy: Policy, *, seed: int = 7) -> Run:  # noqa: PLR0915  # one loop over one state
    """Run the trace to the last answer and until the last instance is gone."""
    fleet, alarms = policy.fleet, policy.alarms
    chance = random.Random(f"{seed} {trace.name}")
    events: list[tuple[float, int, str, Any]] = []
    order = 0

    def at(when: float, what: str, about: Any = None) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (when, order, what, about))

    for number, when in enumerate(trace.arrivals):
        at(when, "arrive", number)
    queue: deque[int] = deque()
    recent: deque[float] = deque()
    waits: dict[int, float] = {}
    done: set[int] = set()
    fleet_now: list[_Worker] = []
    ups: deque[bool] = deque(maxlen=alarms.up_points)
    downs: deque[bool] = deque(maxlen=alarms.down_points_of)
    desired = billed = starts = interrupted = 0
    seconds = up_blocked = down_blocked = 0.0
    ticking = False
    workers: list[tuple[float, float]] = [(0.0, 0.0)]
    in_line: list[tuple[float, float]] = [(0.0, 0.0)]

    def note(now: float) -> None:
        workers.append((now, float(billed)))

    def begin(worker: _Worker, now: float) -> None:
        if not queue or worker.busy is not None or worker.gone or worker.leaving or worker.ready_at > now:
            return
        worker.busy = queue.popleft()
        waits.setdefault(worker.busy, now - trace.arrivals[worker.busy])
        worker.busy_until = now + fleet.service_s
        at(worker.busy_until, "made", worker)

    def end(worker: _Worker, now: float) -> None:
        worker.gone = True
        fleet_now.remove(worker)
        at(now + fleet.release_s, "released", worker)

    def start(count: int, now: float) -> None:
        nonlocal billed, starts
        for _ in range(count):
            warm = sum(1 for each in fleet_now if not each.gone) < fleet.warm_pool
            worker = _Worker(billed_from=now, ready_at=now + (fleet.warm_start_s if warm else fleet.cold_start_s))
            fleet_now.append(worker)
            billed += 1
            starts += 1
            at(worker.ready_at, "ready", worker)
            if fleet.interruptions_per_hour:
                at(now + chance.expovariate(fleet.interruptions_per_hour / 3600), "interrupt", worker)
        note(now)

    def leave(count: int, now: float) -> None:
        # Those that idle, the youngest first; a task that works is protected and leaves when it is done.
        idle_first = sorted(fleet_now, key=lambda each: (each.busy is not None, -each.billed_from))
        for worker in [each for each in idle_first if not each.leaving][:count]:
            worker.leaving = True
            if worker.busy is None:
                end(worker, now)

    while events:
        now, _, what, about = heapq.heappop(events)
        if what == "arrive":
            queue.append(about)
            recent.append(now)
            for worker in fleet_now:
                if worker.busy is None and worker.ready_at <= now:
                    begin(worker, now)
                    break
            if not ticking:
                ticking = True
                at((now // TICK_S + 1) * TICK_S, "tick")
        elif what == "ready":
            begin(about, now)
        elif what == "made":
            if about.gone or about.busy is None or about.busy_until != now:
                continue
            done.add(about.busy)
            about.busy = None
            if about.leaving:
                end(about, now)
            else:
                begin(about, now)
        elif what == "interrupt":
            if about.gone:
                continue
            # Two minutes' notice: what it works on is finished, since that takes seconds. It is replaced at once.
            interrupted += 1
            if not about.leaving:
                about.leaving = True
                start(1, now)
            if about.busy is None:
                end(about, now)
        elif what == "released":
            billed -= 1
            seconds += now - about.billed_from
            note(now)
        elif what == "tick":
            runnable = len(queue) + sum(1 for each in fleet_now if each.busy is not None)
            while recent and recent[0] <= now - scaling.LONG_WINDOW_S:
                recent.popleft()
            lately = len(recent) - bisect_right(recent, now - scaling.SHORT_WINDOW_S)
            idle_s = now - recent[-1] if recent else scaling.LONG_WINDOW_S
            demand = scaling.Demand(runnable=runnable, lately=lately, recently=len(recent), idle_s=idle_s)
            metric = policy.metric(demand, desired)
            in_line.append((now, float(len(queue))))
            ups.append(metric >= 1)
            downs.append(metric <= -1)
            if len(ups) == alarms.up_points and all(ups) and now >= up_blocked and desired < fleet.max_workers:
                more = min(alarms.up_by or int(metric), fleet.max_workers - desired)
                desired += more
                up_blocked = now + alarms.up_cooldown_s
                start(more, now)
            elif (
                len(downs) == alarms.down_points_of
                and sum(downs) >= alarms.down_points
                and downs[-1]
                and now >= down_blocked
                and desired > 0
            ):
                fewer = min(alarms.down_by or int(-metric), desired)
                desired -= fewer
                down_blocked = now + alarms.down_cooldown_s
                leave(fewer, now)
            # With nothing in line and nobody there the metric is zero until someone asks.
            ticking = bool(queue or desired or fleet_now)
            if ticking:
                at(now + TICK_S, "tick")
            else:
                ups.clear()
                downs.clear()
    hours = seconds / 3600
    return Run(
        policy=policy.name,
        waits=[waits[number] for number in sorted(waits)],
        undelivered=len(trace.arrivals) - len(done),
        gpu_hours=hours,
        money=hours * fleet.price,
        starts=starts,
        interrupted=interrupted,
        workers=workers,
        line=in_line,
    )


def optimum_hours(trace: Trace, fleet: Fleet, *, p95_wait_s: float, longest_s: float = TOKEN_S) -> float:
    """Instance hours of the one who knows all arrivals, and may let 95 % wait `p95_wait_s` and the rest `longest_s`.

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
        # As many at once as its densest stretch needs; each further one is started as well.
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


def judge(trace: Trace) -> dict[str, Any]:
    """Run every policy on the trace and put them beside each other."""
    chosen = ours()
    runs = {
        "sparkle": simulate(trace, chosen),
        "sample": simulate(trace, sample()),
        "target_tracking": simulate(trace, target_tracking()),
        # The policy alone: the sample's card and the sample's time a request.
        "sparkle_on_the_samples_card": simulate(
            trace,
            ours(
                service_s=SAMPLE_SERVICE_S,
                price=G4DN,
                # What such a card makes.
                limits=scaling.Limits(jobs_per_worker=14, jobs_per_hour=220),
                name="Sparkle, the sample's card",
            ),
        ),
        "sparkle_managed_scaling": simulate(trace, ours(release_s=900, name="Sparkle, ECS managed scaling")),
        "sparkle_on_spot": simulate(
            trace,
            ours(price=G6 * SPOT_SHARE, warm_pool=0, interruptions_per_hour=0.05, name="Sparkle, spot"),
        ),
    }
    here, there = runs["sparkle"], runs["sample"]
    p95 = percentile(here.waits, 0.95)
    least = optimum_hours(trace, chosen.fleet, p95_wait_s=p95, longest_s=max(TOKEN_S, *here.waits))
    return {
        "runs": runs,
        "optimum_gpu_hours": least,
        "p95_ratio": p95 / max(percentile(there.waits, 0.95), 0.1),
        "hours_ratio": here.gpu_hours / there.gpu_hours,
        "cost_ratio_to_optimum": here.gpu_hours / least,
        "undelivered": here.undelivered,
    }


def run(*, full: bool = False) -> Result:
    """Simulate all traces; `full` also other evenings, and a sweep of the settings."""
    figures, detail, plots = [], {}, {}
    for name, make in arrival_traces.ALL.items():
        trace = make()
        found = judge(trace)
        runs: dict[str, Run] = found.pop("runs")
        unforeseen: dict[str, float] = {}
        # Flash crowds show where every policy ends that must start machines; they are not among the goals.
        goal = name != "flash"
        figures += [
            Figure(name=f"{name}: {what}", value=round(value, 2), unit="times", goal=bound if goal else None)
            for what, value, bound in (
                ("p95 wait to the sample's", found["p95_ratio"], 1 / 3),
                ("GPU-hours to the sample's", found["hours_ratio"], 0.7),
                ("cost to the optimum's", found["cost_ratio_to_optimum"], 1.5),
            )
        ]
        figures.append(Figure(name=f"{name}: undelivered", value=found["undelivered"], unit="", goal=0))
        if name == "evening":
            unforeseen = _without_foresight(runs["sparkle"])
            figures.append(
                Figure(
                    name=f"{name}: cost to the least without foresight",
                    value=round(runs["sparkle"].gpu_hours / unforeseen["least_gpu_hours_without_foresight"], 2),
                    unit="times",
                )
            )
        detail[name] = {
            "requests": len(trace.arrivals),
            **{key: round(value, 3) for key, value in found.items()},
            **unforeseen,
            "policies": {key: each.summary() for key, each in runs.items()},
        }
        plots[f"scaling-{name}"] = _plot(trace, runs)
        for key, each in runs.items():
            print(f"  {name:8} {key:28} {each.summary()}", flush=True)
    settings = asdict(ours().fleet) | asdict(scaling.Limits()) | {"idle_s": 20}
    more: dict[str, Any] = {}
    if full:
        # docs/explanation/costs.md uses it.
        busy = simulate(arrival_traces.month(100_000), ours()).summary()
        more = {"busy_month": busy, "other_evenings": other_evenings(), "sweep": sweep()}
    return Result(
        figures=tuple(figures),
        detail={"settings": settings, "traces": detail, **more},
        plots=plots,
    )


def _without_foresight(evening: Run) -> dict[str, float]:
    """The least hours of the evening for who knows its rates and not its requests, at the same p95."""
    p95 = percentile(evening.waits, 0.95)
    least = functools.partial(
        lower_bound.least_hours, arrival_traces.evening_rate, 2 * arrival_traces.DAY, ours().fleet, p95_wait_s=p95
    )
    return {
        "least_gpu_hours_without_foresight": round(least(), 2),
        "least_gpu_hours_without_foresight_that_puts_off": round(least(longest_s=TOKEN_S), 2),
    }


def sweep() -> list[dict[str, Any]]:
    """Every trace under other settings: what the defaults of jobs/scaling.py and Terraform were chosen from."""
    rows = []
    for jobs_per_worker, full_from, keep_alive_max_s, idle_s in itertools.product(
        (8, 24, 32), (0.5, 0.65, 0.8), (0, 300, 600), (20, 300)
    ):
        settings: dict[str, Any] = {
            "jobs_per_worker": jobs_per_worker,
            "full_from": full_from,
            "keep_alive_max_s": keep_alive_max_s,
        }
        policy = ours(limits=scaling.Limits(**settings), idle_s=idle_s)
        row: dict[str, Any] = {**settings, "idle_s": idle_s}
        for name, make in arrival_traces.ALL.items():
            row[name] = _goals(make(), policy)
        rows.append(row)
    return rows


def other_evenings(count: int = 12) -> list[dict[str, float]]:
    """The evening again with other people: settings that were chosen by one evening may fit only that one."""
    return [_goals(arrival_traces.evening(seed), ours()) for seed in range(100, 100 + count)]


def _goals(trace: Trace, policy: Policy) -> dict[str, float]:
    here, there = simulate(trace, policy), simulate(trace, sample())
    p95 = percentile(here.waits, 0.95)
    least = optimum_hours(trace, policy.fleet, p95_wait_s=p95, longest_s=max(TOKEN_S, *here.waits))
    return {
        "p95_ratio": round(p95 / max(percentile(there.waits, 0.95), 0.1), 2),
        "hours_ratio": round(here.gpu_hours / there.gpu_hours, 2),
        "cost_ratio_to_optimum": round(here.gpu_hours / least, 2),
    }


def _plot(trace: Trace, runs: dict[str, Run]) -> str:
    # Long traces are shown by their busiest day: a month in a strip is a blur.
    start, end = 0.0, trace.length_s
    if end > 2 * arrival_traces.DAY:
        days = [int(each // arrival_traces.DAY) for each in trace.arrivals]
        start = max(set(days), key=days.count) * arrival_traces.DAY
        end = start + arrival_traces.DAY

    def cut(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        inside = [(each / 3600, value) for each, value in points if start <= each <= end]
        return [(start / 3600, 0.0), *inside, (end / 3600, inside[-1][1] if inside else 0.0)]

    bins = 96
    wide = (end - start) / bins
    counts = [0] * bins
    for each in trace.arrivals:
        if start <= each < end:
            counts[int((each - start) // wide)] += 1
    rate = [((start + place * wide) / 3600, count * 3600 / wide / 100) for place, count in enumerate(counts)]
    return lines(
        trace.title,
        {
            "requests, hundreds an hour": rate,
            "instances, sample": cut(runs["sample"].workers),
            "instances, Sparkle": cut(runs["sparkle"].workers),
        },
        x_name="hour",
        y_name="instances",
        filled=frozenset({"requests, hundreds an hour"}),
    )
