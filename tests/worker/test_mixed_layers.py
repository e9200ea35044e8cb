"""Rows with different adapters share one call of the UNet, and each gets what diffusers makes for it alone."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from gpu_worker.adapters import mixed_layers
from gpu_worker.adapters.loading import load
from gpu_worker.adapters.low_rank import LoadedAdapter, LowRankPair, Mix, WeightedAdapter
from gpu_worker.adapters.mixed_layers import MixedLayers, RowsNotFirst, twin_of

from . import adapter_files, tiny_models

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def pipe() -> Any:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(tiny_models.folder())


@pytest.fixture(scope="module")
def files(pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three adapters of different ranks, layers and formats."""
    folder = tmp_path_factory.mktemp("adapters")
    unet = pipe.unet
    return {
        "night": adapter_files.save_diffusers(folder / "night.safetensors", unet, seed=1, rank=4),
        "sketch": adapter_files.save_kohya(folder / "sketch.safetensors", unet, seed=2, rank=8, alpha=4.0),
        "paper": adapter_files.save_diffusers(
            folder / "paper.safetensors", unet, seed=3, rank=2, targets=adapter_files.LINEAR
        ),
    }


@pytest.fixture(scope="module")
def adapters(pipe: Any, files: dict[str, Path]) -> dict[str, LoadedAdapter]:
    return {name: load(path, pipe, key=name) for name, path in files.items()}


@pytest.fixture(scope="module")
def rows() -> list[torch.Tensor]:
    """The arguments of a call of six rows."""
    generator = torch.Generator().manual_seed(5)
    return [
        torch.randn(6, 12, 8, 8, generator=generator),
        torch.tensor([900.0, 500.0, 20.0, 900.0, 300.0, 1.0]),
        torch.randn(6, 77, 32, generator=generator),
    ]


def _mix(adapters: dict[str, LoadedAdapter], **weights: float) -> Mix:
    return tuple(WeightedAdapter(adapter=adapters[name], weight=weight) for name, weight in weights.items())


