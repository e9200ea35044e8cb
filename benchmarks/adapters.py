"""What LoRAs cost: one call of the demo's UNet with eight rows and none to eight LoRAs, and one call for each LoRA.

Everything runs in one process on one core, the variants in turns. A time is the least CPU time of all repetitions, so
that other load on the machine changes it little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from devtools.results_file import Figure, Result
from gpu_worker.adapters.low_rank import LoadedAdapter, LowRankPair, Mix, WeightedAdapter
from gpu_worker.adapters.mixed_layers import MixedLayers, twin_of

UNET = Path(__file__).resolve().parents[1] / "demo_model" / "pipeline" / "unet"
ROWS = 8
RANKS = (4, 4, 8, 8, 8, 8, 16, 16)
ADAPTERS = (1, 4, 8)
LARGEST_RATIO = 1.35  # of the time without LoRAs, for eight in eight rows
TEXT = (32, 192)
# What most LoRAs change: attention, and the first convolution of each block.
_LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj", "resnets.0.conv1", "resnets.1.conv1")


def run(*, full: bool) -> Result:
    """Measure. `full` repeats each call four times as often."""
    threads = torch.get_num_threads()
    unet = UNet2DConditionModel.from_pretrained(UNET).eval().requires_grad_(False)
    adapters = [_random_adapter(unet, seed=seed, rank=rank) for seed, rank in enumerate(RANKS)]
    try:
        # Its CPU time is that of the calling thread.
        torch.set_num_threads(1)
        with torch.inference_mode():
            least = _measure(unet, adapters, repetitions=60 if full else 15)
    finally:
        torch.set_num_threads(threads)
    bare = least["none"]
    figures = [Figure(name="8 rows without LoRAs", value=round(1000 * bare, 1), unit="ms")]
    for way, seconds in least.items():
        if way != "none":
            goal = LARGEST_RATIO if way == "8 in one call" else None
            figures.append(Figure(name=f"LoRAs: {way}", value=round(seconds / bare, 3), unit="times", goal=goal))
    return Result(figures=tuple(figures), detail={"seconds": least, "ranks": list(RANKS)})


def _measure(unet: Any, adapters: list[LoadedAdapter], *, repetitions: int) -> dict[str, float]:
    """Return the least seconds of each way."""
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(ROWS, 12, 16, 16, generator=generator)
    times = torch.linspace(999, 1, ROWS)
    text = torch.randn(ROWS, *TEXT, generator=generator)
    mixed = MixedLayers(twin_of(unet), part="unet")
    mixes: list[Mix] = [(WeightedAdapter(adapter=adapter, weight=0.8),) for adapter in adapters]

    def call(count: int) -> None:
        mixed.use([*mixes[:count], *[()] * (ROWS - count)])
        mixed.model(sample, times, text, return_dict=False)

    def call_each() -> None:
        for row, mix in enumerate(mixes):
            mixed.use([mix])
            mixed.model(sample[row : row + 1], times[row : row + 1], text[row : row + 1], return_dict=False)

    ways: dict[str, Callable[[], object]] = {"none": lambda: unet(sample, times, text, return_dict=False)}
    ways |= {f"{count} in one call": lambda count=count: call(count) for count in ADAPTERS}  # type: ignore[misc]
    ways["8, one call each"] = call_each
    for way in ways.values():
        way()
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(repetitions):
        for name, way in ways.items():
            began = time.thread_time()
            way()
            least[name] = min(least[name], time.thread_time() - began)
    return least


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
