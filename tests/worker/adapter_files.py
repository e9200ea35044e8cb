"""Adapters with seeded random weights for the tiny model, in the formats that people share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

LINEAR = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "time_emb_proj")
WITH_CONVOLUTIONS = (*LINEAR, "conv1", "conv2", "conv_in", "conv_out", "conv")
STRENGTH = 0.15


def pairs(
    model: torch.nn.Module, *, seed: int, rank: int, targets: Sequence[str] = WITH_CONVOLUTIONS
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return a down and an up half for each layer whose name ends with one of the targets."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return STRENGTH * torch.randn(shape, generator=generator)

    found = {}
    for name, layer in model.named_modules():
        if not name.endswith(tuple(targets)):
            continue
        if isinstance(layer, torch.nn.Linear):
            found[name] = draw(rank, layer.in_features), draw(layer.out_features, rank)
        elif isinstance(layer, torch.nn.Conv2d):
            found[name] = draw(rank, layer.in_channels, *layer.kernel_size), draw(layer.out_channels, rank, 1, 1)
    return found


def save_diffusers(path: Path, model: torch.nn.Module, *, seed: int, rank: int, **options: Any) -> Path:
    """Write what `save_lora_weights` of diffusers writes for the UNet."""
    tensors = {}
    for name, (down, up) in pairs(model, seed=seed, rank=rank, **options).items():
        tensors |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
    save_file(tensors, path)
    return path


def save_kohya(
    path: Path, model: torch.nn.Module, *, seed: int, rank: int, alpha: float, prefix: str = "lora_unet", **options: Any
) -> Path:
    """Write what kohya's training scripts write."""
    tensors = {}
    for name, (down, up) in pairs(model, seed=seed, rank=rank, **options).items():
        flat = f"{prefix}_{name.replace('.', '_')}"
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        tensors[f"{flat}.alpha"] = torch.tensor(alpha)
    save_file(tensors, path, metadata={"ss_network_dim": str(rank), "ss_output_name": "a style"})
    return path
