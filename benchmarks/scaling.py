"""Compares jobs/scaling.py with the AWS sample's policy, target tracking and two lower bounds, by simulation.

It needs no quiet machine and gives the same numbers every time.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import asdict, replace
from typing import Any

from devtools.benchmark_result import Figure, Result, percentile
from jobs import scaling

from . import arrival_traces, assumptions, scaling_lower_bound, sensitivity
from .arrival_traces import Trace
from .optimum import optimum_hours
from .policies import (
    G4DN,
    G6_SPOT,
    INTERRUPTIONS_PER_HOUR,
    SAMPLE_SERVICE_S,
    TOKEN_S,
    Policy,
    aws_sample_policy,
    sparkle_policy,
    target_tracking,
)
from .simulation import simulate
from .simulation_run import Run
from .svg_plots import lines


def judge(trace: Trace) -> dict[str, Any]:
    """Run every policy on the trace; return the runs and their ratios."""
    chosen = sparkle_policy()
    runs = {
        "sparkle": simulate(trace, chosen),
        "sample": simulate(trace, aws_sample_policy()),
        "target_tracking": simulate(trace, target_tracking()),
        # The policy alone, with the sample's GPU and the sample's time a request.
        "sparkle_on_the_samples_card": simulate(
            trace,
            sparkle_policy(
                service_s=SAMPLE_SERVICE_S,
                price=G4DN,
                # What such a GPU completes.
                limits=scaling.Limits(jobs_per_worker=14, jobs_per_hour=220),
                name="Sparkle, the sample's card",
            ),
        ),
        "sparkle_managed_scaling": simulate(trace, sparkle_policy(release_s=900, name="Sparkle, ECS managed scaling")),
        "sparkle_on_spot": simulate(
            trace,
            sparkle_policy(price=G6_SPOT, **FLEETS["spot"], name="Sparkle, spot"),
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
        unforeseen: dict[str, Any] = {}
        # Flash crowds show the limit of every policy that must start machines; they have no goal.
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
            unforeseen = _without_known_arrivals(runs["sparkle"])
            figures.append(
                Figure(
                    name=f"{name}: cost to the least without known arrivals",
                    value=round(runs["sparkle"].gpu_hours / unforeseen["least_gpu_hours_without_foresight"], 2),
                    unit="times",
                )
            )
            lane = relaxed_lane(trace)
            figures += [
                Figure(
                    name=f"{name}, a fifth relaxed: cost to the least", value=lane["cost_ratio"], unit="times", goal=1.2
                ),
                Figure(
                    name=f"{name}, a fifth relaxed: prompt requests that wait longer",
                    value=lane["longer"],
                    unit="",
                    goal=0,
                ),
            ]
            unforeseen |= {"a_fifth_relaxed": lane}
        detail[name] = {
            "requests": len(trace.arrivals),
            **{key: round(value, 3) for key, value in found.items()},
            **unforeseen,
            "policies": {key: each.summary() for key, each in runs.items()},
        }
        plots[f"scaling-{name}"] = _plot(trace, runs)
        for key, each in runs.items():
            print(f"  {name:8} {key:28} {each.summary()}", flush=True)
    more: dict[str, Any] = {"bill": bill_months(), "sensitivity": sensitivity.table(sensitivity.cases())}
    settings = asdict(sparkle_policy().fleet) | asdict(scaling.Limits()) | {"idle_s": 90}
    stages = {
        start: [asdict(stage) for stage in getattr(assumptions, start)]
        for start in ("WARM_START", "COLD_START", "REFILL")
    }
    if full:
        more |= {"other_evenings": other_evenings(), "sweep": sweep()}
    return Result(
        figures=tuple(figures),
        detail={"settings": settings, "starts": stages, "traces": detail, **more},
        plots=plots,
    )


def relaxed_lane(trace: Trace, share: float = 0.2) -> dict[str, float]:
    """Run the trace with a share of relaxed requests, and its prompt requests alone.

    `cost_ratio` is to the least of a policy that knows the rate of all requests. `longer` counts prompt requests that
    wait longer than without the relaxed ones.
    """
    mixed = arrival_traces.with_relaxed(trace, share)
    prompt = tuple(when for number, when in enumerate(trace.arrivals) if number not in mixed.relaxed)
    here, alone = simulate(mixed, sparkle_policy()), simulate(replace(trace, arrivals=prompt), sparkle_policy())
    least = _without_known_arrivals(here)["least_gpu_hours_without_foresight"]
    waits = sorted(here.relaxed_waits)
    return {
        "gpu_hours": round(here.gpu_hours, 2),
        "prompt_alone_gpu_hours": round(alone.gpu_hours, 2),
        "cost_ratio": round(here.gpu_hours / least, 2),
        "longer": sum(wait > other for wait, other in zip(here.waits, alone.waits, strict=True)),
        "undelivered": here.undelivered,
        "relaxed_p50_s": round(percentile(waits, 0.5)),
        "relaxed_longest_s": round(waits[-1]),
    }


# What `./dev cost` asks for: how a plan's instances start, and at which prices they may be interrupted.
FLEETS: dict[str, dict[str, Any]] = {
    "warm": {"warm_pool": 1},
    "cold": {"warm_pool": 0},
    "spot": {"warm_pool": 0, "interruptions_per_hour": INTERRUPTIONS_PER_HOUR},
}
BILL_LOADS = (1_000, 100_000)


def bill_months(loads: tuple[int, ...] = BILL_LOADS) -> dict[str, dict[str, dict[str, float]]]:
    """Return the run of a month, by fleet and number of requests."""
    return {
        fleet: {str(load): simulate(arrival_traces.month(load), sparkle_policy(**settings)).summary() for load in loads}
        for fleet, settings in FLEETS.items()
    }


def _without_known_arrivals(evening: Run) -> dict[str, Any]:
    """Return the least hours of the evening without known arrivals, at the same p95."""
    p95 = percentile(evening.waits, 0.95)
    least = functools.partial(
        scaling_lower_bound.least_hours,
        arrival_traces.evening_rate,
        2 * arrival_traces.DAY,
        sparkle_policy().fleet,
        p95_wait_s=p95,
    )
    return {
        "least_gpu_hours_without_foresight": round(least(), 2),
        "least_gpu_hours_without_foresight_that_puts_off": round(least(longest_s=TOKEN_S), 2),
    }


def sweep() -> list[dict[str, Any]]:
    """Run every trace with other settings. The defaults of jobs/scaling.py and Terraform were chosen from them."""
    rows = []
    for jobs_per_worker, target_utilization, keep_alive_max_s, idle_s in itertools.product(
        (8, 24, 32), (0.5, 0.65, 0.8), (0, 300, 600), (20, 300)
    ):
        settings: dict[str, Any] = {
            "jobs_per_worker": jobs_per_worker,
            "target_utilization": target_utilization,
            "keep_alive_max_s": keep_alive_max_s,
        }
        policy = sparkle_policy(limits=scaling.Limits(**settings), idle_s=idle_s)
        row: dict[str, Any] = {**settings, "idle_s": idle_s}
        for name, make in arrival_traces.ALL.items():
            row[name] = _goals(make(), policy)
        rows.append(row)
    return rows


def other_evenings(count: int = 12) -> list[dict[str, float]]:
    """Run the evening with other seeds: settings that were chosen with one evening may fit only that one."""
    return [_goals(arrival_traces.evening(seed), sparkle_policy()) for seed in range(100, 100 + count)]


def _goals(trace: Trace, policy: Policy) -> dict[str, float]:
    here, there = simulate(trace, policy), simulate(trace, aws_sample_policy())
    p95 = percentile(here.waits, 0.95)
    least = optimum_hours(trace, policy.fleet, p95_wait_s=p95, longest_s=max(TOKEN_S, *here.waits))
    return {
        "p95_ratio": round(p95 / max(percentile(there.waits, 0.95), 0.1), 2),
        "hours_ratio": round(here.gpu_hours / there.gpu_hours, 2),
        "cost_ratio_to_optimum": round(here.gpu_hours / least, 2),
    }


def _plot(trace: Trace, runs: dict[str, Run]) -> str:
    # A month on one plot is unreadable, so long traces show their busiest day.
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
