"""Which families of models advance by the step, and how far their images are from those of diffusers' own pipelines.

Four requests with prompts of different lengths, steps and guidance arrive at different steps and share calls. Each is
then made by diffusers' own pipeline alone, from the same weights (tiny random ones), on the CPU in float32.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import torch

from devtools.benchmark_result import Figure, Result
from gpu_worker.continuous_batching import ContinuousBatchEngine
from gpu_worker.engine import Completed, Event, Failed, GenerationRequest
from gpu_worker.families.family import Family
from gpu_worker.families.flow import pack
from gpu_worker.families.registry import family_for
from guilds.samplers import SAMPLERS

from . import tiny_families

LEVELS, LATENTS = 1, 1e-4  # the tolerance: levels of 255, and absolute
# What a pipeline's own call needs to do what the request says.
GUIDANCE_ARGUMENT: Mapping[str, str] = {"qwen-image": "true_cfg_scale"}


PROMPTS = (
    ("a red cat", "blurry"),
    ("a large blue dog under the green tree by night", ""),
    ("a house", "ugly blurry small"),
    ("the sea by night a small red house on the sea a cat on the house", "blurry"),
)
ARRIVALS, STEPS, GUIDANCE, COUNTS = (0, 2, 3, 3), (7, 4, 9, 5), (5.0, 3.5, 1.0, 4.0), (1, 2, 1, 1)


def _more_arguments(pipe: Any) -> dict[str, Any]:
    """Return what the pipeline's own call needs to do what the request says."""
    if type(pipe).__name__ == "FluxPipeline" and not pipe.transformer.config.guidance_embeds:
        return {"max_sequence_length": 256}  # as schnell's authors say
    if "use_resolution_binning" in inspect.signature(pipe.__call__).parameters:
        return {"use_resolution_binning": False}  # else it makes another size and scales the image
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The largest difference from diffusers' own pipeline: in levels of 255, and between latents.

    Latents that are larger than 1 are compared relative to the largest one.
    """

    levels: int
    latents: float
    calls: int
    request_steps: int


def requests(family: Family, *, side: int | None = None) -> list[GenerationRequest]:
    """Return four requests that differ in everything that requests in one batch may differ in."""
    side = side or 4 * family.size_multiple
    return [
        GenerationRequest(
            id=at,
            prompt=prompt,
            negative_prompt=negative if family.info.has_negative_prompt else "",
            seed=10 + at,
            count=COUNTS[at],
            steps=STEPS[at],
            sampler=own_sampler(family),
            guidance=GUIDANCE[at],
            width=side,
            height=side,
        )
        for at, (prompt, negative) in enumerate(PROMPTS)
    ]


def together(
    family: Family, asked: Sequence[GenerationRequest], *, arrivals: Sequence[int] = ARRIVALS
) -> tuple[dict[int, tuple[Any, ...]], dict[int, torch.Tensor], int]:
    """Return images and finished latents by request, and the number of calls of the denoiser."""
    engine = ContinuousBatchEngine(family, model="tiny", max_rows=16, capacity=99)
    images: dict[int, tuple[Any, ...]] = {}
    calls = 0
    forward, combine = family.forward, family.combine

    def counted(**given: Any) -> Any:
        nonlocal calls
        calls += 1
        return forward(**given)

    def emit(event: Event) -> None:
        assert not isinstance(event, Failed), event
        if isinstance(event, Completed):
            images[event.id] = event.images

    def noted(run: Any, outputs: Any) -> torch.Tensor:
        prediction = combine(run, outputs)
        noted_runs[run.request.id] = run
        return prediction

    noted_runs: dict[int, Any] = {}
    family.forward, family.combine = counted, noted  # type: ignore[method-assign]
    try:
        pending, step = sorted(zip(arrivals, asked, strict=True), key=lambda pair: pair[0]), 0
        while pending or engine.used_capacity:
            while pending and pending[0][0] <= step:
                engine.admit(pending.pop(0)[1])
            engine.advance(emit)
            step += 1
    finally:
        family.forward, family.combine = forward, combine  # type: ignore[method-assign]
    latents = {number: run.latents for number, run in noted_runs.items()}
    return images, latents, calls


def alone(family: Family, request: GenerationRequest) -> tuple[Any, torch.Tensor]:
    """Return the images and the latents, as its denoiser has them, that diffusers' own pipeline makes."""
    latents: list[torch.Tensor] = []

    def note(_pipe: Any, _step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        latents.append(tensors["latents"])
        return tensors

    arguments: dict[str, Any] = {
        "prompt": request.prompt,
        "num_inference_steps": request.steps,
        GUIDANCE_ARGUMENT.get(family.info.slug, "guidance_scale"): request.guidance,
        "width": request.width,
        "height": request.height,
        "num_images_per_prompt": request.count,
        "generator": [torch.Generator().manual_seed(seed) for seed in request.seeds],
    }
    if "callback_on_step_end" in inspect.signature(family.pipe.__call__).parameters:
        arguments["callback_on_step_end"] = note
    else:
        arguments["callback"] = lambda _step, _timestep, tensor: latents.append(tensor)
    if family.info.has_negative_prompt:
        arguments["negative_prompt"] = request.negative_prompt
    with torch.inference_mode():
        made = family.pipe(**arguments, **_more_arguments(family.pipe)).images
    return made, latents[-1]


def own_sampler(family: Family) -> str:
    """Return the name of the sampler that is the scheduler of the model's author."""
    own = type(family.pipe.scheduler).__name__
    return next(name for name in family.info.samplers if SAMPLERS[name].scheduler == own)


def _as_theirs(latents: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Return our latents in the layout of the pipeline's: an image, its patches of 2 x 2, or its pixels."""
    layouts = (latents, pack(latents), latents.flatten(2).mT)
    return next(layout for layout in layouts if layout.shape == theirs.shape)


def compare(family: Family, asked: Sequence[GenerationRequest] | None = None) -> Difference:
    """Make the requests together and alone, and return how far apart they are."""
    asked = requests(family) if asked is None else asked
    images, latents, calls = together(family, asked)
    levels, largest = 0, 0.0
    for request in asked:
        made, own = alone(family, request)
        for ours, theirs in zip(images[request.id], made, strict=True):
            levels = max(levels, int(np.abs(np.asarray(ours, dtype=int) - np.asarray(theirs, dtype=int)).max()))
        apart = float((_as_theirs(latents[request.id], own) - own).abs().max())
        largest = max(largest, apart / max(1.0, float(own.abs().max())))
    return Difference(
        levels=levels, latents=largest, calls=calls, request_steps=sum(request.steps for request in asked)
    )


def load(name: str) -> Family:
    """Return the family with a tiny random pipeline."""
    diffusers.utils.logging.set_verbosity_error()
    pipe = tiny_families.PIPELINES[name]()
    pipe.set_progress_bar_config(disable=True)
    family = family_for(pipe)
    assert family is not None, name
    return family


def run(*, full: bool) -> Result:
    """Compare each family with diffusers' own pipeline."""
    torch.set_num_threads(1)
    figures = []
    for name in tiny_families.PIPELINES:
        began = time.process_time()
        found = compare(load(name))
        seconds = time.process_time() - began
        figures += [
            Figure(name=f"{name}, apart", value=found.levels, unit="of 255", goal=LEVELS),
            Figure(name=f"{name}, latents apart", value=float(f"{found.latents:.1e}"), unit="", goal=LATENTS),
            Figure(name=f"{name}, calls for {found.request_steps} steps", value=found.calls, unit=""),
            Figure(name=f"{name}, CPU", value=round(seconds, 1), unit="s"),
        ]
    return Result(figures=tuple(figures), detail={"families": list(tiny_families.PIPELINES)}, on="cpu")
