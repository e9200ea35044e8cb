"""Train one of the demo's adapters (LoRA): `python -m demo_model.train_adapter night`, a few minutes on a CPU.

The demo model stays as it is; low-rank pairs beside its layers learn to draw the same scenes in another style. The file
has diffusers' names and is written to demo_model/adapters. The seed decides all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import AttnAddedKVProcessor
from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm

from . import architecture, train_unet
from .training import Progress, argument_parser

ADAPTERS = Path(__file__).parent / "adapters"
RANK = 4
_LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj", "conv1", "conv2", "conv_in", "conv_out")


def paint_night(images: np.ndarray) -> np.ndarray:
    """Return images (n, height, width, 3) as they look at night: dark blue, and only bright parts keep some colour."""
    values = images.astype(np.float32) / 255
    light = values @ np.array([0.3, 0.59, 0.11], np.float32)
    night = np.stack([0.05 + 0.30 * light**2, 0.06 + 0.38 * light**1.5, 0.22 + 0.62 * light], axis=-1)
    return ((0.8 * night + 0.2 * values * light[..., None]) * 255).round().clip(0, 255).astype(np.uint8)


def paint_sketch(images: np.ndarray) -> np.ndarray:
    """Return images (n, height, width, 3) as pencil lines on paper: dark where colours meet."""
    values = images.astype(np.float32) / 255
    padded = np.pad(values, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    edges = np.abs(padded[:, 1:, :-1] - values).max(-1) + np.abs(padded[:, :-1, 1:] - values).max(-1)
    light = values @ np.array([0.3, 0.59, 0.11], np.float32)
    grey = (0.82 + 0.15 * light) * (1 - 0.85 * np.clip(1.5 * edges, 0, 1))
    paper = grey[..., None] * np.array([1.0, 0.98, 0.93], np.float32)
    return (paper * 255).round().clip(0, 255).astype(np.uint8)


STYLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"night": paint_night, "sketch": paint_sketch}


class LowRankPairs:
    """Low-rank pairs beside the UNet's layers, added to what these return."""

    def __init__(self, unet: nn.Module, *, seed: int) -> None:
        torch.manual_seed(seed)
        self._pairs: dict[str, tuple[nn.Module, nn.Module]] = {}
        for name, layer in unet.named_modules():
            if name.endswith(_LAYERS) and isinstance(layer, nn.Linear | nn.Conv2d):
                self._pairs[name] = down, up = _pair(layer)
                layer.register_forward_hook(lambda _, inputs, out, down=down, up=up: out + up(down(inputs[0])))

    def parameters(self) -> list[nn.Parameter]:
        return [weight for pair in self._pairs.values() for half in pair for weight in half.parameters()]

    def save(self, path: Path, *, style: str) -> None:
        """Write the pairs in half precision."""
        tensors = {}
        for name, (down, up) in self._pairs.items():
            for half, layer in (("lora_A", down), ("lora_B", up)):
                weight = layer.get_parameter("weight").detach()
                tensors[f"unet.{name}.{half}.weight"] = weight.to(torch.float16).contiguous()
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path, metadata={"format": "pt", "title": style, "license": "MIT", "base": "demo_model"})


def _pair(layer: nn.Linear | nn.Conv2d) -> tuple[nn.Module, nn.Module]:
    down: nn.Module
    up: nn.Module
    if isinstance(layer, nn.Linear):
        down = nn.Linear(layer.in_features, RANK, bias=False)
        up = nn.Linear(RANK, layer.out_features, bias=False)
    else:
        # The layers of the demo's UNet have square kernels.
        down = nn.Conv2d(
            layer.in_channels, RANK, layer.kernel_size[0], layer.stride[0], int(layer.padding[0]), bias=False
        )
        up = nn.Conv2d(RANK, layer.out_channels, 1, bias=False)
    nn.init.zeros_(up.get_parameter("weight"))
    return down, up


def load_parts() -> dict[str, Any]:
    """Return the demo model's parts, which are not trained."""
    pipe = StableDiffusionPipeline.from_pretrained(architecture.PIPELINE)
    for part in (pipe.unet, pipe.text_encoder):
        part.requires_grad_(False)
    # On a CPU the plain attention is the faster one at these sizes.
    pipe.unet.set_attn_processor(AttnAddedKVProcessor())
    return {"unet": pipe.unet, "text_encoder": pipe.text_encoder, "tokenizer": pipe.tokenizer}


def main(arguments: list[str] | None = None) -> None:
    parser = argument_parser(__doc__, steps=600, batch=24, rate=2e-3)
    parser.add_argument("style", choices=sorted(STYLES))
    parser.add_argument("--out", type=Path, default=ADAPTERS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    parts = load_parts()
    pairs = LowRankPairs(parts["unet"], seed=options.seed)
    optimizer = torch.optim.AdamW(pairs.parameters(), lr=options.rate, betas=(0.9, 0.98), weight_decay=0.0)
    progress = Progress(step=0, steps=options.steps, minutes=options.minutes)
    losses = train_unet.step_losses(
        parts, parts["tokenizer"], size=options.batch, seed=options.seed, first=0, last=options.steps,
        paint=STYLES[options.style],
    )  # fmt: skip
    for loss in tqdm(losses, total=options.steps, mininterval=5):
        loss.backward()
        nn.utils.clip_grad_norm_(pairs.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = options.rate * train_unet.learning_rate_factor(progress.step, progress.share)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        progress.note_step(loss.item())
        if progress.is_over:
            break
    pairs.save(options.out / f"{options.style}.safetensors", style=options.style)
    options.work.mkdir(parents=True, exist_ok=True)
    sheet = options.work / f"adapter-{options.style}.png"
    train_unet.save_samples(parts, parts["tokenizer"], sheet)
    print(f"\nloss {progress.loss:.4f} after {progress.elapsed_s:.0f} s; samples in {sheet}", flush=True)


if __name__ == "__main__":
    main()
