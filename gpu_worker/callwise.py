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
from typing import Any

import torch

from .engine import Event, Failed, Left, Made, Request, Stepped
from .stepwise import device_errors, parameter_bytes


class CallwiseEngine:
    """Implements gpu_worker.engine.Engine. All methods but `cancel` belong to one thread."""

    def __init__(self, pipe: Any, *, model: str, most: int) -> None:
        self._pipe = pipe
        self._most = most
        parameters = inspect.signature(pipe.__call__).parameters
        self._accepts = frozenset(parameters)
        self._most_tokens = parameters["max_sequence_length"].default if "max_sequence_length" in parameters else None
        self._inside: list[Request] = []
        self._leaving: set[int] = set()
        self.model = model
        self.device = torch.cuda.get_device_name(pipe.device) if pipe.device.type == "cuda" else pipe.device.type
        self.memory_bytes = parameter_bytes(pipe)
        self.room = float(most)

    @property
    def load(self) -> float:
        return sum(request.weight for request in self._inside)

    def admit(self, request: Request) -> None:
        self._inside.append(request)

    def cancel(self, request_id: int) -> None:
        self._leaving.add(request_id)

    def probe(self) -> None:
        with device_errors():
            torch.ones(8, device=self._pipe.device).sum().item()

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
        with torch.inference_mode(), device_errors():
            try:
                images = self._call(batch, emit)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                if len(batch) == 1:
                    self._inside.remove(batch[0])
                    emit(Failed(id=batch[0].id, reason="out_of_memory", permanent=False))
                self._most = max(1, min(self._most, sum(request.count for request in batch)) // 2)
                return
            except (ValueError, TypeError) as exc:
                # The pipeline would not have one of them: each gets a call of its own, and the culprit fails alone.
                if len(batch) == 1:
                    self._inside.remove(batch[0])
                    emit(Failed(id=batch[0].id, reason="not_possible", detail=type(exc).__name__))
                self._most = 1
                return
        gpu_ms = 1000 * (time.perf_counter() - began) / len(images)
        for request in batch:
            self._inside.remove(request)
            mine, images = images[: request.count], images[request.count :]
            if request.id in self._leaving:
                self._leaving.discard(request.id)
                emit(Left(id=request.id, gpu_ms=round(gpu_ms * request.count)))
            else:
                gpu = round(gpu_ms * request.count)
                emit(Made(id=request.id, images=tuple(mine), gpu_ms=gpu, prompt_cut=self._cut(request)))

    def _drop_cancelled(self, emit: Callable[[Event], None]) -> None:
        leaving = set()
        while self._leaving:
            leaving.add(self._leaving.pop())
        for request in [request for request in self._inside if request.id in leaving]:
            self._inside.remove(request)
            emit(Left(id=request.id, gpu_ms=0))

    def _next(self) -> list[Request]:
        """Return the first request and those after it that fit into its call."""
        first = self._inside[0]
        batch, pictures = [first], first.count
        for request in self._inside[1:]:
            if _key(request) == _key(first) and pictures + request.count <= self._most:
                batch.append(request)
                pictures += request.count
        return batch

    def _call(self, batch: list[Request], emit: Callable[[Event], None]) -> list[Any]:
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
        }
        if not any(request.negative_prompt for request in batch):
            del arguments["negative_prompt"]
        known = {name: value for name, value in arguments.items() if name in self._accepts}
        return list(self._pipe(**known).images)

    def _cut(self, request: Request) -> int:
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

    def _reporter(self, batch: list[Request], emit: Callable[[Event], None]) -> Callable[..., dict[str, Any]]:
        def report(pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if all(request.id in self._leaving for request in batch):
                pipe._interrupt = True
            for request in batch:
                if request.id not in self._leaving:
                    total = max(step + 1, int(pipe.num_timesteps))
                    emit(Stepped(id=request.id, step=step + 1, total=total))
            return tensors

        return report


def _key(request: Request) -> Hashable:
    return (request.width, request.height, request.steps, request.guidance, request.source is None)
