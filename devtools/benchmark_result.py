"""The result of a benchmark: figures with their goals, all numbers, and plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number. `goal` is the bound it should keep (`at_least` or at most), None where there is none."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`detail` is all that was measured, as plain values; `plots` are SVG texts by name.

    `on` names the device where results of several devices are kept.
    """

    figures: tuple[Figure, ...]
    detail: Mapping[str, Any] = field(default_factory=dict)
    plots: Mapping[str, str] = field(default_factory=dict)
    on: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"figures": [asdict(each) | {"met": each.met} for each in self.figures], "detail": dict(self.detail)}


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that `share` (0..1) of the values do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * len(ordered) * 1000) // 1000) - 1))]
