"""An engine without a model: coloured noise from the seed, in milliseconds. For chaos runs and benchmarks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from PIL import Image

from .engine import Cancelled, Completed, Event, Failed, GenerationRequest, StepDone


class NoiseEngine:
    """Joins and leaves at every step as the real one does; a step takes `step_s` seconds however many are inside."""

    device = "none"
    memory_bytes = 0

    def __init__(self, model: str = "noise", *, step_s: float = 0.01, room: float = 16.0) -> None:
        self.model = model
        self.room = room
        self._step_s = step_s
        self._inside: dict[int, tuple[GenerationRequest, int]] = {}
        self._leaving: set[int] = set()

    @property
    def load(self) -> float:
        return sum(request.weight for request, _ in self._inside.values())

    def admit(self, request: GenerationRequest) -> None:
        self._inside[request.id] = (request, 0)

    def cancel(self, request_id: int) -> None:
        self._leaving.add(request_id)

    def advance(self, emit: Callable[[Event], None]) -> None:
        time.sleep(self._step_s)
        leaving = set()
        while self._leaving:
            leaving.add(self._leaving.pop())
        for request_id, (request, done) in list(self._inside.items()):
            step = done + 1
            share = round(1000 * self._step_s * step / len(self._inside))
            if request_id in leaving:
                del self._inside[request_id]
                emit(Cancelled(id=request_id, gpu_ms=share))
            elif request.width % 8 or request.height % 8:
                del self._inside[request_id]
                emit(Failed(id=request_id, reason="size_not_possible", detail=f"{request.width}x{request.height}"))
            else:
                self._inside[request_id] = (request, step)
                half = request.preview and step == request.steps // 2
                emit(
                    StepDone(
                        id=request_id,
                        step=step,
                        total=request.steps,
                        preview=_noise(request, request.seed).resize((64, 64)) if half else None,
                    )
                )
                if step >= request.steps:
                    del self._inside[request_id]
                    images = tuple(_noise(request, seed) for seed in request.seeds)
                    emit(Completed(id=request_id, images=images, gpu_ms=share))

    def probe(self) -> None:
        return None

    def close(self) -> None:
        self._inside.clear()


def _noise(request: GenerationRequest, seed: int) -> Image.Image:
    """Return 8x8 coloured tiles that depend on the prompt and the seed alone."""
    digest = hashlib.shake_256(f"{request.prompt}\0{request.negative_prompt}\0{seed}".encode()).digest(8 * 8 * 3)
    tiles = Image.frombytes("RGB", (8, 8), digest)
    return tiles.resize((request.width, request.height), Image.Resampling.NEAREST)
