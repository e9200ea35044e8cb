"""Three ways to start and stop GPU workers: Sparkle's, the AWS sample's, and target tracking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from jobs import scaling

from . import assumptions

TICK_S = 10.0
TOKEN_S = 15 * 60.0
# The sample's own figure for four images, 16 steps, one after another, on a T4.
SAMPLE_SERVICE_S = 16.0
# Published for a T4: batches of four +4 %, torch.compile +13 %. Nothing else is claimed for the worker here.
T4_SERVICE_S = SAMPLE_SERVICE_S / 1.04 / 1.13
# By counted work: at least 0.23 s an image on an L4, 0.43 s on a T4.
L4_SERVICE_S = T4_SERVICE_S * 0.23 / 0.43
# US dollars an hour, us-east-1 (devtools/cost/prices.toml).
G4DN, G6, G6_SPOT = 0.526, 0.8048, 0.605
# AWS's lowest band is under 5 % a month; g6.xlarge in us-east-1 was reported above 20 % in 2026. An instance of
# a few hours is rarely met: this is one interruption in twenty hours.
INTERRUPTIONS_PER_HOUR = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How requests share one GPU.

    Up to `in_hand` requests of a model run at once, and complete `gain` times as many in an hour as one at a time.
    Models take turns. `models` fit into the memory; another one is loaded when the GPU is free, in `load_s` seconds,
    and takes the place of the one that was used least recently. The first adapter of a batch and each further one make
    a call longer by the shares of `adapter_costs` (measured on a CPU with a UNet of 114 million parameters).
    """

    in_hand: int = 1
    gain: float = 1.0
    models: int = 2
    load_s: float = 30.0
    adapter_costs: tuple[float, float] = (0.07, 0.02)

    def call_length(self, requests: int, adapters: int) -> float:
        """Return the length of a model's call with so many requests, as a multiple of one request's."""
        speed = 1.0 if self.in_hand == 1 else 1 + (self.gain - 1) * (requests - 1) / (self.in_hand - 1)
        first, more = self.adapter_costs
        return requests / speed * (1 + (first + more * (adapters - 1) if adapters else 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Zones:
    """The zones that instances start in, the one with the fewest first.

    From time to time a zone has no more capacity: its spot instances are interrupted together, and nothing starts in it
    for `shortage_s`.
    """

    count: int = 1
    shortages_per_day: float = 0.0
    shortage_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The policy's machines. Times in seconds; `release_s` is from the last task's end to the end of billing."""

    service_s: float
    price: float
    max_workers: int
    warm_start_s: float
    cold_start_s: float
    warm_pool: int
    release_s: float
    interruptions_per_hour: float = 0.0
    refill_s: float = 0.0
    """How long a new instance runs until it is stopped in the warm pool. It is billed, and not yet there to start."""
    batch: Batch = Batch()
    zones: Zones = Zones()
    starts_vary: float = 0.0
    """Each start and refill differs from its usual time, by this share of the ranges in benchmarks/assumptions.py."""


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


def sparkle_policy(
    *,
    limits: scaling.Limits | None = None,
    idle_s: float | None = None,
    service_s: float = L4_SERVICE_S,
    price: float = G6,
    warm_pool: int = 1,
    release_s: float = 30,
    name: str = "Sparkle",
    interruptions_per_hour: float = 0.0,
    batch: Batch = Batch(),
    zones: Zones = Zones(),
    starts_vary: float = 0.0,
) -> Policy:
    """The design of terraform/: a step to what is wanted at the first data point, down after the idle time.

    Without `idle_s` it is Terraform's: longer with a warm pool, where each start is paid twice, with its refill.
    """
    limits = limits or scaling.Limits()
    idle_s = idle_s or (90 if warm_pool else 20)
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
            warm_start_s=assumptions.usual_s(assumptions.WARM_START),
            cold_start_s=assumptions.usual_s(assumptions.COLD_START),
            warm_pool=warm_pool,
            release_s=release_s,
            interruptions_per_hour=interruptions_per_hour,
            refill_s=assumptions.usual_s(assumptions.REFILL) if warm_pool else 0,
            batch=batch,
            zones=zones,
            starts_vary=starts_vary,
        ),
    )


def aws_sample_policy() -> Policy:
    """The AWS sample as published: backlog of 60 s / 15 s = 4 a task, one up after 150 s, one down after 25 minutes."""
    return Policy(
        name="AWS sample",
        metric=lambda demand, desired: -(-demand.runnable // 4) - desired,
        alarms=Alarms(
            up_points=15, up_cooldown_s=600, down_points=150, down_points_of=150, down_cooldown_s=300, up_by=1,
            down_by=1,
        ),
        # Ten minutes from no instance to the first image, of which the alarm takes 150 s.
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
        fleet=replace(sparkle_policy().fleet, service_s=service_s, price=price, max_workers=max_workers),
    )
