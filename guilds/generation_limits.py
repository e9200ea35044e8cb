"""Validation of models' and guilds' generation settings: steps and sizes that a sampler or model cannot do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .model_families import FAMILIES
from .samplers import SAMPLERS

# The VAEs of diffusers encode 8 x 8 pixels into one latent.
SIZE_MULTIPLE = 8
SMALLEST_SIDE, LARGEST_SIDE = 64, 2048
# Sizes that forms offer: those that published models were trained for. Both sides are multiples of 64.
STANDARD_SIZES = (
    "512x512", "512x768", "768x512", "640x640", "768x768", "1024x1024", "896x1152", "1152x896", "832x1216", "1216x832",
    "768x1344", "1344x768",
)  # fmt: skip
_SIZE = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    name: str
    max_steps: int
    sizes: Sequence[str]


def most_steps(sampler: str) -> int | None:
    """Return the sampler's maximum of steps, None for an unknown sampler."""
    known_sampler = SAMPLERS.get(sampler)
    return known_sampler.max_steps if known_sampler else None


def wrong_size(size: str) -> str:
    """Return why no model can generate `size`, "" if it is valid."""
    match = _SIZE.fullmatch(size)
    if match is None:
        return f"{size!r} is not a size. Write it like 512x512."
    for side in map(int, match.groups()):
        if side % SIZE_MULTIPLE:
            return f"{size}: both sides must be multiples of {SIZE_MULTIPLE}."
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
            return f"{size}: a side has {SMALLEST_SIDE} to {LARGEST_SIDE} pixels."
    return ""


def wrong_in_model(
    *, family: str, sampler: str, default_steps: int, max_steps: int, sizes: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield (field, error) for model settings that contradict each other, the family or the sampler."""
    known = FAMILIES.get(family)
    if known is None:
        yield "family", f"There is no family {family!r}. Choose one of: {', '.join(FAMILIES)}."
        return
    if sampler not in known.samplers:
        yield "default_sampler", f"{known.label} cannot use the sampler {sampler!r}. Use {', '.join(known.samplers)}."
    for size in sizes:
        match = _SIZE.fullmatch(size)
        if match and any(int(side) % known.size_multiple for side in match.groups()):
            yield "sizes", f"{size}: for {known.label} both sides must be multiples of {known.size_multiple}."
    if default_steps > max_steps:
        yield "default_steps", f"The default is above the maximum of {max_steps} steps."
    limit = most_steps(sampler)
    if limit is not None and max(default_steps, max_steps) > limit:
        field = "default_steps" if default_steps > limit else "max_steps"
        yield field, f"The sampler {sampler} can do at most {limit} steps."
    if not sizes:
        yield "sizes", "Write at least one size."
    if len(set(sizes)) < len(sizes):
        yield "sizes", "Write each size once."


def wrong_in_guild(
    *, default_steps: int | None, max_steps: int, allowed_sizes: Sequence[str], models: Sequence[ModelLimits]
) -> Iterator[tuple[str, str]]:
    """Yield (field, error) for guild settings that contradict each other or an offered model."""
    if default_steps is not None and default_steps > max_steps:
        yield "default_steps", f"The default is above the maximum of {max_steps} steps."
    for model in models:
        if default_steps is not None and default_steps > model.max_steps:
            yield "default_steps", f"The model {model.name} can do at most {model.max_steps} steps."
        if allowed_sizes and not set(allowed_sizes) & set(model.sizes):
            yield (
                "allowed_sizes",
                f"The model {model.name} can make none of these sizes, only {', '.join(model.sizes)}.",
            )
