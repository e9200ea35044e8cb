"""Static batching serves any pipeline by whole calls, behind the same contract."""

from __future__ import annotations

import dataclasses
import inspect
import json
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gpu_worker.engine import AdapterUse, Cancelled, Completed, Event, Failed, GenerationRequest, StepDone

from . import adapter_files, tiny_models

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
        "sampler": "own",
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


def test_requests_with_adapters_get_what_diffusers_makes_with_them(engine: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(tiny_models.folder())
    pipe.set_progress_bar_config(disable=True)
    night = adapter_files.save_diffusers(tmp_path / "night.safetensors", pipe.unet, seed=1, rank=4)
    sketch = adapter_files.save_diffusers(tmp_path / "sketch.safetensors", pipe.unet, seed=2, rank=8)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"none")
    uses = {
        path: AdapterUse(key=str(path), path=path, weight=weight)
        for path, weight in ((night, 0.7), (sketch, 1.2), (broken, 1.0))
    }
    engine.admit(_request(id=1, adapters=(uses[night], uses[sketch])))
    engine.admit(_request(id=2))
    engine.admit(_request(id=3, adapters=(uses[broken],)))
    engine.admit(_request(id=4, adapters=(uses[sketch],)))
    ended = {event.id: event for event in _finish(engine) if not isinstance(event, StepDone)}
    failed = ended.pop(3)
    assert isinstance(failed, Failed)
    assert failed.reason == "lora_unusable"

    def alone() -> list[bytes]:
        generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
        size = tiny_models.SIZE
        images = pipe(
            ["a red cat"] * 2, num_inference_steps=5, guidance_scale=7.5, width=size, height=size, generator=generators
        ).images
        return [image.tobytes() for image in images]

    assert _near(_pixels(ended[2]), bare := alone())  # type: ignore[arg-type]
    with warnings.catch_warnings():
        # peft warns about a second adapter.
        warnings.simplefilter("ignore")
        pipe.load_lora_weights(night, adapter_name="night")
        pipe.load_lora_weights(sketch, adapter_name="sketch")
    pipe.set_adapters(["night", "sketch"], [0.7, 1.2])
    assert _near(_pixels(ended[1]), both := alone())  # type: ignore[arg-type]
    pipe.set_adapters(["sketch"], [1.2])
    assert _near(_pixels(ended[4]), alone())  # type: ignore[arg-type]
    assert not _near(bare, both)


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


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"width": tiny_models.SIZE + 4}, "size_not_possible"),
        ({"sampler": "k_lms"}, "sampler_unknown"),
    ],
)
def test_what_the_pipeline_would_ignore_or_round_is_refused(engine: Any, fields: dict[str, Any], reason: str) -> None:
    engine.admit(_request(**fields))
    (end,) = _finish(engine)
    assert isinstance(end, Failed)
    assert end.reason == reason


def _whole_calls(name: str) -> Any:
    """Return an engine of whole calls for a tiny pipeline of that family."""
    from benchmarks import families
    from gpu_worker.static_batching import StaticBatchEngine

    torch.set_num_threads(1)
    return StaticBatchEngine(families.load(name).pipe, model=name, max_images=4)


def test_a_size_that_a_pipeline_rounds_is_never_delivered() -> None:
    engine = _whole_calls("flux-dev")
    engine.admit(_request(width=72, height=72))
    assert _finish(engine) == [Failed(id=1, reason="size_not_possible", detail="72x72 is not a multiple of 16")]
    # A pipeline whose processor does not say what it rounds to.
    engine._signature = dataclasses.replace(engine._signature, size_multiple=8)
    engine.admit(_request(width=72, height=72, steps=1, count=1))
    assert _finish(engine)[-1] == Failed(id=1, reason="size_not_possible", detail="the model made 64x64")


def test_true_cfg_is_the_guidance_of_pipelines_that_have_it() -> None:
    engine = _whole_calls("qwen-image")
    fields: dict[str, Any] = {"count": 1, "steps": 3, "width": 64, "height": 64}
    images = {}
    for guidance in (1.0, 4.0):
        request = _request(guidance=guidance, **fields)
        engine.admit(request)
        made = _finish(engine)[-1]
        assert isinstance(made, Completed)
        images[guidance] = _pixels(made)
        theirs = engine._pipe(
            request.prompt,
            negative_prompt="",
            true_cfg_scale=guidance,
            num_inference_steps=3,
            width=64,
            height=64,
            generator=torch.Generator().manual_seed(request.seed),
        ).images
        assert _near(images[guidance], [theirs[0].tobytes()])
    assert not _near(images[1.0], images[4.0])


def test_a_negative_prompt_that_flux_ignores_is_neither_passed_nor_counted() -> None:
    engine = _whole_calls("flux-dev")
    assert "negative_prompt" not in engine._signature.arguments([_request(negative_prompt="blurry")])
    engine.admit(_request(count=1, steps=1, negative_prompt="ugly " * 900, width=64, height=64))
    made = _finish(engine)[-1]
    assert isinstance(made, Completed)
    assert made.truncated_tokens == 0


def test_no_pipeline_may_change_the_prompt_or_the_size() -> None:
    from gpu_worker.whole_call_pipelines import CallSignature

    signature = CallSignature(
        accepts=frozenset(
            {"prompt", "enable_prompt_rewrite", "caption_upsample_temperature", "use_resolution_binning"}
        ),
        guidance=None,
        reads_negative=False,
        shares_calls=True,
        size_multiple=16,
        max_sequence_length=None,
    )
    assert signature.arguments([_request(count=1)]) == {
        "prompt": ["a red cat"],
        "enable_prompt_rewrite": False,
        "caption_upsample_temperature": None,
        "use_resolution_binning": False,
    }


def test_a_processor_without_a_limit_of_its_own_counts_by_its_tokenizer() -> None:
    from benchmarks.tiny_families import word_tokenizer
    from gpu_worker.whole_call_pipelines import signature_of, truncated_tokens

    class Processor:
        tokenizer = word_tokenizer(longest=20, begins=False)

    class Pipe:
        components: ClassVar[dict[str, Any]] = {"tokenizer": Processor(), "vae": None}

        def __call__(self, prompt: str) -> None: ...

    pipe = Pipe()
    assert truncated_tokens(pipe, signature_of(pipe), "cat " * 30) == 30 + 1 - 20


def test_every_pipeline_on_the_list_is_one_of_diffusers() -> None:
    import diffusers

    from gpu_worker.families.registry import BY_STEP_PIPELINES
    from gpu_worker.whole_call_pipelines import WHOLE_CALL_PIPELINES

    assert not BY_STEP_PIPELINES & WHOLE_CALL_PIPELINES
    for name in WHOLE_CALL_PIPELINES:
        parameters = inspect.signature(getattr(diffusers, name).__call__).parameters
        assert {"prompt", "num_inference_steps", "width", "height", "generator"} <= set(parameters), name


@pytest.mark.parametrize("kind", ["WanPipeline", "StableAudioPipeline", "FluxFillPipeline", "Mine"])
def test_a_pipeline_that_is_not_on_the_list_is_refused_before_its_weights_are_read(tmp_path: Path, kind: str) -> None:
    from gpu_worker import diffusers_engine
    from gpu_worker.engine import ModelUnavailable

    # There are no weights: reading them would be another error.
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind, "vae": ["diffusers", "AutoencoderKL"]}))
    with pytest.raises(ModelUnavailable, match=f"is a {kind}, which this worker does not serve"):
        diffusers_engine.load(str(tmp_path))
