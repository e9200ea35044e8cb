"""An error of one request or one model fails that request, or that model's requests, and no others."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from gpu_worker.active_job import Outcome, Phase
from gpu_worker.engine import (
    Completed,
    Engine,
    EngineBroken,
    Event,
    Failed,
    GenerationRequest,
    ModelUnavailable,
    StepDone,
)
from gpu_worker.engine_cache import REMEMBER_FAILURE_S, EngineCache
from gpu_worker.error_causes import is_device_fault, is_out_of_memory
from gpu_worker.noise_engine import NoiseEngine
from gpu_worker.watchdog import Bounds
from guilds.model_families import FAMILIES
from guilds.models import Guild, ModelProfile, Usage
from jobs.job_status import Status
from jobs.models import Job

from . import tiny_models
from .conftest import Place, running

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning", "ignore::RuntimeWarning")
WITHIN_S = 60
ERRORS = [
    AttributeError("module diffusers has no attribute NoSuchPipeline"),
    AssertionError(),
    ImportError("no module named x"),
    IndexError("list index out of range"),
    KeyError("sample"),
    NotImplementedError("laplace is not implemented"),
    OSError("no file named diffusion_pytorch_model.bin"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    TypeError("unexpected keyword"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "invalid"),
    ValueError("Only one of use_karras_sigmas, use_beta_sigmas can be used"),
    ZeroDivisionError(),
    RecursionError(),
    StopIteration(),
    type("SafetensorError", (Exception,), {})("header too large"),
]


def _name(error: Exception) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_any_error_of_a_loader_concerns_that_model_only(place: Place, error: Exception) -> None:
    ModelProfile.objects.create(slug="broken", name="Broken", source="models/broken", sizes=["512x512"])

    def load(source: str) -> Engine:
        if "broken" in source:
            raise error
        return NoiseEngine(source, step_s=0.005)

    bad, good = place.ask(model="broken"), place.ask()
    with running(load) as runner:
        assert runner.run([bad.pk, good.pk]) == [Outcome.ENDED, Outcome.ENDED]
        assert not runner.fatal_error.is_set()
    bad.refresh_from_db()
    assert (bad.status, bad.reason, bad.attempts) == (Status.FAILED, "model_unavailable", 1)
    assert "model couldn't be loaded" in place.original(bad).content
    assert Job.objects.get(pk=good.pk).status == Status.COMPLETED
    assert sum(Usage.objects.filter(window="month", subject_id=0).values_list("images", flat=True)) == good.count


def test_a_model_that_failed_is_not_loaded_again_at_once() -> None:
    tries: list[str] = []
    now = 0.0

    def load(source: str) -> Engine:
        tries.append(source)
        raise OSError("the hub is away")

    profiles = EngineCache(load, free_bytes=lambda: None, max_engines=2, clock=lambda: now)
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="the hub is away"):
            profiles.load("broken")
    assert tries == ["broken"]
    now = REMEMBER_FAILURE_S
    with pytest.raises(ModelUnavailable):
        profiles.load("broken")
    assert tries == ["broken"] * 2


def test_a_loader_reports_a_broken_gpu() -> None:
    def load(source: str) -> Engine:
        raise torch.AcceleratorError("CUDA error: unknown error")

    with pytest.raises(EngineBroken):
        EngineCache(load, free_bytes=lambda: None, max_engines=2).load("any")


class _Poisoned(NoiseEngine):
    """Raises the error while a poisoned request is inside, in `admit` or in `advance`."""

    def __init__(self, error: Exception, where: str) -> None:
        super().__init__(step_s=0.02)
        self._error, self._where = error, where

    def admit(self, request: GenerationRequest) -> None:
        if self._where == "admit" and request.prompt == "poison":
            raise self._error
        super().admit(request)

    def advance(self, emit: Callable[[Event], None]) -> None:
        if self._where == "advance" and any(
            request.prompt == "poison" and done for request, done in self._inside.values()
        ):
            raise self._error
        super().advance(emit)

    def close(self) -> None:
        super().close()
        raise self._error


@pytest.mark.parametrize("where", ["admit", "advance"])
@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_a_request_that_breaks_the_engine_ends_alone(place: Place, error: Exception, where: str) -> None:
    Guild.objects.update(concurrency=9)
    first, poison, last = place.ask(steps=9), place.ask(prompt="poison", steps=9), place.ask(steps=9)
    with running(lambda source: _Poisoned(error, where)) as runner:
        outcomes = runner.run([first.pk, poison.pk, last.pk])
        assert (outcomes[0], outcomes[2]) == (Outcome.ENDED, Outcome.ENDED)
        if outcomes[1] is Outcome.REQUEUED:
            assert runner.run([poison.pk]) == [Outcome.ENDED]
        assert not runner.fatal_error.is_set()
    for job in (first, last):
        job.refresh_from_db()
        assert (job.status, job.attempts) == (Status.COMPLETED, 1)
    poison.refresh_from_db()
    assert (poison.status, poison.reason) == (Status.FAILED, "not_possible")
    assert poison.attempts <= 2


def test_errors_are_classified_by_their_cause() -> None:
    faults = [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"),
    ]
    memory = [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ]
    other = [*ERRORS, ValueError("CUDA"), AssertionError("Torch not compiled with CUDA enabled"),
             RuntimeError("Expected all tensors to be on the same device, cuda:0 and cpu")]  # fmt: skip
    for error in (*faults, *memory, *other):
        assert is_device_fault(error) == (error in faults), error
        assert is_out_of_memory(error) == (error in memory), error


# -- on a real pipeline


def _request(**fields: Any) -> GenerationRequest:
    defaults: dict[str, Any] = {
        "id": 1,
        "prompt": "a red cat",
        "seed": 3,
        "count": 1,
        "steps": 3,
        "sampler": "k_euler",
        "guidance": 4.0,
        "width": tiny_models.SIZE,
        "height": tiny_models.SIZE,
    }
    return GenerationRequest(**(defaults | fields))


def _finish(engine: Any) -> dict[int, Event]:
    """Return each request's final event."""
    events: list[Event] = []
    while engine.used_capacity:
        engine.advance(events.append)
    return {event.id: event for event in events if not isinstance(event, StepDone)}


