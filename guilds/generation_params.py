"""The parameters of a generation: as a member requested them, and with every default filled in."""

from __future__ import annotations

from dataclasses import dataclass

MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedParams:
    """What a member chose. None or empty where nothing was chosen. `loras` as guilds.lora_selection.parse reads them.

    `preset` names one of the member's presets; with `uses_defaults` the member's defaults apply below it.
    `source_job_id` with `source_index`, or `source_url`, names the image to start from. `lowerable` holds "steps" and
    "count" of an earlier request: they are lowered to the server's limits, not refused.
    `painted_area` is the part of the source that is painted (jobs/painted_areas.py), "" for all of it.
    `speed` is "prompt" or "relaxed" (jobs/relaxed.py).
    """

    kind: str = "txt2img"
    prompt: str
    negative_prompt: str | None = None
    seed: int | None = None
    steps: int | None = None
    sampler: str | None = None
    width: int | None = None
    height: int | None = None
    guidance: float | None = None
    count: int | None = None
    style: str | None = None
    model: str | None = None
    strength: float | None = None
    source_job_id: int | None = None
    source_index: int | None = None
    source_url: str = ""
    painted_area: str = ""
    preset: str | None = None
    uses_defaults: bool = False
    is_private: bool | None = None
    loras: str = ""
    lowerable: frozenset[str] = frozenset()
    speed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationParams:
    """What a model generates images from. The same parameters and source image make the same images.

    `prompt` includes the style. Image `i` of `count` has the seed `seeds[i]`. `width` and `height` are in pixels.
    `strength` in [0, 1] says how much of a source image is repainted; 0 only enlarges it. `loras`: slugs with weights,
    such as "night:0.8,sketch:1".
    """

    prompt: str
    negative_prompt: str = ""
    seed: int
    count: int
    steps: int
    sampler: str
    guidance: float
    width: int
    height: int
    strength: float = 1.0
    loras: str = ""

    @property
    def seeds(self) -> tuple[int, ...]:
        return seeds(self.seed, self.count)


def seeds(first: int, count: int) -> tuple[int, ...]:
    """Return the seeds of a request's images: consecutive from `first`, wrapping to 0 after MAX_SEED."""
    return tuple((first + index) % (MAX_SEED + 1) for index in range(count))
