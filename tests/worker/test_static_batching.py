"""Static batching serves any pipeline by whole calls, behind the same contract."""

from __future__ import annotations

from typing import Any

import pytest

from gpu_worker.engine import Cancelled, Completed, Event, Failed, GenerationRequest, StepDone

from . import tiny_models

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def engine() -> Any:
    from diffusers import StableDiffusionPipeline

    from gpu_worker.static_batching import StaticBatchEngine

    pipe = StableDiffusionPipeline.from_pretrained(tiny_models.folder())
    pipe.set_progress_bar_config(disable=True)
    return StaticBatchEngine(pipe, model="tiny", max_images=4)


def _request(**fields: Any) -> GenerationRequest:
    defaults: dict[str, Any] = {
        "id": 1,
        "prompt": "a red cat",
        "seed": 3,
        "count": 2,
        "steps": 5,
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


def _pixels(made: Completed) -> list[bytes]:
    return [image.tobytes() for image in made.images]


def _near(left: list[bytes], right: list[bytes]) -> bool:
    return all(abs(a - b) <= 1 for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True))


def test_requests_with_equal_parameters_share_a_call_and_keep_their_images(engine: Any) -> None:
    first, second = _request(id=1), _request(id=2, prompt="a blue dog", negative_prompt="blurry", seed=90)
    alone = {}
    for request in (first, second):
        engine.admit(request)
        alone[request.id] = _finish(engine)[-1]
    engine.admit(first)
    engine.admit(second)
    events: list[Event] = []
    engine.advance(events.append)
    assert engine.used_capacity == 0
    for made in (event for event in events if isinstance(event, Completed)):
        assert _near(_pixels(made), _pixels(alone[made.id]))  # type: ignore[arg-type]
    assert [event.step for event in events if isinstance(event, StepDone) and event.id == 2] == [1, 2, 3, 4, 5]


def test_tokens_that_the_text_encoder_does_not_read_are_counted(engine: Any) -> None:
    engine.admit(_request(id=1, steps=1, prompt="cat " * 20))
    engine.admit(_request(id=2, steps=1, prompt="cat " * 30))
    cut = {made.id: made.truncated_tokens for made in _finish(engine) if isinstance(made, Completed)}
    # Three tokens a word, and one at each end; 77 is the limit.
    assert cut == {1: 0, 2: 90 + 2 - 77}


def test_requests_that_differ_have_separate_calls(engine: Any) -> None:
    engine.admit(_request(id=1))
    engine.admit(_request(id=2, steps=3))
    engine.advance(lambda event: None)
    assert engine.used_capacity == _request().cost
    assert [event.id for event in _finish(engine) if isinstance(event, Completed)] == [2]


def test_out_of_memory_splits_the_batch_and_fails_only_what_does_not_fit_alone(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = engine._call

    def small_gpu(batch: list[GenerationRequest], emit: Any) -> Any:
        if sum(request.count for request in batch) > 2:
            raise torch.OutOfMemoryError
        return call(batch, emit)

    monkeypatch.setattr(engine, "_call", small_gpu)
    monkeypatch.setattr(engine, "_max_images", 4)
    for request in (_request(id=1), _request(id=2), _request(id=3, count=3)):
        engine.admit(request)
    ends = [event for event in _finish(engine) if not isinstance(event, StepDone)]
    assert [(type(event), event.id) for event in ends] == [(Completed, 1), (Completed, 2), (Failed, 3)]
    assert ends[-1] == Failed(id=3, reason="out_of_memory", permanent=False)


def test_a_cancelled_request_leaves_and_the_others_stay(engine: Any) -> None:
    engine.admit(_request(id=1))
    engine.admit(_request(id=2))
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone) and event.step == 2:
            engine.cancel(2)

    engine.advance(emit)
    assert [type(event) for event in events if not isinstance(event, StepDone)] == [Completed, Cancelled]
    assert max(event.step for event in events if isinstance(event, StepDone) and event.id == 2) == 1


def test_an_unsupported_request_fails_alone(engine: Any) -> None:
    from PIL import Image

    engine.admit(_request(id=1, source=Image.new("RGB", (8, 8))))
    engine.admit(_request(id=2))
    ends = [event for event in _finish(engine) if not isinstance(event, StepDone)]
    assert [(type(event), event.id) for event in ends] == [(Failed, 1), (Completed, 2)]


def test_a_pipeline_without_text_is_refused_in_words(tmp_path: Any) -> None:
    from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    from gpu_worker import diffusers_engine
    from gpu_worker.engine import ModelUnavailable

    pipe = DiTPipeline(
        transformer=DiTTransformer2DModel(
            sample_size=8, num_layers=1, patch_size=4, attention_head_dim=4, num_attention_heads=2, norm_num_groups=1
        ),
        vae=AutoencoderKL(block_out_channels=(8,), norm_num_groups=4),
        scheduler=DDIMScheduler(),
    )
    pipe.save_pretrained(tmp_path / "dit")
    with pytest.raises(ModelUnavailable, match="does not make images from text"):
        diffusers_engine.load(str(tmp_path / "dit"))