def _load(folder: Path | None = None) -> Any:
    from gpu_worker import diffusers_engine

    return diffusers_engine.load(str(folder or tiny_models.folder()))


def _configured(tmp_path: Path, **changes: Any) -> Path:
    """The tiny pipeline with another configuration of its scheduler."""
    folder = tmp_path / "pipeline"
    shutil.copytree(tiny_models.folder(), folder)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    return folder


CONFIGS: dict[str, dict[str, Any]] = {
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "flow": {"use_flow_sigmas": True},
    "v": {"prediction_type": "v_prediction"},
    "sample": {"prediction_type": "sample"},
    "flow_prediction": {"prediction_type": "flow_prediction"},
    "bh1": {"solver_type": "bh1"},
    "heun": {"solver_type": "heun"},
    "zero_snr": {"rescale_betas_zero_snr": True},
    "zero_snr_v": {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    "sigma_min": {"final_sigmas_type": "sigma_min"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "dpmsolver": {"algorithm_type": "dpmsolver", "solver_order": 3},
    "no_lower_order": {"lower_order_final": False, "predict_x0": False},
    "thresholding": {"thresholding": True},
    "learned": {"variance_type": "learned_range"},
    "shifted": {"use_dynamic_shifting": True},
    "few": {"num_train_timesteps": 5},
}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_no_sampler_with_any_configuration_affects_other_requests(tmp_path: Path, name: str) -> None:
    engine = _load(_configured(tmp_path, **CONFIGS[name]))
    requests = [
        _request(id=at, sampler=sampler, steps=2 + 2 * (at % 2))
        for at, sampler in enumerate(FAMILIES["stable-diffusion"].samplers)
    ]
    for request in requests:
        engine.admit(request)
    ends = _finish(engine)
    assert ends.keys() == {request.id for request in requests}
    for event in ends.values():
        assert isinstance(event, Completed) or (isinstance(event, Failed) and event.reason == "not_possible"), event
    if name not in ("sample", "flow_prediction", "few", "cosine", "zero_snr"):
        assert {type(event) for event in ends.values()} == {Completed}, ends


def test_a_scheduler_configuration_that_cannot_be_built_makes_the_model_unavailable(tmp_path: Path) -> None:
    folder = _configured(tmp_path, beta_schedule="no_such_schedule")
    with pytest.raises(ModelUnavailable, match="no_such_schedule is not implemented"):
        _load(folder)


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_unipc_makes_images_on_a_model_whose_author_used_bh1(tmp_path: Path, steps: int) -> None:
    plain, odd = _load(), _load(_configured(tmp_path, solver_type="bh1"))
    request = _request(sampler="unipc", steps=steps)
    for engine in (plain, odd):
        engine.admit(request)
    wanted, made = _finish(plain)[1], _finish(odd)[1]
    assert isinstance(wanted, Completed)
    assert isinstance(made, Completed)
    assert made.images[0].tobytes() == wanted.images[0].tobytes()


@contextmanager
def _with_nan(part: Any) -> Iterator[None]:
    """Make a weight of the part NaN within the context."""
    weight = next(iter(part.parameters()))
    kept = weight.data.clone()
    weight.data.fill_(float("nan"))
    yield
    weight.data.copy_(kept)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_an_image_that_is_not_finite_is_never_made(part: str) -> None:
    engine = _load()
    with _with_nan(getattr(engine._family.pipe, part) if part != "vae" else engine._family.pipe.vae.decoder):
        engine.admit(_request())
        end = _finish(engine)[1]
    assert isinstance(end, Failed)
    assert (end.reason, end.permanent) == ("not_possible", True)
    assert "not finite" in end.detail


def test_a_black_image_that_is_finite_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _load()
    decode = engine._family.pipe.vae.decode
    monkeypatch.setattr(
        engine._family.pipe.vae, "decode", lambda *args, **kwargs: (decode(*args, **kwargs)[0] * 0 - 1,)
    )
    engine.admit(_request())
    end = _finish(engine)[1]
    assert isinstance(end, Completed)
    assert end.images[0].getextrema() == ((0, 0),) * 3


def test_static_batching_delivers_no_image_that_is_not_finite() -> None:
    from diffusers import StableDiffusionPipeline

    from gpu_worker.static_batching import StaticBatchEngine

    pipe = StableDiffusionPipeline.from_pretrained(tiny_models.folder())
    pipe.set_progress_bar_config(disable=True)
    engine = StaticBatchEngine(pipe, model="tiny", max_images=4)
    with _with_nan(pipe.vae.decoder):
        engine.admit(_request(id=1, sampler="own"))
        engine.admit(_request(id=2, sampler="own"))
        ends = _finish(engine)
    assert {(type(end), getattr(end, "reason", "")) for end in ends.values()} == {(Failed, "not_possible")}


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_an_error_in_a_shared_call_fails_the_request_that_causes_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    engine = _load()
    forward = engine._family.forward

    def poisoned(*, timestep: Any, **given: Any) -> Any:
        if (timestep > 900).any():  # only the sampler that starts at the last timestep
            raise error
        return forward(timestep=timestep, **given)

    monkeypatch.setattr(engine._family, "forward", poisoned)
    for at, sampler in enumerate(("DDIM", "euler", "DDIM")):
        engine.admit(_request(id=at, sampler=sampler, steps=2))
    ends = _finish(engine)
    assert {at: type(end) for at, end in ends.items()} == {0: Completed, 1: Failed, 2: Completed}


def test_a_preview_that_cannot_be_decoded_does_not_fail_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _load()
    decode = engine._decode
    calls = iter([True])

    def fails_once(latents: Any) -> Any:
        if next(calls, False):
            raise ValueError("no preview")
        return decode(latents)

    monkeypatch.setattr(engine, "_decode", fails_once)
    engine.admit(_request(preview=True))
    assert isinstance(_finish(engine)[1], Completed)


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0])
def test_without_guidance_a_negative_prompt_of_any_length_changes_nothing(guidance: float) -> None:
    engine = _load()
    images = []
    for negative in ("", "blurry", "ugly " * 100):
        engine.admit(_request(guidance=guidance, negative_prompt=negative))
        made = _finish(engine)[1]
        assert isinstance(made, Completed)
        assert made.truncated_tokens == 0
        images.append(made.images[0].tobytes())
    assert len(set(images)) == 1


