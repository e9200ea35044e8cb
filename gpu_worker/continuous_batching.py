"""Continuous batching by the step: requests share the denoiser's call at each step and nothing else.

Each request keeps its own scheduler, timestep, guidance, noise and adapters, so requests with different prompts, steps,
samplers, guidance and adapters join and leave one running batch at any step. On the CPU in float32 the latents of a
request in a batch match those it has alone within 1e-4 (tests/worker/test_continuous_batching.py); finished images
differ by at most one level of 255. In fp16 the same seed gives an image that looks the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import torch
from PIL import Image

from .adapters.low_rank import Mix
from .adapters.mixed_layers import RowsNotFirst
from .batch_policy import split_rows
from .compilation import CompiledDenoiser
from .denoiser_arguments import DenoiserCall, join
from .engine import Cancelled, Completed, EngineBroken, Event, Failed, GenerationRequest, StepDone
from .engine_adapters import EngineAdapters
from .error_causes import NotFinite, is_out_of_memory
from .error_isolation import device_works, failed_event, raise_if_device_broken, require_finite, run_isolated
from .families.family import Family, RunningRequest
from .inpainting import put_back_pixels, put_back_source

log = logging.getLogger(__name__)
PREVIEW_PX = 256
# How long an idle engine waits in one turn for an adapter to load.
ADAPTER_WAIT_S = 0.05


class ContinuousBatchEngine:
    """Implements gpu_worker.engine.Engine. All methods but `cancel` belong to one thread."""

    def __init__(
        self,
        family: Family,
        *,
        model: str,
        max_rows: int,
        capacity: float,
        compiled: CompiledDenoiser | None = None,
    ) -> None:
        """A call has at most `max_rows` rows. `compiled` is used as soon as it is ready."""
        self._family = family
        self._compiled = compiled
        self._adapters = EngineAdapters(family)
        self._mixes_rows = True  # until a layer turns out not to have rows first
        self._max_rows = max_rows
        self._max_decoded = 4
        self._device = family.device
        self._inside: list[RunningRequest] = []
        self._pending: list[GenerationRequest] = []
        self._cancelled: set[int] = set()
        self._previous_step: Any = None
        self.model = model
        self.device = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else self._device.type
        self.memory_bytes = parameter_bytes(family.pipe)
        self.capacity = capacity

    @property
    def used_capacity(self) -> float:
        return sum(run.request.cost for run in self._inside) + sum(request.cost for request in self._pending)

    def admit(self, request: GenerationRequest) -> None:
        self._adapters.request(request)
        self._pending.append(request)

    def cancel(self, request_id: int) -> None:
        self._cancelled.add(request_id)

    def probe(self) -> None:
        with torch.inference_mode():
            if not device_works(self._device):
                raise EngineBroken("the GPU does not compute")
        self._start_compiling()

    def close(self) -> None:
        if self._compiled is not None:
            self._compiled.stop()
        self._adapters.close()
        self._inside.clear()
        self._pending.clear()
        del self._family, self._compiled, self._adapters
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def advance(self, emit: Callable[[Event], None]) -> None:
        with torch.inference_mode():
            self._drop_cancelled(emit)
            self._admit_pending(emit)
            if not self._inside:
                self._adapters.wait(self._pending, timeout_s=ADAPTER_WAIT_S)
            began = time.perf_counter()
            for group in self._groups():
                self._step(group, emit)
            try:
                self._sync_previous_step()
            except RuntimeError as error:
                # A kernel of an earlier step failed; which request it belonged to is unknown.
                raise_if_device_broken(error, device=self._device)
                raise
            self._attribute_gpu_time(time.perf_counter() - began)
            for run in self._inside:
                emit(self._step_done(run))
            for run in [run for run in self._inside if run.steps_done >= len(run.timesteps)]:
                event = run_isolated(run.request, partial(self._complete, run), device=self._device)
                self._inside.remove(run)
                emit(event)
                self._start_compiling()

    def wait_until_compiled(self, timeout_s: float) -> bool:
        """Wait until compilation has finished or failed. Return False when that takes longer than `timeout_s`."""
        self._start_compiling()
        return self._compiled is None or self._compiled.finished.wait(timeout_s)

    def _start_compiling(self) -> None:
        """Compile after the first images or ten idle seconds: the first request must not wait for the compiler."""
        if self._compiled is not None:
            self._compiled.start()

    # -- joining and leaving

    def _drop_cancelled(self, emit: Callable[[Event], None]) -> None:
        cancelled = set()
        while self._cancelled:
            cancelled.add(self._cancelled.pop())
        for run in [run for run in self._inside if run.request.id in cancelled]:
            self._inside.remove(run)
            emit(Cancelled(id=run.request.id, gpu_ms=round(1000 * run.gpu_s)))
        for request in [request for request in self._pending if request.id in cancelled]:
            self._pending.remove(request)
            emit(Cancelled(id=request.id, gpu_ms=0))

    def _admit_pending(self, emit: Callable[[Event], None]) -> None:
        pending, self._pending = self._pending, []
        for request in pending:
            if failed := self._check(request):
                emit(failed)
                continue
            if not self._adapters.is_ready(request):
                self._pending.append(request)
                continue
            run = run_isolated(request, partial(self._adapters.begin, request), device=self._device)
            if isinstance(run, Failed):
                emit(run)
            else:
                self._inside.append(run)

    def _check(self, request: GenerationRequest) -> Failed | None:
        multiple = self._family.size_multiple
        if request.width % multiple or request.height % multiple:
            detail = f"{request.width}x{request.height} is not a multiple of {multiple}"
            return Failed(id=request.id, reason="size_not_possible", detail=detail)
        if request.sampler not in self._family.info.samplers:
            return Failed(id=request.id, reason="sampler_unknown", detail=request.sampler)
        return None

    # -- one step

    def _groups(self) -> list[list[RunningRequest]]:
        """Return the requests inside, those that can share a call together."""
        groups: dict[Hashable, list[RunningRequest]] = {}
        for run in self._inside:
            mix = () if self._mixes_rows else run.mix
            groups.setdefault((self._family.key(run), mix), []).append(run)
        return list(groups.values())

    def _step(self, group: list[RunningRequest], emit: Callable[[Event], None]) -> None:
        try:
            mixes = [run.mix for run in group for _ in range(run.rows)]
            outputs = self._predict(self._family.call(group), mixes)
        except Exception as error:
            raise_if_device_broken(error, device=self._device)
            if isinstance(error, RowsNotFirst):
                self._mixes_rows = False
            # Out of memory with one row: the request of the highest cost fails, so that the others fit.
            costliest = max(group, key=lambda run: run.request.cost)
            cause = costliest if is_out_of_memory(error) else group[0] if len(group) == 1 else None
            failed = None if cause is None else failed_event(cause.request, error, device=self._device)
        else:
            start = 0
            for run in group:
                own = [output[start : start + run.rows] for output in outputs]
                start += run.rows
                result = run_isolated(run.request, partial(self._apply_prediction, run, own), device=self._device)
                if isinstance(result, Failed):
                    self._fail(run, result, emit)
            return
        # Outside the handler: the exception's frames hold the tensors that did not fit.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if cause is not None and failed is not None:
            self._fail(cause, failed, emit)
            return
        # One of them made the shared call fail: each gets its own call, and only that one fails.
        for run in group:
            self._step([run], emit)

    def _apply_prediction(self, run: RunningRequest, outputs: list[Any]) -> None:
        """Take one step with what the denoiser returned for the request's rows. Raise NotFinite."""
        predicted = self._family.combine(run, outputs)
        out = run.scheduler.step(predicted, run.timestep, run.latents, **run.step_kwargs)
        run.latents = out.prev_sample
        run.predicted_original = _predicted_original(run.scheduler, out)
        run.steps_done += 1
        put_back_source(run)
        # Not at every step, because it waits for the GPU. What is not finite stays so, and is also found at the end.
        if run.steps_done in (1, len(run.timesteps) // 2):
            require_finite(run.latents, f"the latents after step {run.steps_done}")

    def _fail(self, run: RunningRequest, failed: Failed, emit: Callable[[Event], None]) -> None:
        self._inside.remove(run)
        emit(failed)

    def _predict(self, call: DenoiserCall, mixes: list[Mix]) -> list[Any]:
        """Return the denoiser's outputs for all rows, in as few calls as memory allows: halve them when it runs out."""
        largest = self._max_rows
        while True:
            try:
                parts = split_rows(call.rows, largest=largest)
                results = [self._call(call if len(parts) == 1 else call.part(part), mixes[part]) for part in parts]
                return [join(outputs) for outputs in zip(*results, strict=True)]
            except torch.OutOfMemoryError:
                if largest <= 1:
                    raise
                largest = max(1, min(largest, call.rows) // 2)
                if self._compiled is None or not self._compiled.is_compiling:
                    # The compiler's memory will be free again; without it the GPU holds no more than this.
                    self._max_rows = largest
                    self.capacity = max(1.0, self.capacity / 2)
                log.warning("out_of_memory", extra={"rows": call.rows, "largest_now": largest})
            # Outside the handler: the exception's frames hold the tensors that did not fit.
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _call(self, call: DenoiserCall, mixes: list[Mix]) -> tuple[Any, ...]:
        if any(mixes):
            return call.run(self._adapters.forward(mixes))
        outputs = self._compiled.call(call) if self._compiled is not None else None
        return call.run(self._family.forward) if outputs is None else outputs

    def _sync_previous_step(self) -> None:
        """Wait for the step before this one. The GPU always has work queued, and a cancel is late by one step."""
        if self._device.type != "cuda":
            return
        before, self._previous_step = self._previous_step, torch.cuda.Event()
        self._previous_step.record()
        if before is not None:
            before.synchronize()

    def _attribute_gpu_time(self, seconds: float) -> None:
        total = sum(run.request.cost for run in self._inside)
        for run in self._inside:
            run.gpu_s += seconds * run.request.cost / total

    # -- what comes out

    def _step_done(self, run: RunningRequest) -> StepDone:
        total = len(run.timesteps)
        preview = None
        if run.request.preview and run.steps_done == total // 2 and run.predicted_original is not None:
            decoded = run_isolated(run.request, partial(self._decode, run.predicted_original[:1]), device=self._device)
            # A preview that cannot be decoded must not fail the request.
            if not isinstance(decoded, Failed):
                preview = decoded[0]
                preview.thumbnail((PREVIEW_PX, PREVIEW_PX))
        return StepDone(id=run.request.id, step=run.steps_done, total=total, preview=preview)

    def _complete(self, run: RunningRequest) -> Event:
        began = time.perf_counter()
        require_finite(run.latents, "the finished latents")
        images = self._decode(run.latents)
        source, mask = run.request.source, run.request.mask
        if source is not None and mask is not None:
            images = [put_back_pixels(image, source=source, mask=mask) for image in images]
        run.gpu_s += time.perf_counter() - began
        return Completed(
            id=run.request.id,
            images=tuple(images),
            gpu_ms=round(1000 * run.gpu_s),
            truncated_tokens=run.truncated_tokens,
        )

    def _decode(self, latents: torch.Tensor) -> list[Image.Image]:
        """Return RGB images for latents (n, channels, height, width). Raise NotFinite."""
        vae = self._family.pipe.vae
        while True:
            try:
                images: list[Image.Image] = []
                for part in split_rows(len(latents), largest=self._max_decoded):
                    pixels = self._family.decode(latents[part])
                    require_finite(pixels, "the decoded pixels")
                    pixels = (pixels.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
                    images += [Image.fromarray(array) for array in pixels.permute(0, 2, 3, 1).cpu().numpy()]
                return images
            except torch.OutOfMemoryError:
                if self._max_decoded > 1:
                    self._max_decoded //= 2
                elif not getattr(vae, "use_tiling", True):
                    vae.enable_tiling()
                else:
                    raise
                log.warning("out_of_memory", extra={"decoding": self._max_decoded})
            except NotFinite:
                if vae.dtype == torch.float32:
                    raise
                # Some decoders overflow in 16 bits: this one decodes in fp32 from now on.
                vae.to(torch.float32)
                log.warning("decoder_overflowed", extra={"model": self.model})
            if self._device.type == "cuda":
                torch.cuda.empty_cache()


def parameter_bytes(pipe: Any) -> int:
    """Return the size of all weights of the pipeline, in bytes."""
    return sum(
        tensor.numel() * tensor.element_size()
        for part in pipe.components.values()
        if isinstance(part, torch.nn.Module)
        for tensor in part.parameters()
    )


def _predicted_original(scheduler: Any, out: Any) -> torch.Tensor:
    """Return the scheduler's prediction of the finished latents, or the noisy latents where it has none."""
    original = getattr(out, "pred_original_sample", None)
    if original is None and getattr(scheduler.config, "algorithm_type", "") == "dpmsolver++":
        original = scheduler.model_outputs[-1]
    if original is None and getattr(scheduler.config, "predict_x0", False):
        original = scheduler.model_outputs[-1]
    return out.prev_sample if original is None else original
