"""Inpainting: what the mask leaves out stays, and what it paints is what diffusers' own pipeline makes.

The pipelines are real ones with random weights, on the CPU in float32.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpu_worker.engine import Completed, Event, GenerationRequest
from guilds.model_families import FAMILIES

from . import tiny_models

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SIZE = tiny_models.SIZE
TOLERANCE = 1
LATENTS = 1e-5


@pytest.fixture(scope="module")
def engine() -> Any:
    from gpu_worker import diffusers_engine

    return diffusers_engine.load(str(tiny_models.folder()))


def _mask(left: int, top: int, right: int, bottom: int, *, size: int = SIZE) -> Image.Image:
    mask = Image.new("L", (size, size), 0)
    mask.paste(255, (left, top, right, bottom))
    return mask


def _source(size: int = SIZE) -> Image.Image:
    rows, columns = np.mgrid[0:size, 0:size]
    pixels = np.stack([rows * 255 // size, columns * 255 // size, (rows + columns) * 127 // size], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def _request(**fields: Any) -> GenerationRequest:
    defaults: dict[str, Any] = {
        "id": 1,
        "prompt": "a red cat",
        "seed": 3,
        "count": 2,
        "steps": 6,
        "sampler": "k_euler",
        "guidance": 4.0,
        "width": SIZE,
        "height": SIZE,
        "source": _source(),
        "mask": _mask(0, 0, 32, SIZE),
    }
    return GenerationRequest(**(defaults | fields))


def _finish(engine: Any, *requests: GenerationRequest) -> tuple[dict[int, tuple[Image.Image, ...]], dict[int, Any]]:
    """Return images and finished latents by request."""
    for request in requests:
        engine.admit(request)
    events: list[Event] = []
    runs: dict[int, Any] = {}
    while engine.used_capacity:
        engine.advance(events.append)
        runs |= {run.request.id: run for run in engine._inside}
    images = {event.id: event.images for event in events if isinstance(event, Completed)}
    assert images.keys() == {request.id for request in requests}, events
    return images, {number: run.latents for number, run in runs.items()}


def _pixels(image: Image.Image) -> Any:
    return np.asarray(image, dtype=int)


@pytest.mark.parametrize("sampler", ["k_lms", "PLMS", "DDIM", "k_euler", "dpmpp_2m_karras", "unipc"])
def test_what_is_painted_is_what_diffusers_paints(sampler: str) -> None:
    from diffusers import StableDiffusionInpaintPipeline

    from gpu_worker import diffusers_engine
    from gpu_worker.families.schedulers import SchedulerFactory

    request = _request(sampler=sampler, steps=10, strength=0.6)
    pipe = StableDiffusionInpaintPipeline.from_pretrained(tiny_models.folder(channels=4))
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = SchedulerFactory(pipe.scheduler, predicts="epsilon").make(sampler)
    theirs = pipe(
        request.prompt,
        image=request.source,
        mask_image=request.mask,
        strength=request.strength,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        width=SIZE,
        height=SIZE,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
    ).images
    # diffusers' pipeline takes latents of four channels only.
    images, _ = _finish(diffusers_engine.load(str(tiny_models.folder(channels=4))), request)
    for ours, own in zip(images[1], theirs, strict=True):
        assert np.abs(_pixels(ours) - _pixels(own))[:, :32].max() <= TOLERANCE


@pytest.mark.parametrize("sampler", FAMILIES["stable-diffusion"].samplers)
def test_with_every_sampler_the_source_stays_outside_the_mask(engine: Any, sampler: str) -> None:
    from gpu_worker.inpainting import EDGE_PX

    request = _request(sampler=sampler, count=1)
    images, latents = _finish(engine, request)
    kept = engine._family._encode_source(request)
    assert (latents[1] - kept)[..., 4:].abs().max() <= LATENTS
    assert (latents[1] - kept)[..., :4].abs().max() > 100 * LATENTS
    apart = np.abs(_pixels(images[1][0]) - _pixels(_source()))
    assert apart[:, 32 + EDGE_PX :].max() == 0
    assert apart[:, :32].mean() > 10


def test_without_blending_the_latents_outside_the_mask_change(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu_worker import continuous_batching

    monkeypatch.setattr(continuous_batching, "put_back_source", lambda run: None)
    request = _request(count=1)
    _, latents = _finish(engine, request)
    assert (latents[1] - engine._family._encode_source(request))[..., 4:].abs().max() > 100 * LATENTS


def test_requests_with_masks_share_the_batch_with_others(engine: Any) -> None:
    masked = _request(id=1, sampler="k_heun")
    other = _request(id=2, mask=_mask(20, 20, 44, 44), sampler="DDIM", steps=4)
    plain = _request(id=3, source=None, mask=None)
    alone: dict[int, Any] = {}
    for request in (masked, other, plain):
        alone |= _finish(engine, request)[0]
    together, _ = _finish(engine, masked, other, plain)
    for number, images in alone.items():
        for one, each in zip(images, together[number], strict=True):
            assert np.abs(_pixels(one) - _pixels(each)).max() <= TOLERANCE


def test_a_thin_stroke_paints_the_latents_that_it_touches() -> None:
    from gpu_worker.inpainting import latent_mask

    painted = latent_mask(_mask(9, 0, 10, SIZE), 8, 8)
    assert painted[0, 0, 0].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


def test_the_edge_of_the_mask_is_soft_and_ends() -> None:
    from gpu_worker.inpainting import EDGE_PX, put_back_pixels

    black, white = Image.new("RGB", (SIZE, SIZE)), Image.new("RGB", (SIZE, SIZE), "white")
    row = _pixels(put_back_pixels(white, source=black, mask=_mask(0, 0, 32, SIZE)))[SIZE // 2, :, 0]
    assert (row[:32] == 255).all()
    assert (row[32 + EDGE_PX :] == 0).all()
    assert len(set(row[32 : 32 + EDGE_PX])) > 4


@pytest.mark.parametrize("name", ["sd3", "flux-dev", "z-image", "qwen-image", "chroma"])
def test_a_flow_model_keeps_the_source_outside_the_mask(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import families
    from gpu_worker import continuous_batching

    torch.set_num_threads(1)
    family = families.load(name)
    first = families.requests(family)[0]
    side = first.width
    request = dataclasses.replace(first, source=_source(side), mask=_mask(0, 0, side // 2, side, size=side), steps=3)
    with torch.inference_mode():
        kept = family._encode_source(request)
    half = kept.shape[-1] // 2
    _, latents, _ = families.together(family, [request], arrivals=[0])
    assert (latents[0] - kept)[..., half:].abs().max() <= LATENTS
    assert (latents[0] - kept)[..., :half].abs().max() > 100 * LATENTS
    monkeypatch.setattr(continuous_batching, "put_back_source", lambda run: None)
    _, unblended, _ = families.together(family, [request], arrivals=[0])
    assert (unblended[0] - kept)[..., half:].abs().max() > 100 * LATENTS
