"""The bill of a plan: its lines at each load, and their sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import lines
from .plan import Plan
from .prices import Price, PriceList
from .workload import Month


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the bill, with its quantity and US dollars in each month."""

    name: str
    price: Price
    quantities: tuple[float, ...]
    dollars: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    months: tuple[Month, ...]
    lines: tuple[Line, ...]

    @property
    def totals(self) -> tuple[float, ...]:
        return tuple(sum(each.dollars[place] for each in self.lines) for place in range(len(self.months)))


def calculate(plan: Plan, months: Sequence[Month], prices: PriceList) -> Bill:
    """Return the plan's bill for each month. Raises CostError if a resource or a price is not known.

    The free units of a price are taken off its lines in the order of the plan. The dearest lines come first.
    """
    quantities: dict[tuple[str, str], list[float]] = {}
    for place, month in enumerate(months):
        for item in lines.items(plan, month):
            quantities.setdefault((item.line, item.price), [0.0] * len(months))[place] += item.quantity
    free: dict[str, list[float]] = {}
    found = []
    for (name, price_name), amounts in quantities.items():
        price = prices.find(price_name)
        left = free.setdefault(price_name, [price.free] * len(months))
        found.append(Line(name=name, price=price, quantities=tuple(amounts), dollars=_charge(price, amounts, left)))
    return Bill(
        months=tuple(months), lines=tuple(sorted(found, key=lambda line: [-each for each in line.dollars[::-1]]))
    )


def _charge(price: Price, quantities: Sequence[float], free: list[float]) -> tuple[float, ...]:
    """Return the US dollars of each month, and take what is free off `free`."""
    assert price.usd is not None  # PriceList.find refuses it.
    dollars = []
    for place, quantity in enumerate(quantities):
        used = min(free[place], quantity)
        free[place] -= used
        dollars.append((quantity - used) * price.usd)
    return tuple(dollars)
