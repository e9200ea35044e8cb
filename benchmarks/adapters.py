"""What LoRAs cost: one call of a UNet with eight rows and none to eight LoRAs, and the other ways to serve these rows.

The other ways: one call for each LoRA, and PEFT's mixed batches. Everything runs in one process on one core, the ways
in turns. A time is the least CPU time of all repetitions, so that other load on the machine changes it little.
`--full` also measures a UNet of 116 million parameters with random weights.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from devtools.benchmark_result import Figure, Result
from gpu_worker.adapters.low_rank import LoadedAdapter, LowRankPair, Mix, WeightedAdapter
from gpu_worker.adapters.mixed_layers import MixedLayers, twin_of

UNET = Path(__file__).resolve().parents[1] / "demo_model" / "pipeline" / "unet"
ROWS = 8
RANKS = (4, 4, 8, 8, 8, 8, 16, 16)
ADAPTERS = (1, 4, 8)
WEIGHT = 0.8
# Of the time without LoRAs, for eight in eight rows.
LARGEST_RATIO, LARGEST_RATIO_116M = 1.35, 1.2
TOKENS = 32
# What most LoRAs change: attention, and the first convolution of each block.
_LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj", "resnets.0.conv1", "resnets.1.conv1")


def run(*, full: bool) -> Result:
    """Measure. `full` repeats each call four times as often, and adds the large UNet."""
    demo = UNet2DConditionModel.from_pretrained(UNET)
    figures, seconds = _compare("demo", demo, goal=LARGEST_RATIO, repetitions=60 if full else 15)
    detail = {"demo": seconds, "ranks": list(RANKS)}
    if full:
        more, detail["116M"] = _compare("116M", _large_unet(), goal=LARGEST_RATIO_116M, repetitions=3)
        figures += more
    return Result(figures=tuple(figures), detail=detail)


def _large_unet() -> UNet2DConditionModel:
    """Return a UNet of 116 million parameters, of the shape of Stable Diffusion's, with random weights."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(192, 384, 576),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=768,
        attention_head_dim=8,
    )


def _compare(name: str, unet: Any, *, goal: float, repetitions: int) -> tuple[list[Figure], dict[str, float]]:
    """Return the figures of a UNet, and the least seconds of each way."""
    unet = unet.eval().requires_grad_(False)
    adapters = [_random_adapter(unet, seed=seed, rank=rank) for seed, rank in enumerate(RANKS)]
    threads = torch.get_num_threads()
    try:
        # Its CPU time is that of the calling thread.
        torch.set_num_threads(1)
        with torch.inference_mode():
            least = _measure(unet, adapters, repetitions=repetitions)
    finally:
        torch.set_num_threads(threads)
    bare = least["none"]
    figures = [Figure(name=f"{name}, 8 rows without LoRAs", value=round(1000 * bare, 1), unit="ms")]
    for way, seconds in least.items():
        if way != "none":
            bound = goal if way == "8 in one call" else None
            figures.append(
                Figure(name=f"{name}, LoRAs: {way}", value=round(seconds / bare, 3), unit="times", goal=bound)
            )
    return figures, least


def _measure(unet: Any, adapters: list[LoadedAdapter], *, repetitions: int) -> dict[str, float]:
    """Return the least seconds of each way."""
    generator = torch.Generator().manual_seed(0)
    size = unet.config.sample_size
    sample = torch.randn(ROWS, unet.config.in_channels, size, size, generator=generator)
    times = torch.linspace(999, 1, ROWS)
    text = torch.randn(ROWS, TOKENS, unet.config.cross_attention_dim, generator=generator)
    mixed = MixedLayers(twin_of(unet), part="unet")
    mixes: list[Mix] = [(WeightedAdapter(adapter=adapter, weight=WEIGHT),) for adapter in adapters]
    by_peft = _peft_unet(unet, adapters)

    def call(count: int) -> torch.Tensor:
        mixed.use([*mixes[:count], *[()] * (ROWS - count)])
        return _first(mixed.model(sample, times, text, return_dict=False))

    def call_each() -> None:
        for row, mix in enumerate(mixes):
            mixed.use([mix])
            mixed.model(sample[row : row + 1], times[row : row + 1], text[row : row + 1], return_dict=False)

    def call_peft() -> torch.Tensor:
        with _adapter_of_each_row(by_peft, [adapter.key for adapter in adapters]):
            return _first(by_peft(sample, times, text, return_dict=False))

    ways: dict[str, Callable[[], object]] = {"none": lambda: unet(sample, times, text, return_dict=False)}
    ways |= {f"{count} in one call": lambda count=count: call(count) for count in ADAPTERS}  # type: ignore[misc]
    ways |= {"8, one call each": call_each, "8, PEFT's mixed batch": call_peft}
    for way in ways.values():
        way()
    # What is compared must be the same work.
    torch.testing.assert_close(call(ROWS), call_peft(), atol=1e-3, rtol=1e-3)
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(repetitions):
        for name, way in ways.items():
            began = time.thread_time()
            way()
            least[name] = min(least[name], time.thread_time() - began)
    return least


def _first(outputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return outputs[0]


def _peft_unet(unet: nn.Module, adapters: list[LoadedAdapter]) -> nn.Module:
    """Return a copy of the UNet with PEFT's layers that hold the same adapters."""
    copied = copy.deepcopy(unet)
    for adapter in adapters:
        pairs = adapter.pairs["unet"]
        rank = next(iter(pairs.values())).rank
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(pairs))
        with warnings.catch_warnings():
            # That there are several adapters is the purpose.
            warnings.simplefilter("ignore")
            inject_adapter_in_model(config, copied, adapter_name=adapter.key)
        for name, pair in pairs.items():
            layer: Any = copied.get_submodule(name)
            down, up = layer.lora_A[adapter.key].weight, layer.lora_B[adapter.key].weight
            down.data.copy_(pair.down)
            up.data.copy_(WEIGHT * pair.up.view(up.shape))
    return copied.eval().requires_grad_(False)


@contextmanager
def _adapter_of_each_row(model: nn.Module, keys: list[str]) -> Iterator[None]:
    """Name the adapter of each row to PEFT's layers, as PEFT's own models do for their `adapter_names`."""

    def name_adapters(layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, kwargs | {"adapter_names": keys}

    hooks = [
        layer.register_forward_pre_hook(name_adapters, with_kwargs=True)
        for layer in model.modules()
        if isinstance(layer, LoraLayer)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _random_adapter(unet: nn.Module, *, seed: int, rank: int) -> LoadedAdapter:
    generator = torch.Generator().manual_seed(seed)
    pairs: dict[str, LowRankPair] = {}
    for name, layer in unet.named_modules():
        if not name.endswith(_LAYERS):
            continue
        if isinstance(layer, nn.Linear):
            shape: tuple[int, ...] = (rank, layer.in_features)
            outputs = layer.out_features
        elif isinstance(layer, nn.Conv2d):
            shape, outputs = (rank, layer.in_channels, *layer.kernel_size), layer.out_channels
        else:
            continue
        down, up = torch.randn(shape, generator=generator), torch.randn(outputs, rank, generator=generator)
        pairs[name] = LowRankPair(down=0.02 * down, up=0.02 * up, scale=1.0)
    parts: Mapping[str, Mapping[str, LowRankPair]] = {"unet": pairs}
    return LoadedAdapter(key=str(seed), pairs=parts, bytes=0)
