"""Static batching: one call of the whole pipeline for requests with equal parameters.

Serves the pipelines of gpu_worker.whole_call_pipelines, which cannot be advanced by the step, with their own scheduler.
Requests of one size, number of steps, guidance and adapters share a call of up to `max_images` images; no request waits
for others to share with. Progress and cancel use the pipeline's callback where it has one. The images of a request that
is cancelled during a shared call are made and dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from guilds import prompt_weights
from guilds.model_families import FAMILIES

from .continuous_batching import ADAPTER_WAIT_S, parameter_bytes
from .engine import Cancelled, Completed, EngineBroken, Event, Failed, GenerationRequest, StepDone
from .engine_adapters import WholeCallAdapters
from .error_causes import is_out_of_memory
from .error_isolation import device_works, failed_event, raise_if_device_broken, require_finite, run_isolated
from .whole_call_pipelines import signature_of, truncated_tokens


class StaticBatchEngine:
    """Implements gpu_worker.engine.Engine. All methods but `cancel` belong to one thread."""

    def __init__(self, pipe: Any, *, model: str, max_images: int) -> None:
        self._pipe = pipe
        self._max_images = max_images
        self._signature = signature_of(pipe)
        self._adapters = WholeCallAdapters(pipe)
        self._inside: list[GenerationRequest] = []
        self._cancelled: set[int] = set()
        self._isolated: set[int] = set()  # ids of requests that were in a call that failed
        self.model = model
        self.device = torch.cuda.get_device_name(pipe.device) if pipe.device.type == "cuda" else pipe.device.type
        self.memory_bytes = parameter_bytes(pipe)
        self.capacity = float(max_images)

    @property
    def used_capacity(self) -> float:
        return sum(request.cost for request in self._inside)

    def admit(self, request: GenerationRequest) -> None:
        # Whole pipelines know no weights of words.
        plain = prompt_weights.plain
        self._adapters.request(request)
        self._inside.append(
            replace(request, prompt=plain(request.prompt), negative_prompt=plain(request.negative_prompt))
        )

    def cancel(self, request_id: int) -> None:
        self._cancelled.add(request_id)

    def probe(self) -> None:
        if not device_works(self._pipe.device):
            raise EngineBroken("the GPU does not compute")

    def close(self) -> None:
        self._inside.clear()
        self._adapters.close()
        del self._pipe, self._adapters
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def advance(self, emit: Callable[[Event], None]) -> None:
        self._drop_cancelled(emit)
        for request in list(self._inside):
            if failure := self._check(request):
                self._remove(request)
                emit(failure)
        ready = [request for request in self._inside if self._adapters.is_ready(request)]
        if not ready:
            self._adapters.wait(self._inside, timeout_s=ADAPTER_WAIT_S)
            return
        batch = self._next_batch(ready)
        began = time.perf_counter()
        failed = None
        with torch.inference_mode():
            try:
                with self._adapters.applied(batch[0]):
                    images = self._call(batch, emit)
            except Exception as error:
                raise_if_device_broken(error, device=self._pipe.device)
                if len(batch) == 1:
                    failed = failed_event(batch[0], error, device=self._pipe.device)
                if is_out_of_memory(error):
                    self._max_images = max(1, min(self._max_images, sum(request.count for request in batch)) // 2)
                else:
                    # One of them made the shared call fail: each gets its own call, and only that one fails.
                    self._isolated |= {request.id for request in batch}
                images = None
        if images is None:
            if self._pipe.device.type == "cuda":
                torch.cuda.empty_cache()
            if failed is not None:
                self._remove(batch[0])
                emit(failed)
            return
        gpu_ms = 1000 * (time.perf_counter() - began) / sum(request.count for request in batch)
        for request in batch:
            self._remove(request)
            own, images = images[: request.count], images[request.count :]
            request_gpu_ms = round(gpu_ms * request.count)
            if request.id in self._cancelled:
                self._cancelled.discard(request.id)
                emit(Cancelled(id=request.id, gpu_ms=request_gpu_ms))
            else:
                emit(
                    run_isolated(
                        request, partial(self._complete, request, own, request_gpu_ms), device=self._pipe.device
                    )
                )

    def _complete(self, request: GenerationRequest, images: Any, gpu_ms: int) -> Completed | Failed:
        """Return the request's images, or Failed if they have another size. Raise NotFinite."""
        if len(images) != request.count:
            raise ValueError("the pipeline returned another number of images")
        made = _to_pil(images)
        if any(image.size != (request.width, request.height) for image in made):
            # A pipeline that rounds a size says so in a log at most.
            width, height = made[0].size
            return Failed(id=request.id, reason="size_not_possible", detail=f"the model made {width}x{height}")
        return Completed(id=request.id, images=made, gpu_ms=gpu_ms, truncated_tokens=self._count_truncated(request))

    def _remove(self, request: GenerationRequest) -> None:
        self._inside.remove(request)
        self._isolated.discard(request.id)

    def _drop_cancelled(self, emit: Callable[[Event], None]) -> None:
        cancelled = set()
        while self._cancelled:
            cancelled.add(self._cancelled.pop())
        for request in [request for request in self._inside if request.id in cancelled]:
            self._remove(request)
            emit(Cancelled(id=request.id, gpu_ms=0))

    def _next_batch(self, ready: list[GenerationRequest]) -> list[GenerationRequest]:
        """Return the first of these requests and those behind it that can share its call."""
        first = ready[0]
        batch, images = [first], first.count
        if first.id in self._isolated or not self._signature.shares_calls:
            return batch
        for request in ready[1:]:
            if (
                request.id not in self._isolated
                and _batch_key(request) == _batch_key(first)
                and images + request.count <= self._max_images
            ):
                batch.append(request)
                images += request.count
        return batch

    def _call(self, batch: list[GenerationRequest], emit: Callable[[Event], None]) -> Any:
        """Return the images of the batch: pixels 0 to 1 (n, height, width, 3), or whatever the pipeline returns."""
        arguments = self._signature.arguments(batch)
        arguments["generator"] = [
            torch.Generator("cpu").manual_seed(seed) for request in batch for seed in request.seeds
        ]
        if "callback_on_step_end" in self._signature.accepts:
            arguments["callback_on_step_end"] = self._reporter(batch, emit)
        return self._pipe(**arguments).images

    def _check(self, request: GenerationRequest) -> Failed | None:
        multiple = self._signature.size_multiple
        if request.width % multiple or request.height % multiple:
            detail = f"{request.width}x{request.height} is not a multiple of {multiple}"
            return Failed(id=request.id, reason="size_not_possible", detail=detail)
        if request.sampler not in FAMILIES["whole-call"].samplers:
            return Failed(id=request.id, reason="sampler_unknown", detail=request.sampler)
        if request.source is not None:
            return Failed(id=request.id, reason="not_possible", detail="this pipeline takes no source image")
        return None

    def _count_truncated(self, request: GenerationRequest) -> int:
        texts = [request.prompt]
        if request.negative_prompt and self._signature.reads_negative and request.guidance > 1:
            texts.append(request.negative_prompt)
        return sum(truncated_tokens(self._pipe, self._signature, text) for text in texts)

    def _reporter(self, batch: list[GenerationRequest], emit: Callable[[Event], None]) -> Callable[..., dict[str, Any]]:
        def report(pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if all(request.id in self._cancelled for request in batch):
                pipe._interrupt = True
            for request in batch:
                if request.id not in self._cancelled:
                    total = max(step + 1, int(pipe.num_timesteps))
                    emit(StepDone(id=request.id, step=step + 1, total=total))
            return tensors

        return report


def _to_pil(images: Any) -> tuple[Image.Image, ...]:
    """Return RGB images of pixels (n, height, width, 3), 0 to 1. Raise NotFinite."""
    if not isinstance(images, np.ndarray):
        return tuple(images)
    require_finite(torch.from_numpy(images), "the decoded pixels")
    return tuple(Image.fromarray(array) for array in (images * 255).round().clip(0, 255).astype(np.uint8))


def _batch_key(request: GenerationRequest) -> Hashable:
    return (request.width, request.height, request.steps, request.guidance, request.source is None, request.adapters)
