"""Continuous batching keeps its promise: other requests change how long a request takes, never its images.

The pipeline is a real one with random weights. The tolerance is one level of 255 on finished images, in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpu_worker.engine import (
    Cancelled,
    Completed,
    EngineBroken,
    Event,
    Failed,
    GenerationRequest,
    ModelUnavailable,
    StepDone,
)
from guilds.model_families import FAMILIES

from . import tiny_models

torch = pytest.importorskip("torch")
TOLERANCE = 1
EPSILON = FAMILIES["stable-diffusion"].samplers
# diffusers' KDPM2 schedulers hand torch tensors to numpy.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")


@pytest.fixture(scope="module")
def engine() -> Any:
    from gpu_worker import diffusers_engine

    return diffusers_engine.load(str(tiny_models.folder()))


def _request(**fields: Any) -> GenerationRequest:
    defaults: dict[str, Any] = {
        "id": 1,
        "prompt": "a red cat",
        "seed": 3,
        "count": 2,
        "steps": 6,
        "sampler": "k_lms",
        "guidance": 7.5,
        "width": tiny_models.SIZE,
        "height": tiny_models.SIZE,
    }
    return GenerationRequest(**(defaults | fields))


def _finish(engine: Any) -> list[Event]:
    events: list[Event] = []
    while engine.used_capacity:
        engine.advance(events.append)
    return events


def _images(engine: Any, request: GenerationRequest) -> tuple[Image.Image, ...]:
    engine.admit(request)
    made = next(event for event in reversed(_finish(engine)) if event.id == request.id)
    assert isinstance(made, Completed), made
    return made.images


def _apart(left: Sequence[Image.Image], right: Sequence[Image.Image]) -> int:
    assert len(left) == len(right)
    return max(
        int(np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max()) for a, b in zip(left, right, strict=True)
    )


def _mixed() -> list[GenerationRequest]:
    """One request of each sampler, all different in prompt, steps, guidance, seed and number of images."""
    return [
        _request(
            id=number,
            prompt=f"a cat number {number}",
            negative_prompt="blurry" if number % 2 else "",
            seed=100 + number,
            count=1 + number % 3,
            steps=4 + number,
            sampler=sampler,
            guidance=1.0 if number % 4 == 3 else 3.0 + number,
        )
        for number, sampler in enumerate(EPSILON)
    ]


def test_every_sampler_makes_the_same_images_in_a_batch_and_alone(engine: Any) -> None:
    requests = _mixed()
    alone = {request.id: _images(engine, request) for request in requests}
    for request in requests:
        engine.admit(request)
    together = {event.id: event.images for event in _finish(engine) if isinstance(event, Completed)}
    assert together.keys() == alone.keys()
    for request in requests:
        assert _apart(alone[request.id], together[request.id]) <= TOLERANCE, request.sampler
    assert _apart(alone[0][:1], alone[4][:1]) > 10 * TOLERANCE  # the measure distinguishes images


def test_a_request_that_joins_late_makes_the_same_images(engine: Any) -> None:
    first, second = _request(id=1, steps=10, sampler="dpmpp_2m_karras"), _request(id=2, seed=50, sampler="k_euler_a")
    alone = _images(engine, second)
    engine.admit(first)
    for _ in range(4):
        engine.advance(lambda event: None)
    engine.admit(second)
    made = {event.id: event for event in _finish(engine) if isinstance(event, Completed)}
    assert _apart(alone, made[2].images) <= TOLERANCE


@pytest.mark.parametrize("sampler", EPSILON)
def test_images_are_those_of_diffusers_own_pipeline(engine: Any, sampler: str) -> None:
    from diffusers import StableDiffusionPipeline

    from gpu_worker.families.schedulers import SchedulerFactory

    request = _request(sampler=sampler, steps=7, negative_prompt="blurry")
    pipe = StableDiffusionPipeline.from_pretrained(tiny_models.folder())
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = SchedulerFactory(pipe.scheduler, predicts="epsilon").make(sampler)
    theirs = pipe(
        request.prompt,
        negative_prompt=request.negative_prompt,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        width=request.width,
        height=request.height,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
    ).images
    assert _apart(_images(engine, request), theirs) <= TOLERANCE


@pytest.mark.parametrize("sampler", ["k_lms", "PLMS", "DDIM", "k_heun", "k_dpm_2_a", "unipc", "lcm"])
def test_image_to_image_is_what_diffusers_makes(engine: Any, sampler: str) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    from gpu_worker.families.schedulers import SchedulerFactory

    source = _images(engine, _request(seed=77))[0]
    request = _request(source=source, strength=0.5, steps=10, sampler=sampler)
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(tiny_models.folder())
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = SchedulerFactory(pipe.scheduler, predicts="epsilon").make(sampler)
    theirs = pipe(
        request.prompt,
        image=source,
        strength=request.strength,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
    ).images
    assert _apart(_images(engine, request), theirs) <= TOLERANCE


def test_cached_coefficients_belong_to_one_number_of_steps(engine: Any) -> None:
    from gpu_worker import diffusers_engine

    other = diffusers_engine.load(str(tiny_models.folder()))
    for steps in (9, 4, 9):
        request = _request(steps=steps, sampler="k_lms")
        assert _apart(_images(engine, request), _images(other, request)) <= TOLERANCE
        other = diffusers_engine.load(str(tiny_models.folder()))


def test_seeds_are_consecutive_and_each_makes_its_own_image(engine: Any) -> None:
    four = _images(engine, _request(seed=20, count=4))
    third = _images(engine, _request(seed=22, count=1))
    assert _apart(four[2:3], third) <= TOLERANCE


def test_one_batch_may_have_several_sizes_and_upscaling_doubles(engine: Any) -> None:
    small = _images(engine, _request(count=1))[0]
    wide = _request(id=2, width=2 * tiny_models.SIZE, height=tiny_models.SIZE, count=1)
    large = _request(id=3, width=2 * tiny_models.SIZE, height=2 * tiny_models.SIZE, count=1, source=small, strength=0.4)
    engine.admit(wide)
    engine.admit(large)
    made = {event.id: event.images[0].size for event in _finish(engine) if isinstance(event, Completed)}
    assert made == {2: (2 * tiny_models.SIZE, tiny_models.SIZE), 3: (2 * tiny_models.SIZE, 2 * tiny_models.SIZE)}


def test_a_long_prompt_is_read_to_its_end_and_a_longer_one_counts_truncated_tokens(engine: Any) -> None:
    long = "cat " * 60  # about 180 tokens of this tokenizer
    assert _apart(_images(engine, _request(prompt=long)), _images(engine, _request(prompt=long + "dog"))) > 0
    engine.admit(_request(prompt="cat " * 600))
    made = _finish(engine)[-1]
    assert isinstance(made, Completed)
    assert made.truncated_tokens == 1200


def test_progress_counts_steps_and_previews_come_half_way(engine: Any) -> None:
    engine.admit(_request(sampler="k_heun", steps=8, preview=True))
    steps = [event for event in _finish(engine) if isinstance(event, StepDone)]
    assert [(event.step, event.total) for event in steps] == [(number, 15) for number in range(1, 16)]
    assert [event.step for event in steps if event.preview is not None] == [7]


def test_cancelling_takes_effect_at_the_next_step_and_does_not_affect_others(engine: Any) -> None:
    stays, goes = _request(id=1, steps=8), _request(id=2, steps=8)
    alone = _images(engine, stays)
    engine.admit(stays)
    engine.admit(goes)
    engine.advance(lambda event: None)
    engine.cancel(2)
    events: list[Event] = []
    engine.advance(events.append)
    assert [event for event in events if event.id == 2] == [Cancelled(id=2, gpu_ms=events[0].gpu_ms)]  # type: ignore[union-attr]
    made = _finish(engine)[-1]
    assert isinstance(made, Completed)
    assert _apart(alone, made.images) <= TOLERANCE


def test_an_invalid_request_fails_alone(engine: Any) -> None:
    engine.admit(_request(id=1))
    engine.admit(_request(id=2, sampler="nobody knows it"))
    engine.admit(_request(id=3, width=tiny_models.SIZE + 3))
    events = _finish(engine)
    assert {event.id: event.reason for event in events if isinstance(event, Failed)} == {
        2: "sampler_unknown",
        3: "size_not_possible",
    }
    assert [event.id for event in events if isinstance(event, Completed)] == [1]


def _out_of_memory_above(engine: Any, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Give the engine a GPU that holds so many rows at once."""
    forward = engine._family.forward

    def small_gpu(*, sample: Any, **kwargs: Any) -> Any:
        if len(sample) > rows:
            raise torch.OutOfMemoryError
        return forward(sample=sample, **kwargs)

    monkeypatch.setattr(engine._family, "forward", small_gpu)
    monkeypatch.setattr(engine, "_max_rows", engine._max_rows)
    monkeypatch.setattr(engine, "capacity", engine.capacity)


