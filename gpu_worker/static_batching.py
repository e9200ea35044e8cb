"""For pipelines that cannot be advanced by the step: one call of the pipeline for requests that fit together.

Serves any text-to-image pipeline of diffusers (Stable Diffusion 3, Flux, ...) with its own scheduler. Requests of one
size, number of steps and guidance share a call, up to `most` pictures; nobody waits for company. Progress and cancel
come by the pipeline's callback where it has one; a cancelled request's pictures are made with its company's, and
dropped.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from .continuous_batching import parameter_bytes
from .engine import Cancelled, Completed, EngineBroken, Event, GenerationRequest, StepDone
from .error_isolation import device_works, failure, isolated, raise_if_broken, require_finite
from .errors import is_out_of_memory


class StaticBatchEngine:
    """Implements gpu_worker.engine.Engine. All methods but `cancel` belong to one thread."""

    def __init__(self, pipe: Any, *, model: str, most: int) -> None:
        self._pipe = pipe
        self._most = most
        parameters = inspect.signature(pipe.__call__).parameters
        self._accepts = frozenset(parameters)
        self._most_tokens = parameters["max_sequence_length"].default if "max_sequence_length" in parameters else None
        self._inside: list[GenerationRequest] = []
        self._leaving: set[int] = set()
        self._alone: set[int] = set()  # were in a call that failed
        self.model = model
        self.device = torch.cuda.get_device_name(pipe.device) if pipe.device.type == "cuda" else pipe.device.type
        self.memory_bytes = parameter_bytes(pipe)
        self.room = float(most)

    @property
    def load(self) -> float:
        return sum(request.weight for request in self._inside)

    def admit(self, request: GenerationRequest) -> None:
        self._inside.append(request)

    def cancel(self, request_id: int) -> None:
        self._leaving.add(request_id)

    def probe(self) -> None:
        if not device_works(self._pipe.device):
            raise EngineBroken("the card does not compute")

    def close(self) -> None:
        self._inside.clear()
        del self._pipe
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def advance(self, emit: Callable[[Event], None]) -> None:
        self._drop_cancelled(emit)
        if not self._inside:
            return
        batch = self._next()
        began = time.perf_counter()
        failed = None
        with torch.inference_mode():
            try:
                images = self._call(batch, emit)
            except Exception as error:
                raise_if_broken(error, device=self._pipe.device)
                if len(batch) == 1:
                    failed = failure(batch[0], error, device=self._pipe.device)
                if is_out_of_memory(error):
                    self._most = max(1, min(self._most, sum(request.count for request in batch)) // 2)
                else:
                    # The call failed by one of them: each gets a call of its own, and the culprit fails alone.
                    self._alone |= {request.id for request in batch}
                images = None
        if images is None:
            if self._pipe.device.type == "cuda":
                torch.cuda.empty_cache()
            if failed is not None:
                self._drop(batch[0])
                emit(failed)
            return
        gpu_ms = 1000 * (time.perf_counter() - began) / sum(request.count for request in batch)
        for request in batch:
            self._drop(request)
            mine, images = images[: request.count], images[request.count :]
            gpu = round(gpu_ms * request.count)
            if request.id in self._leaving:
                self._leaving.discard(request.id)
                emit(Cancelled(id=request.id, gpu_ms=gpu))
            else:
                emit(isolated(request, partial(self._made, request, mine, gpu), device=self._pipe.device))

    def _made(self, request: GenerationRequest, images: Any, gpu_ms: int) -> Completed:
        """Return the request's images. Raise NotFinite."""
        if len(images) != request.count:
            raise ValueError("the pipeline made another number of images")
        return Completed(id=request.id, images=_to_pil(images), gpu_ms=gpu_ms, truncated_tokens=self._cut(request))

    def _drop(self, request: GenerationRequest) -> None:
        self._inside.remove(request)
        self._alone.discard(request.id)

    def _drop_cancelled(self, emit: Callable[[Event], None]) -> None:
        leaving = set()
        while self._leaving:
            leaving.add(self._leaving.pop())
        for request in [request for request in self._inside if request.id in leaving]:
            self._drop(request)
            emit(Cancelled(id=request.id, gpu_ms=0))

    def _next(self) -> list[GenerationRequest]:
        """Return the first request and those after it that fit into its call."""
        first = self._inside[0]
        batch, pictures = [first], first.count
        if first.id in self._alone:
            return batch
        for request in self._inside[1:]:
            if (
                request.id not in self._alone
                and _key(request) == _key(first)
                and pictures + request.count <= self._most
            ):
                batch.append(request)
                pictures += request.count
        return batch

    def _call(self, batch: list[GenerationRequest], emit: Callable[[Event], None]) -> Any:
        """Return the images of the batch: pixels 0 to 1 (n, height, width, 3), or whatever the pipeline makes."""
        first = batch[0]
        if first.source is not None:
            raise ValueError("this pipeline starts from no picture")
        arguments: dict[str, Any] = {
            "prompt": [request.prompt for request in batch for _ in request.seeds],
            "negative_prompt": [request.negative_prompt for request in batch for _ in request.seeds],
            "generator": [torch.Generator("cpu").manual_seed(seed) for request in batch for seed in request.seeds],
            "num_inference_steps": first.steps,
            "guidance_scale": first.guidance,
            "width": first.width,
            "height": first.height,
            "callback_on_step_end": self._reporter(batch, emit),
            # As numbers: in finished images what was not finite is black.
            "output_type": "np",
        }
        if first.guidance <= 1 or not any(request.negative_prompt for request in batch):
            del arguments["negative_prompt"]
        known = {name: value for name, value in arguments.items() if name in self._accepts}
        return self._pipe(**known).images

    def _cut(self, request: GenerationRequest) -> int:
        """Return how many tokens of its texts no text encoder read: each cuts where its own room ends."""
        tokenizers = [
            part for name, part in self._pipe.components.items() if name.startswith("tokenizer") and part is not None
        ]
        # The last one's room is the pipeline's to set (T5's in Stable Diffusion 3 and Flux), the others' their own.
        rooms = [int(tokenizer.model_max_length) for tokenizer in tokenizers]
        if rooms and isinstance(self._most_tokens, int):
            rooms[-1] = min(rooms[-1], self._most_tokens)

        def cut(text: str) -> int:
            lengths = [len(tokenizer(text, truncation=False, verbose=False).input_ids) for tokenizer in tokenizers]
            return min((max(0, length - room) for length, room in zip(lengths, rooms, strict=True)), default=0)

        negative = cut(request.negative_prompt) if request.negative_prompt and "negative_prompt" in self._accepts else 0
        return cut(request.prompt) + negative

    def _reporter(self, batch: list[GenerationRequest], emit: Callable[[Event], None]) -> Callable[..., dict[str, Any]]:
        def report(pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if all(request.id in self._leaving for request in batch):
                pipe._interrupt = True
            for request in batch:
                if request.id not in self._leaving:
                    total = max(step + 1, int(pipe.num_timesteps))
                    emit(StepDone(id=request.id, step=step + 1, total=total))
            return tensors

        return report


def _to_pil(images: Any) -> tuple[Image.Image, ...]:
    """Return RGB images of pixels (n, height, width, 3), 0 to 1. Raise NotFinite."""
    if not isinstance(images, np.ndarray):
        return tuple(images)
    require_finite(torch.from_numpy(images), "the decoded pixels")
    return tuple(Image.fromarray(each) for each in (images * 255).round().clip(0, 255).astype(np.uint8))


def _key(request: GenerationRequest) -> Hashable:
    return (request.width, request.height, request.steps, request.guidance, request.source is None)
