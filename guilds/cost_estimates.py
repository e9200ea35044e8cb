"""How much GPU time a request will take, and what finished jobs teach about it. Pure.

A unit of work is one guided evaluation of the model for one image of 512x512 pixels. A model's speed is its GPU
milliseconds for each unit, so jobs of every sampler, size and strength teach the same number.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from .gpu_ledger import MAX_GPU_MS
from .samplers import SAMPLERS

# How much of the source image is repainted where the request does not say.
DEFAULT_STRENGTH: Mapping[str, float] = {"img2img": 0.7, "variation": 0.6, "upscale": 0.35}
# Attention grows with the square of the pixels, the rest of the model with the pixels.
_GROWTH = 1.25
# No server alone may change what all are charged: so many must agree, each with one vote.
MIN_GUILDS = 3
# The most by which one run of upkeep changes an estimate, up or down.
_MAX_CHANGE = 1.25


def evaluations_of(*, kind: str, sampler: str, steps: int, strength: float | None) -> int:
    """Return how often the model is evaluated for each image: with a source image only the last steps are done."""
    if kind != "txt2img":
        share = strength or DEFAULT_STRENGTH.get(kind, 1.0)
        steps = max(1, min(int(steps * share), steps))
    return SAMPLERS[sampler].evaluations(steps) if sampler in SAMPLERS else steps


def work_of(
    *,
    kind: str,
    sampler: str,
    steps: int,
    strength: float | None,
    guidance: float,
    width: int,
    height: int,
    count: int,
) -> float:
    """Return a request's units of work."""
    pixels = width * height / (512 * 512)
    size = pixels**_GROWTH if pixels > 1 else pixels
    # At 1 or less the negative prompt is not evaluated, which is half of an evaluation.
    guided = 1.0 if guidance > 1 else 0.5
    return evaluations_of(kind=kind, sampler=sampler, steps=steps, strength=strength) * guided * size * count


def gpu_ms_of(work: float, *, gpu_ms_per_step: float) -> int:
    """Return the estimate in whole milliseconds: at least 1, at most a day, whatever number a model's row holds."""
    estimate = gpu_ms_per_step * work
    if not math.isfinite(estimate) or estimate > MAX_GPU_MS:
        return MAX_GPU_MS
    return max(1, math.ceil(estimate))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one finished job took: on which model and kind of card, for which guild."""

    model_id: int
    device: str
    guild_id: int
    gpu_ms: int
    work: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """GPU milliseconds for a unit of work, as so many guilds' jobs say."""

    gpu_ms_per_step: float
    guilds: int


def speeds(measured: Iterable[Measured]) -> dict[int, Speed]:
    """Return each model's speed on its slowest kind of card: the median of the guilds' own medians.

    On the slowest, since which card will take a job is not known when it is admitted. A kind of card that fewer than
    MIN_GUILDS used counts only where none had more.
    """
    by_guild: dict[tuple[int, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in measured:
        if each.gpu_ms > 0 and each.work > 0:
            by_guild[each.model_id, each.device][each.guild_id].append(each.gpu_ms / each.work)
    found: dict[int, Speed] = {}
    for (model_id, _), guilds in by_guild.items():
        speed = Speed(gpu_ms_per_step=median(median(times) for times in guilds.values()), guilds=len(guilds))
        found[model_id] = max(found.get(model_id, speed), speed, key=_weight)
    return found


def _weight(speed: Speed) -> tuple[bool, float]:
    return speed.guilds >= MIN_GUILDS, speed.gpu_ms_per_step


def learned(current: float | None, *, configured: float, speed: Speed) -> float:
    """Return what to estimate with from now on.

    `current` is what was learned before, None for nothing; `configured` is the operators' number. Fewer than MIN_GUILDS
    guilds can only raise it, and to no more than four times what the operators set. One call changes it by at most a
    quarter, but for the first that enough guilds agree on.
    """
    before = configured if current is None else current
    if speed.guilds < MIN_GUILDS:
        target = max(before, min(speed.gpu_ms_per_step, 4 * configured))
    elif current is None:
        return speed.gpu_ms_per_step
    else:
        target = speed.gpu_ms_per_step
    return min(max(target, before / _MAX_CHANGE), before * _MAX_CHANGE)