def test_out_of_memory_halves_the_call_and_changes_no_image(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = _request(count=4)
    plenty = _images(engine, request)
    _out_of_memory_above(engine, monkeypatch, rows=2)
    room = engine.capacity
    assert _apart(_images(engine, request), plenty) <= TOLERANCE
    assert engine.capacity < room


def test_a_request_that_does_not_fit_alone_fails_for_another_attempt(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _out_of_memory_above(engine, monkeypatch, rows=0)
    engine.admit(_request())
    assert _finish(engine) == [Failed(id=1, reason="out_of_memory", permanent=False)]


def test_a_broken_gpu_is_distinguished_from_a_full_one(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with monkeypatch.context() as patch:
        patch.setattr(engine._family, "forward", broken)
        engine.admit(_request())
        with pytest.raises(EngineBroken):
            engine.advance(lambda event: None)
    engine.cancel(1)
    _finish(engine)


def test_deepcache_skips_most_full_calls_and_stays_close(engine: Any) -> None:
    from gpu_worker import diffusers_engine

    cached: Any = diffusers_engine.load(str(tiny_models.folder()), options={"deepcache"})
    calls = {"full": 0}
    deepcache = cached._family.forward
    full = deepcache.full

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls["full"] += 1
        return full(*args, **kwargs)

    deepcache.full = counted
    request = _request(steps=9, sampler="DDIM", guidance=3.0)
    near = _images(cached, request)
    assert calls["full"] == 3
    exact = _images(engine, request)
    other = _images(engine, _request(steps=9, sampler="DDIM", guidance=3.0, seed=900))
    assert 0 < _apart(near, exact) < _apart(exact, other)
    cached.admit(_request(id=2, steps=5, seed=40, count=1))
    cached.advance(lambda event: None)
    assert _apart(_images(cached, request), near) <= TOLERANCE


@pytest.mark.parametrize("source", ["/nowhere/at/all", "./neither/here"])
def test_a_missing_model_is_reported_in_words(source: str) -> None:
    from gpu_worker import diffusers_engine

    with pytest.raises(ModelUnavailable, match=r"holds no pipeline: there is no model_index\.json"):
        diffusers_engine.load(source)


def test_a_broken_model_folder_is_reported_in_words(tmp_path: Any) -> None:
    from gpu_worker import diffusers_engine

    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "X"]}')
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        diffusers_engine.load(str(tmp_path))
