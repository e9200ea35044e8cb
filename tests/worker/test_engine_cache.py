"""Several models on one GPU: which one is evicted when memory is short."""

from __future__ import annotations

import pytest

from gpu_worker.engine import Engine, GenerationRequest, ModelTooLarge
from gpu_worker.engine_cache import BATCH_BYTES, EngineCache
from gpu_worker.noise_engine import NoiseEngine

GB = 2**30


class _Gpu:
    """A GPU of so many bytes, and models of known sizes."""

    def __init__(self, memory: int, **sizes: int) -> None:
        self.memory = memory
        self.sizes = sizes
        self.inside: list[str] = []

    def load(self, name: str) -> Engine:
        gpu = self

        class SizedEngine(NoiseEngine):
            memory_bytes = gpu.sizes[name]

            def close(self) -> None:
                gpu.inside.remove(name)

        if self.free() < self.sizes[name]:
            raise ModelTooLarge(name)
        self.inside.append(name)
        return SizedEngine(name)

    def free(self) -> int:
        return self.memory - sum(self.sizes[name] for name in self.inside)


def _request() -> GenerationRequest:
    return GenerationRequest(
        id=1, prompt="", seed=1, count=1, steps=9, sampler="DDIM", guidance=1, width=512, height=512
    )


def test_the_least_recently_used_model_is_evicted_when_memory_is_short_and_not_before() -> None:
    gpu = _Gpu(14 * GB, ink=4 * GB, oil=4 * GB, xl=6 * GB)
    profiles = EngineCache(gpu.load, free_bytes=gpu.free, max_engines=9)
    for name in ("ink", "oil"):
        profiles.load(name)
    assert gpu.inside == ["ink", "oil"]
    profiles["ink"]  # used again, so that oil is the least recently used
    profiles.load("xl")
    assert gpu.inside == ["ink", "xl"]


def test_a_model_larger_than_expected_is_loaded_and_one_too_large_for_the_gpu_is_not() -> None:
    gpu = _Gpu(20 * GB, ink=2 * GB, oil=2 * GB, huge=17 * GB, monster=21 * GB)
    profiles = EngineCache(gpu.load, free_bytes=gpu.free, max_engines=9)
    for name in ("ink", "oil", "huge"):
        profiles.load(name)
    assert gpu.inside == ["oil", "huge"]
    with pytest.raises(ModelTooLarge):
        profiles.load("monster")


def test_a_busy_model_is_not_evicted() -> None:
    gpu = _Gpu(8 * GB + BATCH_BYTES, ink=4 * GB, oil=4 * GB)
    profiles = EngineCache(gpu.load, free_bytes=gpu.free, max_engines=9)
    profiles.load("ink").admit(_request())
    profiles.load("oil")
    assert gpu.inside == ["ink", "oil"]


def test_no_more_than_max_engines_are_loaded_with_any_memory() -> None:
    gpu = _Gpu(999 * GB, a=GB, b=GB, c=GB)
    profiles = EngineCache(gpu.load, free_bytes=lambda: None, max_engines=2)
    for name in ("a", "b", "c"):
        profiles.load(name)
    assert gpu.inside == ["b", "c"]
