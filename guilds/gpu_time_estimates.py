"""Estimates of a request's GPU time, and their update from measured jobs.

A unit of work is one guided evaluation of the model for one image of 512x512 pixels. A model's speed is its GPU
milliseconds per unit, so jobs with any sampler, size and strength measure the same number.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from .gpu_ledger import MAX_GPU_MS
from .samplers import SAMPLERS

# The strength of requests without one.
DEFAULT_STRENGTH: Mapping[str, float] = {"img2img": 0.7, "variation": 0.6, "upscale": 0.35}
# Attention grows with the square of the pixels, the rest of the model linearly.
_GROWTH = 1.25
# So many guilds must agree, each with one vote: no guild alone may change the charges of all.
MIN_GUILDS = 3
# The maximal factor of one update.
_MAX_CHANGE = 1.25


def strength_of(kind: str, strength: float | None) -> float:
    """Return a request's strength, by default that of its kind."""
    return DEFAULT_STRENGTH.get(kind, 1.0) if strength is None else strength


def evaluations_of(*, kind: str, sampler: str, steps: int, strength: float | None) -> int:
    """Return the model evaluations per image. With a source image only the last steps run."""
    if strength == 0:
        return 0
    if kind != "txt2img":
        steps = max(1, min(int(steps * strength_of(kind, strength)), steps))
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
    # Without guidance the negative prompt is not evaluated, which halves the work.
    guided = 1.0 if guidance > 1 else 0.5
    return evaluations_of(kind=kind, sampler=sampler, steps=steps, strength=strength) * guided * size * count


def gpu_ms_of(work: float, *, gpu_ms_per_step: float) -> int:
    """Return the estimate in milliseconds, from 1 to MAX_GPU_MS, for any value in a model's row."""
    estimate = gpu_ms_per_step * work
    if not math.isfinite(estimate) or estimate > MAX_GPU_MS:
        return MAX_GPU_MS
    return max(1, math.ceil(estimate))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The GPU time and work of one finished job, with its model, device and guild."""

    model_id: int
    device: str
    guild_id: int
    gpu_ms: int
    work: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """GPU milliseconds per unit of work, measured by the jobs of so many guilds."""

    gpu_ms_per_step: float
    guilds: int


def speeds(measured: Iterable[Measured]) -> dict[int, Speed]:
    """Return each model's speed on its slowest device, as the median of the guilds' medians.

    The slowest, since admission does not know which device will run the job. A device that fewer than MIN_GUILDS
    guilds used counts only if no other has more.
    """
    by_guild: dict[tuple[int, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for job in measured:
        if job.gpu_ms > 0 and job.work > 0:
            by_guild[job.model_id, job.device][job.guild_id].append(job.gpu_ms / job.work)
    slowest: dict[int, Speed] = {}
    for (model_id, _), guilds in by_guild.items():
        speed = Speed(gpu_ms_per_step=median(median(times) for times in guilds.values()), guilds=len(guilds))
        slowest[model_id] = max(slowest.get(model_id, speed), speed, key=_weight)
    return slowest


def _weight(speed: Speed) -> tuple[bool, float]:
    return speed.guilds >= MIN_GUILDS, speed.gpu_ms_per_step


def learned(current: float | None, *, configured: float, speed: Speed) -> float:
    """Return the new estimate in GPU milliseconds per step.

    `current` is the estimate learned before, None for none; `configured` is the operators' value. Fewer than MIN_GUILDS
    guilds can only raise it, to at most four times `configured`. One call changes it by at most 25 %, except the first
    value that MIN_GUILDS guilds agree on.
    """
    before = configured if current is None else current
    if speed.guilds < MIN_GUILDS:
        target = max(before, min(speed.gpu_ms_per_step, 4 * configured))
    elif current is None:
        return speed.gpu_ms_per_step
    else:
        target = speed.gpu_ms_per_step
    return min(max(target, before / _MAX_CHANGE), before * _MAX_CHANGE)