# -- stuck in this process


class _Hangs(NoiseEngine):
    def __init__(self) -> None:
        super().__init__(step_s=0.01)
        self.released = threading.Event()

    def advance(self, emit: Callable[[Event], None]) -> None:
        if any(done == 2 for _, done in self._inside.values()):
            self.released.wait(WITHIN_S)
        super().advance(emit)


def test_attempts_in_a_stuck_engine_are_counted_and_others_are_not(place: Place) -> None:
    Guild.objects.update(concurrency=9)
    ModelProfile.objects.create(slug="ink", name="Ink", source="models/ink", sizes=["512x512"])
    engine = _Hangs()
    inside = place.ask(steps=9)
    with running(lambda source: engine, bounds=Bounds(step_s=1.0)) as runner:
        future = runner.submit(inside.pk)
        deadline = time.monotonic() + WITHIN_S
        while not engine._inside:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        other = place.ask(model="ink")
        waiting = runner.submit(other.pk)
        assert runner.fatal_error.wait(WITHIN_S)
        runner.stop(within_s=5)
        assert (future.result(WITHIN_S), waiting.result(WITHIN_S)) == (Outcome.REQUEUED, Outcome.RELEASED)
        engine.released.set()
    rows = {job.pk: (job.status, job.attempts, job.worker_id) for job in Job.objects.all()}
    assert rows == {inside.pk: (Status.QUEUED, 1, ""), other.pk: (Status.QUEUED, 0, "")}


