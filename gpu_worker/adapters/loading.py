"""Loads an adapter's file for a pipeline: checked, converted, and on the device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from guilds.adapter_files import InvalidAdapter, read_header

from .layer_names import PairTensors, resolve
from .low_rank import AdapterUnusable, LoadedAdapter, LowRankPair


def load(path: Path, pipe: Any, *, key: str) -> LoadedAdapter:
    """Return the adapter in a safetensors file, in the number format and on the device of each layer.

    Raises:
        AdapterUnusable: the file or its numbers cannot be used, or it is for another model.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file, size=path.stat().st_size)
        with safe_open(path, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a mapping
    except InvalidAdapter as error:
        raise AdapterUnusable(str(error)) from error
    except (OSError, SafetensorError) as error:
        raise AdapterUnusable(f"the file cannot be read: {type(error).__name__}") from error
    resolved = resolve(pipe, tensors, header.metadata)
    pairs = {
        part: {layer: _pair(getattr(pipe, part).get_submodule(layer), layer, found) for layer, found in layers.items()}
        for part, layers in resolved.pairs.items()
    }
    return LoadedAdapter(key=key, pairs=pairs, bytes=_bytes(pairs))


def _pair(layer: nn.Module, name: str, found: PairTensors) -> LowRankPair:
    down, up = found.down, found.up
    if down is None or up is None:
        raise AdapterUnusable(f"the layer {name} has half of a pair only")
    assert isinstance(layer, nn.Linear | nn.Conv2d)  # noqa: S101  # layer_names finds no others
    rank = len(down)
    if isinstance(layer, nn.Linear):
        down_shape: tuple[int, ...] = (rank, layer.in_features)
        outputs = layer.out_features
    else:
        if layer.groups != 1 or layer.padding_mode != "zeros":
            raise AdapterUnusable(f"the layer {name} is a convolution that takes no LoRA")
        down_shape = (rank, layer.in_channels, *layer.kernel_size)
        outputs = layer.out_channels
    # A convolution of 1x1 is a linear layer, and files store either as the other.
    if down.numel() != _count(down_shape) or up.numel() != outputs * rank:
        shapes = f"{tuple(up.shape)} x {tuple(down.shape)}"
        raise AdapterUnusable(f"the layer {name} has another size than {shapes}: it is for another model")
    scale = 1.0 if found.alpha is None else found.alpha / rank
    device, dtype = layer.weight.device, _dtype(layer)
    pair = LowRankPair(
        down=down.reshape(down_shape).to(device, dtype), up=up.reshape(outputs, rank).to(device, dtype), scale=scale
    )
    if not bool(torch.isfinite(pair.down).all() & torch.isfinite(pair.up).all()) or not abs(scale) < 1e4:
        raise AdapterUnusable(f"the layer {name} has numbers that are not finite")
    return pair


def _dtype(layer: nn.Linear | nn.Conv2d) -> torch.dtype:
    """Return the number format that the layer computes in; quantized weights have another one themselves."""
    dtype = layer.weight.dtype
    return dtype if dtype.is_floating_point and dtype.itemsize > 1 else torch.get_default_dtype()


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


def _bytes(pairs: Mapping[str, Mapping[str, LowRankPair]]) -> int:
    return sum(
        tensor.numel() * tensor.element_size()
        for layers in pairs.values()
        for pair in layers.values()
        for tensor in (pair.down, pair.up)
    )
