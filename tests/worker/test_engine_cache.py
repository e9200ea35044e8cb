"""Several models on one card: who leaves when the memory is short."""

from __future__ import annotations

import pytest

from gpu_worker.engine import Engine, GenerationRequest, ModelTooLarge
from gpu_worker.engine_cache import BATCH_BYTES, EngineCache
from gpu_worker.noise_engine import NoiseEngine

GB = 2**30


class _Card:
    """A card of so many bytes, on which models of a known size are loaded."""

    def __init__(self, memory: int, **sizes: int) -> None:
        self.memory = memory
        self.sizes = sizes
        self.inside: list[str] = []

    def load(self, name: str) -> Engine:
        card = self

        class Weighs(NoiseEngine):
            memory_bytes = card.sizes[name]

            def close(self) -> None:
                card.inside.remove(name)

        if self.free() < self.sizes[name]:
            raise ModelTooLarge(name)
        self.inside.append(name)
        return Weighs(name)

    def free(self) -> int:
        return self.memory - sum(self.sizes[name] for name in self.inside)


def _request() -> GenerationRequest:
    return GenerationRequest(
        id=1, prompt="", seed=1, count=1, steps=9, sampler="DDIM", guidance=1, width=512, height=512
    )


def test_the_model_used_longest_ago_leaves_when_memory_is_short_and_not_before() -> None:
    card = _Card(14 * GB, ink=4 * GB, oil=4 * GB, xl=6 * GB)
    profiles = EngineCache(card.load, free_bytes=card.free, max_engines=9)
    for name in ("ink", "oil"):
        profiles.load(name)
    assert card.inside == ["ink", "oil"]
    profiles["ink"]  # used again, so that oil was used longest ago
    profiles.load("xl")
    assert card.inside == ["ink", "xl"]


def test_a_model_that_is_larger_than_it_was_taken_for_finds_room_too_and_one_too_large_for_the_card_does_not() -> None:
    card = _Card(20 * GB, ink=2 * GB, oil=2 * GB, huge=17 * GB, monster=21 * GB)
    profiles = EngineCache(card.load, free_bytes=card.free, max_engines=9)
    for name in ("ink", "oil", "huge"):
        profiles.load(name)
    assert card.inside == ["oil", "huge"]
    with pytest.raises(ModelTooLarge):
        profiles.load("monster")


def test_a_model_at_work_is_not_evicted() -> None:
    card = _Card(8 * GB + BATCH_BYTES, ink=4 * GB, oil=4 * GB)
    profiles = EngineCache(card.load, free_bytes=card.free, max_engines=9)
    profiles.load("ink").admit(_request())
    profiles.load("oil")
    assert card.inside == ["ink", "oil"]


def test_no_more_models_than_were_said_whatever_the_memory() -> None:
    card = _Card(999 * GB, a=GB, b=GB, c=GB)
    profiles = EngineCache(card.load, free_bytes=lambda: None, max_engines=2)
    for name in ("a", "b", "c"):
        profiles.load(name)
    assert card.inside == ["b", "c"]