def _call(unet: Any, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = unet(*rows, return_dict=False)[0]
    return result


MIXES: tuple[dict[str, float], ...] = (
    {"night": 1.0}, {}, {"sketch": 0.8}, {"night": 0.5, "sketch": -0.4, "paper": 1.2}, {"night": 1.0}, {},
)  # fmt: skip


def test_each_row_is_what_diffusers_makes_with_its_adapters_alone(
    pipe: Any, files: dict[str, Path], adapters: dict[str, LoadedAdapter], rows: list[torch.Tensor]
) -> None:
    pytest.importorskip("peft")
    from diffusers import StableDiffusionPipeline

    mixed = MixedLayers(twin_of(pipe.unet), part="unet")
    mixed.use([_mix(adapters, **weights) for weights in MIXES])
    ours = _call(mixed.model, rows)
    reference = StableDiffusionPipeline.from_pretrained(tiny_models.folder())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, path in files.items():
            reference.load_lora_weights(path, adapter_name=name)
        for index, weights in enumerate(MIXES):
            if weights:
                reference.enable_lora()
                reference.set_adapters(list(weights), list(weights.values()))
            else:
                reference.disable_lora()
            alone = _call(reference.unet, [argument[index : index + 1] for argument in rows])
            assert float((ours[index] - alone[0]).abs().max()) < TOLERANCE, weights
    # The measure distinguishes adapters.
    bare = _call(pipe.unet, rows)
    assert float((ours[0] - bare[0]).abs().max()) > 100 * TOLERANCE


def test_rows_without_adapters_are_exactly_as_without_any(
    pipe: Any, adapters: dict[str, LoadedAdapter], rows: list[torch.Tensor]
) -> None:
    mixed = MixedLayers(twin_of(pipe.unet), part="unet")
    mixed.use([_mix(adapters, **weights) for weights in MIXES])
    ours, bare = _call(mixed.model, rows), _call(pipe.unet, rows)
    assert [bool((ours[row] == bare[row]).all()) for row in range(6)] == [not weights for weights in MIXES]


def test_a_batch_of_one_mix_is_as_in_a_mixed_batch(
    pipe: Any, adapters: dict[str, LoadedAdapter], rows: list[torch.Tensor]
) -> None:
    both, other = _mix(adapters, night=0.5, sketch=-0.4), _mix(adapters, paper=2.0)
    mixed = MixedLayers(twin_of(pipe.unet), part="unet")
    mixed.use([both] * 6)
    alike = _call(mixed.model, rows)
    mixed.use([both, other, both, (), both, other])
    differing = _call(mixed.model, rows)
    assert float((alike[::2] - differing[::2]).abs().max()) < TOLERANCE
    assert float((alike[1::2] - differing[1::2]).abs().max()) > 100 * TOLERANCE
    # A row moved: the mixes are the same ones, in the same order of first use.
    mixed.use([both, both, other, (), both, other])
    assert float((_call(mixed.model, rows)[1] - alike[1]).abs().max()) < TOLERANCE


def test_the_weights_of_batches_in_turns_are_kept_within_bounds(
    monkeypatch: pytest.MonkeyPatch, new_adapter: Callable[[str], LoadedAdapter]
) -> None:
    model = torch.nn.ModuleDict({"layer": torch.nn.Linear(4, 4)})
    mixed = MixedLayers(model, part="unet")
    rows = torch.randn(2, 3, 4)

    def run(key: str) -> None:
        mixed.use([_mix({"one": adapters[key]}, one=1.0), ()])
        with torch.inference_mode():
            model["layer"](rows)

    adapters = {key: new_adapter(key) for key in "abc"}
    alive = {key: weakref.ref(adapter.pairs["unet"]["layer"].down) for key, adapter in adapters.items()}
    run("a")
    run("b")
    adapters.clear()
    assert [alive[key]() is None for key in "ab"] == [False, False]
    monkeypatch.setattr(mixed_layers, "MAX_STACKED_BYTES", 32)
    adapters["c"] = new_adapter("c")
    run("c")
    gc.collect()
    assert [alive[key]() is None for key in "ab"] == [True, True]


def test_an_adapter_that_overflows_spoils_its_own_row_only(
    pipe: Any, adapters: dict[str, LoadedAdapter], rows: list[torch.Tensor]
) -> None:
    huge = LoadedAdapter(
        key="huge",
        pairs={
            "unet": {
                name: LowRankPair(down=pair.down * 1e38, up=pair.up * 1e38, scale=1.0)
                for name, pair in adapters["night"].pairs["unet"].items()
            }
        },
        bytes=0,
    )
    mixed = MixedLayers(twin_of(pipe.unet), part="unet")
    mixed.use([_mix({"huge": huge}, huge=1.0), (), _mix(adapters, sketch=0.8), (), (), ()])
    ours, bare = _call(mixed.model, rows), _call(pipe.unet, rows)
    assert not torch.isfinite(ours[0]).all()
    assert torch.equal(ours[1], bare[1])
    mixed.use([(), (), _mix(adapters, sketch=0.8), (), (), ()])
    assert float((ours[2] - _call(mixed.model, rows)[2]).abs().max()) < TOLERANCE


def test_fused_projections_do_not_drop_adapters(adapters: dict[str, LoadedAdapter], rows: list[torch.Tensor]) -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(tiny_models.folder() / "unet")
    plain = MixedLayers(twin_of(unet), part="unet")
    plain.use([_mix(adapters, paper=2.0)] * 6)
    expected = _call(plain.model, rows)
    # The worker does that on a GPU only.
    unet.fuse_qkv_projections()
    fused = MixedLayers(twin_of(unet), part="unet")
    fused.use([_mix(adapters, paper=2.0)] * 6)
    assert float((_call(fused.model, rows) - expected).abs().max()) < TOLERANCE


def test_the_twin_shares_the_weights_and_leaves_the_model_alone(
    pipe: Any, adapters: dict[str, LoadedAdapter], rows: list[torch.Tensor]
) -> None:
    before = _call(pipe.unet, rows)
    mixed = MixedLayers(twin_of(pipe.unet), part="unet")
    mixed.use([_mix(adapters, night=1.0)] * 6)
    assert not torch.equal(_call(mixed.model, rows), before)
    assert torch.equal(_call(pipe.unet, rows), before)
    twins = zip(pipe.unet.parameters(), mixed.model.parameters(), strict=True)
    assert all(one.data_ptr() == other.data_ptr() for one, other in twins)


class _RowsSecond(torch.nn.Module):
    """A model whose layer has the tokens first, as Z-Image's embedders have."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(rows.flatten(0, 1))
        return out.view(rows.shape)


def test_a_layer_without_rows_first_takes_one_mix_and_refuses_two(new_adapter: Callable[[str], LoadedAdapter]) -> None:
    mixed = MixedLayers(_RowsSecond(), part="unet")
    rows = torch.randn(3, 5, 4)
    mix = _mix({"one": new_adapter("one")}, one=1.0)
    mixed.use([mix, mix, mix])
    with torch.inference_mode():
        assert mixed.model(rows).shape == rows.shape
        mixed.use([mix, (), mix])
        with pytest.raises(RowsNotFirst):
            mixed.model(rows)


@pytest.fixture
def new_adapter() -> Callable[[str], LoadedAdapter]:
    def make(key: str) -> LoadedAdapter:
        pair = LowRankPair(down=torch.ones(2, 4), up=torch.ones(4, 2), scale=1.0)
        return LoadedAdapter(key=key, pairs={"unet": {"layer": pair}}, bytes=64)

    return make
