"""An engine that fails as the request's prompt says: `SPARKLE_ENGINE=devtools.chaos.failing_engine.loader`.

A prompt that holds one of `Poison`'s values breaks the engine in that way, and so does a model whose source holds one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from gpu_worker.engine import Engine, Event, StepDone
from gpu_worker.noise_engine import NoiseEngine


class Poison(StrEnum):
    STEP_RAISES = "poison-step-raises"
    STEP_HANGS = "poison-step-hangs"
    DECODING_HANGS = "poison-decoding-hangs"
    CARD_BREAKS = "poison-card-breaks"
    LOADER_RAISES = "poison-loader-raises"
    LOADER_HANGS = "poison-loader-hangs"


FAULT_STEP = 2
STEP_S = 0.004


class FaultyEngine(NoiseEngine):
    """Draws noise until a poisoned request is inside."""

    def advance(self, emit: Callable[[Event], None]) -> None:
        for request, done in list(self._inside.values()):
            if done + 1 >= min(FAULT_STEP, request.steps):
                _break(request.prompt)

        def watched(event: Event) -> None:
            emit(event)
            if isinstance(event, StepDone) and event.step >= event.total:
                request = self._inside.get(event.id)
                if request is not None and Poison.DECODING_HANGS in request[0].prompt:
                    _hang()

        super().advance(watched)


def _break(prompt: str) -> None:
    if Poison.STEP_RAISES in prompt:
        raise ZeroDivisionError("a poisoned request")
    if Poison.CARD_BREAKS in prompt:
        raise RuntimeError("CUDA error: device-side assert triggered")
    if Poison.STEP_HANGS in prompt:
        _hang()


def _hang() -> None:
    while True:
        time.sleep(60)


def loader() -> tuple[Callable[[str], Engine], Callable[[], int | None]]:
    """Return a loader of engines, and a function that reports no memory limit."""

    def load(source: str) -> Engine:
        if Poison.LOADER_RAISES in source:
            raise AttributeError("module diffusers has no attribute NoSuchPipeline")
        if Poison.LOADER_HANGS in source:
            _hang()
        return FaultyEngine(source, step_s=STEP_S)

    return load, lambda: None