class HangingStorage(FileSystemStorage):
    """Stores nothing until it is released."""

    released = threading.Event()

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        self.released.wait(WITHIN_S)
        return super().save(name, content, max_length)


def test_storage_that_hangs_ends_the_worker_and_counts_the_attempt_being_published(place: Place, settings: Any) -> None:
    default = settings.STORAGES["default"] | {"BACKEND": f"{__name__}.{HangingStorage.__name__}"}
    settings.STORAGES = settings.STORAGES | {"default": default}
    HangingStorage.released.clear()
    publishing = place.ask()
    with running(lambda source: NoiseEngine(source, step_s=0.3), bounds=Bounds(publishing_s=1.0)) as runner:
        future = runner.submit(publishing.pk)
        deadline = time.monotonic() + WITHIN_S
        while not runner._active_jobs.in_phase(Phase.PUBLISHING):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        other = place.ask(steps=50)
        making = runner.submit(other.pk)
        assert runner.fatal_error.wait(WITHIN_S)
        runner.stop(within_s=5)
        assert (future.result(WITHIN_S), making.result(WITHIN_S)) == (Outcome.REQUEUED, Outcome.RELEASED)
        HangingStorage.released.set()
    rows = {job.pk: (job.status, job.attempts, job.worker_id) for job in Job.objects.all()}
    assert rows == {publishing.pk: (Status.QUEUED, 1, ""), other.pk: (Status.QUEUED, 0, "")}


# -- memory


class _Reports(NoiseEngine):
    """Runs out of memory and reports it as Failed."""

    def advance(self, emit: Callable[[Event], None]) -> None:
        for request_id in list(self._inside):
            del self._inside[request_id]
            emit(Failed(id=request_id, reason="out_of_memory", permanent=False))


class _Raises(NoiseEngine):
    """Runs out of memory and raises."""

    def advance(self, emit: Callable[[Event], None]) -> None:
        if self._inside:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize(("engine", "attempts"), [(_Reports, 3), (_Raises, 2)])
def test_a_request_that_does_not_fit_alone_ends_with_that_reason_and_a_refund(
    place: Place, engine: Callable[[str], Engine], attempts: int
) -> None:
    job = place.ask(count=1)
    with running(engine) as runner:
        outcomes = [runner.run([job.pk])[0] for _ in range(attempts)]
        assert not runner.fatal_error.is_set()
    assert outcomes == [Outcome.REQUEUED] * (attempts - 1) + [Outcome.ENDED]
    job.refresh_from_db()
    assert (job.status, job.reason, job.attempts) == (Status.FAILED, "out_of_memory", attempts)
    assert "ran out of memory" in place.original(job).content
    assert sum(Usage.objects.filter(window="month", subject_id=0).values_list("images", flat=True)) == 0
