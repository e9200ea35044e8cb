"""Requests with different adapters in one engine: each gets its own style, and a bad adapter ends its request alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event as Flag
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.torch import save_file

from gpu_worker.adapters.loading import load
from gpu_worker.adapters.low_rank import LoadedAdapter
from gpu_worker.adapters.store import AdapterCache
from gpu_worker.engine import AdapterUse, Completed, Event, Failed, GenerationRequest

from . import adapter_files, tiny_models

TOLERANCE = 1  # level of 255


@pytest.fixture(scope="module")
def engine() -> Any:
    from gpu_worker import diffusers_engine

    return diffusers_engine.load(str(tiny_models.folder()))


@pytest.fixture(scope="module")
def uses(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, AdapterUse]:
    """Adapters by name: "text" changes the text encoder only."""
    folder, pipe = tmp_path_factory.mktemp("adapters"), engine._family.pipe
    paths = {
        "night": adapter_files.save_diffusers(folder / "night.safetensors", pipe.unet, seed=1, rank=4),
        "sketch": adapter_files.save_kohya(folder / "sketch.safetensors", pipe.unet, seed=2, rank=8, alpha=8.0),
        "text": adapter_files.save_kohya(
            folder / "text.safetensors", pipe.text_encoder, seed=3, rank=4, alpha=256.0, prefix="lora_te",
            targets=("q_proj", "fc1"),
        ),
    }  # fmt: skip
    return {name: AdapterUse(key=name, path=path, weight=1.0) for name, path in paths.items()}


def _request(number: int, *adapters: AdapterUse, **fields: Any) -> GenerationRequest:
    defaults: dict[str, Any] = {
        "prompt": "a red cat", "seed": 3, "count": 1, "steps": 4 + number % 3, "sampler": "k_euler", "guidance": 4.0,
        "width": tiny_models.SIZE, "height": tiny_models.SIZE,
    }  # fmt: skip
    return GenerationRequest(id=number, adapters=adapters, **(defaults | fields))


def _run(engine: Any, *requests: GenerationRequest) -> dict[int, Event]:
    for request in requests:
        engine.admit(request)
    events: list[Event] = []
    while engine.used_capacity:
        engine.advance(events.append)
    return {event.id: event for event in events if isinstance(event, Completed | Failed)}


def _pixels(event: Event) -> Any:
    assert isinstance(event, Completed), event
    return np.stack([np.asarray(image, dtype=int) for image in event.images])


def _apart(one: Event, other: Event) -> int:
    return int(np.abs(_pixels(one) - _pixels(other)).max())


def test_requests_with_different_adapters_share_a_batch(engine: Any, uses: dict[str, AdapterUse]) -> None:
    requests = [
        _request(1, uses["night"]),
        _request(2, sampler="dpmpp_2m_karras", count=2),
        _request(3, uses["sketch"], guidance=1.0),
        _request(4, uses["night"], uses["sketch"], uses["text"]),
        _request(5, uses["text"]),
        _request(6),
    ]
    alone = {request.id: _run(engine, request)[request.id] for request in requests}
    together = _run(engine, *requests)
    assert {number: _apart(alone[number], together[number]) <= TOLERANCE for number in alone} == dict.fromkeys(
        alone, True
    )
    # Each adapter does something, that of the text encoder too.
    for number in (1, 3, 4, 5):
        plain = _run(engine, _request(number, guidance=requests[number - 1].guidance))[number]
        assert _apart(together[number], plain) > 2 * TOLERANCE, number


def test_deepcache_applies_adapters_too(uses: dict[str, AdapterUse]) -> None:
    from gpu_worker import diffusers_engine

    engine = diffusers_engine.load(str(tiny_models.folder()), options={"deepcache"})
    styled, plain = _request(1, uses["night"]), _request(2)
    alone = _run(engine, styled)[1]
    together = _run(engine, styled, plain)
    assert _apart(alone, together[1]) <= TOLERANCE
    assert _apart(together[1], together[2]) > 10 * TOLERANCE


@pytest.fixture
def bad_file(engine: Any, tmp_path: Path) -> Callable[[str], Path]:
    def make(kind: str) -> Path:
        path = adapter_files.save_diffusers(tmp_path / f"{kind}.safetensors", engine._family.pipe.unet, seed=1, rank=4)
        # Not load_file, which would map the file that is overwritten below.
        tensors = safetensors.torch.load(path.read_bytes())
        name = next(iter(tensors))
        if kind == "nan":
            save_file(tensors | {name: torch.full_like(tensors[name], float("nan"))}, path)
        elif kind == "overflow":
            save_file({key: tensor * 1e30 for key, tensor in tensors.items()}, path)
        elif kind == "strange":
            save_file({key.replace("unet.", "unet.other_"): tensor for key, tensor in tensors.items()}, path)
        elif kind == "pickled":
            torch.save(tensors, path)
        elif kind == "gone":
            path.unlink()
        return path

    return make


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("nan", "lora_unusable"),
        ("overflow", "not_possible"),
        ("strange", "lora_unusable"),
        ("pickled", "lora_unusable"),
        ("gone", "lora_unusable"),
    ],
)
def test_a_bad_adapter_ends_its_request_and_no_other(
    engine: Any, uses: dict[str, AdapterUse], bad_file: Callable[[str], Path], kind: str, reason: str
) -> None:
    good, plain = _request(1, uses["night"]), _request(2)
    alone = {request.id: _run(engine, request)[request.id] for request in (good, plain)}
    bad = _request(3, AdapterUse(key=f"bad {kind}", path=bad_file(kind), weight=1.0))
    together = _run(engine, good, bad, plain)
    failed = together[3]
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.permanent) == (reason, True)
    assert all(_apart(alone[number], together[number]) <= TOLERANCE for number in (1, 2))


def test_the_batch_goes_on_while_an_adapter_loads(engine: Any, uses: dict[str, AdapterUse]) -> None:
    may_load, began = Flag(), Flag()

    def load_slowly(use: AdapterUse) -> LoadedAdapter:
        began.set()
        may_load.wait(30)
        return load(use.path, engine._family.pipe, key=use.key)

    store = engine._adapters._store
    engine._adapters._store = AdapterCache(load_slowly)
    try:
        engine.admit(_request(1, uses["night"]))
        began.wait(30)
        events: list[Event] = []
        engine.admit(_request(2))
        while not any(isinstance(event, Completed) for event in events):
            engine.advance(events.append)
        assert {event.id for event in events} == {2}
        may_load.set()
        while engine.used_capacity:
            engine.advance(events.append)
        assert isinstance(events[-1], Completed)
        assert events[-1].id == 1
    finally:
        may_load.set()
        engine._adapters._store = store


@pytest.fixture
def store() -> Iterator[AdapterCache]:
    loads: list[str] = []

    def load_small(use: AdapterUse) -> LoadedAdapter:
        loads.append(use.key)
        if use.key == "broken" and len(loads) == 1:
            raise OSError("the disk is full")
        return LoadedAdapter(key=use.key, pairs={}, bytes=100)

    store = AdapterCache(load_small, max_bytes=250)
    store.loads = loads  # type: ignore[attr-defined]
    yield store
    store.close()


def _use(key: str) -> AdapterUse:
    return AdapterUse(key=key, path=Path(key), weight=1.0)


def _get(store: AdapterCache, *keys: str) -> None:
    uses = [_use(key) for key in keys]
    store.request(uses)
    while not store.is_ready(uses):
        time.sleep(0.001)
    store.get(uses)


def test_the_least_recently_used_adapter_leaves(store: Any) -> None:
    for key in ("a", "b", "a", "c", "a", "b"):
        _get(store, key)
    assert store.loads == ["a", "b", "c", "b"]
    # More than fit, but one request needs them all.
    _get(store, "a", "b", "c", "d")
    assert store.loads[4:] == ["c", "d"]


def test_a_load_that_failed_is_tried_again(store: Any) -> None:
    with pytest.raises(OSError, match="full"):
        _get(store, "broken")
    _get(store, "broken")
