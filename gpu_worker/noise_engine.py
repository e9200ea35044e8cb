"""An engine without a model: coloured tiles from the seed, in milliseconds. For chaos runs and benchmarks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from PIL import Image

from .engine import Cancelled, Completed, Event, Failed, GenerationRequest, StepDone


class NoiseEngine:
    """Requests join and leave at every step, as in the real engine. A step takes `step_s` seconds for any batch."""

    device = "none"
    memory_bytes = 0

    def __init__(self, model: str = "noise", *, step_s: float = 0.01, capacity: float = 16.0) -> None:
        self.model = model
        self.capacity = capacity
        self._step_s = step_s
        self._inside: dict[int, tuple[GenerationRequest, int]] = {}
        self._cancelled: set[int] = set()

    @property
    def used_capacity(self) -> float:
        return sum(request.cost for request, _ in self._inside.values())

    def admit(self, request: GenerationRequest) -> None:
        self._inside[request.id] = (request, 0)

    def cancel(self, request_id: int) -> None:
        self._cancelled.add(request_id)

    def advance(self, emit: Callable[[Event], None]) -> None:
        time.sleep(self._step_s)
        cancelled = set()
        while self._cancelled:
            cancelled.add(self._cancelled.pop())
        for request_id, (request, done) in list(self._inside.items()):
            step = done + 1
            gpu_ms = round(1000 * self._step_s * step / len(self._inside))
            if request_id in cancelled:
                del self._inside[request_id]
                emit(Cancelled(id=request_id, gpu_ms=gpu_ms))
            elif request.width % 8 or request.height % 8:
                del self._inside[request_id]
                emit(Failed(id=request_id, reason="size_not_possible", detail=f"{request.width}x{request.height}"))
            else:
                self._inside[request_id] = (request, step)
                has_preview = request.preview and step == request.steps // 2
                emit(
                    StepDone(
                        id=request_id,
                        step=step,
                        total=request.steps,
                        preview=_make_tiles(request, request.seed).resize((64, 64)) if has_preview else None,
                    )
                )
                if step >= request.steps:
                    del self._inside[request_id]
                    images = tuple(_make_tiles(request, seed) for seed in request.seeds)
                    emit(Completed(id=request_id, images=images, gpu_ms=gpu_ms))

    def probe(self) -> None:
        return None

    def close(self) -> None:
        self._inside.clear()


def _make_tiles(request: GenerationRequest, seed: int) -> Image.Image:
    """Return 8x8 coloured tiles that depend on the prompts and the seed alone."""
    digest = hashlib.shake_256(f"{request.prompt}\0{request.negative_prompt}\0{seed}".encode()).digest(8 * 8 * 3)
    tiles = Image.frombytes("RGB", (8, 8), digest)
    return tiles.resize((request.width, request.height), Image.Resampling.NEAREST)
