"""Which assumption would change a figure of the simulation most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import arrival_traces, assumptions
from .arrival_traces import Trace
from .assumptions import Stage
from .policies import INTERRUPTIONS_PER_HOUR, L4_SERVICE_S, Batch, Policy, Zones, sparkle_policy
from .simulation import simulate

# A trace and a policy, as the assumption has them.
Case = tuple[Trace, Policy]
Change = Callable[[Case], Case]
FIGURES = ("p95_wait_s", "money_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """What is assumed, and its two ends. `ends`: in words, and the change of the case."""

    name: str
    ends: tuple[tuple[str, Change], tuple[str, Change]]


def _fleet(**values: Any) -> Change:
    return lambda case: (case[0], replace(case[1], fleet=replace(case[1].fleet, **values)))


def _batch(**values: Any) -> Change:
    return _fleet(batch=Batch(**values))


def _same(case: Case) -> Case:
    return case


def _models(*shares: float, adapters: int = 0) -> Change:
    return lambda case: (arrival_traces.with_models(case[0], shares=shares, adapters=adapters), case[1])


def _interruptions(per_hour: float) -> Change:
    change = _fleet(interruptions_per_hour=per_hour)
    return lambda case: change(case) if case[1].fleet.interruptions_per_hour else case


def _start(end: str) -> Change:
    def total(stages: Sequence[Stage]) -> float:
        return sum(getattr(stage, f"{end}_s") for stage in stages)

    return _fleet(warm_start_s=total(assumptions.WARM_START), cold_start_s=total(assumptions.COLD_START))


def _refill(end: str) -> Change:
    return _fleet(refill_s=sum(getattr(stage, f"{end}_s") for stage in assumptions.REFILL))


def _one_by_one(case: Case) -> Case:
    """As many requests, each on its own: no one asks twice in a row."""
    trace = case[0]
    gap = trace.length_s / len(trace.arrivals)
    return replace(trace, arrivals=tuple(gap * (place + 0.5) for place in range(len(trace.arrivals)))), case[1]


def _half(case: Case) -> Case:
    return replace(case[0], arrivals=case[0].arrivals[::2]), case[1]


ASSUMPTIONS = (
    Assumption(
        name="the length of a start", ends=(("each stage's low end", _start("low")), ("its high end", _start("high")))
    ),
    Assumption(name="how long a refill runs", ends=(("low end", _refill("low")), ("high end", _refill("high")))),
    Assumption(
        name="the time of a request alone",
        ends=(
            ("half", _fleet(service_s=L4_SERVICE_S / 2)),
            ("twice", _fleet(service_s=L4_SERVICE_S * 2)),
        ),
    ),
    Assumption(
        name="what four requests gain in one batch",
        ends=(("4 % (a T4)", _batch(in_hand=4, gain=1.04)), ("2.1 times (an A100)", _batch(in_hand=4, gain=2.1))),
    ),
    Assumption(
        name="requests for further models, with memory for two",
        ends=(("1 of 10 for a second", _models(0.9, 0.1)), ("3 of 10 for two more", _models(0.7, 0.2, 0.1))),
    ),
    Assumption(name="LoRAs", ends=(("none", _same), ("half of the requests, 8 LoRAs", _models(1.0, adapters=8)))),
    Assumption(
        name="spot interruptions of an instance",
        ends=(
            ("one in 100 hours", _interruptions(INTERRUPTIONS_PER_HOUR / 5)),
            ("one in 4 hours", _interruptions(INTERRUPTIONS_PER_HOUR * 5)),
        ),
    ),
    Assumption(
        name="an hour a day without capacity in a zone",
        ends=(
            ("three zones", _fleet(zones=Zones(count=3, shortages_per_day=1.0))),
            ("one zone", _fleet(zones=Zones(count=1, shortages_per_day=1.0))),
        ),
    ),
    Assumption(
        name="the price of an hour",
        ends=(("g5.xlarge on spot", _fleet(price=0.469)), ("g5.xlarge", _fleet(price=1.006))),
    ),
    Assumption(name="when requests come", ends=(("half as many", _half), ("as many, evenly spread", _one_by_one))),
)


def table(cases: Mapping[str, Case]) -> dict[str, Any]:
    """Return by case each figure as it is, and what it is at both ends of each assumption, the largest change first."""
    found: dict[str, Any] = {}
    for name, case in cases.items():
        usual = _figures(case)
        ends = {each.name: [(end, _figures(change(case))) for end, change in each.ends] for each in ASSUMPTIONS}
        found[name] = {
            figure: {"usual": value, "changes": rank(value, _of(ends, figure))} for figure, value in usual.items()
        }
    return found


def rank(usual: float, ends: Mapping[str, Sequence[tuple[str, float]]]) -> list[dict[str, Any]]:
    """Return the assumptions that change the figure by 1 % or more at one of their ends, the largest change first."""
    changes = {name: max(abs(value - usual) for _, value in both) / usual for name, both in ends.items()}
    return [
        {"assumption": name, "ends": dict(ends[name]), "change": round(change, 3)}
        for name, change in sorted(changes.items(), key=lambda each: -each[1])
        if change >= 0.01
    ]


def _of(
    ends: Mapping[str, Sequence[tuple[str, Mapping[str, float]]]], figure: str
) -> dict[str, list[tuple[str, float]]]:
    return {name: [(end, figures[figure]) for end, figures in both] for name, both in ends.items()}


def cases() -> dict[str, Case]:
    """The two communities of the bill, with workers on demand and on spot."""
    spot = sparkle_policy(warm_pool=0, interruptions_per_hour=INTERRUPTIONS_PER_HOUR, price=0.605)
    return {
        "1,000 requests a month": (arrival_traces.month(), sparkle_policy()),
        "1,000 requests a month, on spot": (arrival_traces.month(), spot),
        "two days with evening peaks": (arrival_traces.evening(), sparkle_policy()),
    }


def _figures(case: Case) -> dict[str, float]:
    summary = simulate(*case).summary()
    return {name: summary[name] for name in FIGURES}
