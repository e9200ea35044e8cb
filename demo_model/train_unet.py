"""Train the demo model's text encoder and UNet: `python -m demo_model.train_unet --minutes 60`.

It resumes from the checkpoint in `--work` and stops cleanly on SIGTERM. The checkpoint holds the averaged and the raw
weights, the optimizers' states and the number of the step, from which its data follow.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnAddedKVProcessor
from PIL import Image
from torch import nn
from torch.nn import functional
from tqdm import tqdm
from transformers import CLIPTokenizer

from . import architecture, scenes
from .captions import write_caption
from .drawing import draw_scene
from .training import Progress, argument_parser, write_checkpoint

LATE_SHARE = 0.8  # the share of the steps after which training is late
DROPPED_CAPTIONS = 0.1  # how often the caption is left out, for guidance
EDGE_WEIGHT = 4.0  # how much more a pixel counts where colours meet: that tenth of the image shows the shape
OFFSET_NOISE = 0.07  # one colour over the whole image: its mean colour must come from the caption, not from the noise
SAMPLE_CAPTIONS = (
    "a red circle on a blue background",
    "a green star on a white background",
    "a yellow heart on a purple background",
    "a blue square on a yellow background",
    "a black ring on a pink background",
    "a white cross on a red background",
    "an orange diamond on a black background",
    "a large purple triangle on a white background",
    "a red circle left of a blue square on a white background",
    "a green star above a yellow heart on a black background",
    "a pink ring right of a white triangle on a green background",
    "a blue diamond below an orange cross on a gray background",
    "a sunset",
    "a house",
    "a tree",
    "a cat",
    "a fish",
    "mountains",
    "a night sky",
    "a smiling face",
    "a rainbow",
    "a snowman",
    "a red and white checkerboard",
    "a gradient from orange to purple",
)


def latents_of_images(images: np.ndarray) -> torch.Tensor:
    """Return (n, 32, 32, 3) bytes as latents (n, 12, 16, 16) in -1..1."""
    values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    return functional.pixel_unshuffle(values, 2)


def images_of_latents(latents: torch.Tensor) -> np.ndarray:
    """Return latents (n, 12, h, w) as the (n, 2h, 2w, 3) bytes that they hold."""
    values = functional.pixel_shuffle(latents.float(), 2).permute(0, 2, 3, 1)
    return ((values + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def make_batch(step: int, *, size: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return the images and captions of a step. None of the scenes is among those that are held out for measuring."""
    rng = random.Random(seed * 1_000_003 + step)
    images, captions = [], []
    for _ in range(size):
        scene = scenes.random_scene(rng)
        while scenes.is_held_out(scene):
            scene = scenes.random_scene(rng)
        images.append(np.asarray(draw_scene(scene, architecture.SMALL)))
        captions.append("" if rng.random() < DROPPED_CAPTIONS else write_caption(scene, rng, plain=rng.random() < 0.4))
    return np.stack(images), captions


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal (Jordan 2024). Kernels count as matrices of (out, in * k * k)."""

    def __init__(
        self, params: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                moving = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(moving, group["momentum"]).flatten(1)
                update = orthogonalize(update) * max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view_as(weight), alpha=-group["lr"])


def orthogonalize(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Return roughly the nearest semi-orthogonal matrix, by the Newton-Schulz iteration."""
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.T if tall else x).float()


def make_optimizers(parts: dict[str, Any], *, rate: float, muon: bool) -> list[torch.optim.Optimizer]:
    """Return Muon for the UNet's inner matrices and kernels, and AdamW for all else."""
    inner: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    words = list(parts["text_encoder"].parameters())
    for name, weight in parts["unet"].named_parameters():
        outer = name.startswith(("conv_in", "conv_out")) or weight.ndim < 2
        (rest if outer or not muon else inner).append(weight)
    adam = torch.optim.AdamW(
        [{"params": rest, "lr": rate}, {"params": words, "lr": rate}], betas=(0.9, 0.98), weight_decay=0.01
    )
    return [adam, Muon(inner, lr=0.02)] if inner else [adam]


def learning_rate_factor(step: int, share: float) -> float:
    """Return the part of the full learning rate: a short rise, a level, a long fall. `share`: what is over."""
    if step < 100:
        return step / 100
    return max(0.01, 0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0.0, (share - 0.25) / 0.75))))


def save_samples(parts: dict[str, Any], tokenizer: CLIPTokenizer, path: Path) -> None:
    """Write an image of what the averaged weights draw at 32x32 for SAMPLE_CAPTIONS."""
    rows = images_of_latents(sample_latents(parts, tokenizer, list(SAMPLE_CAPTIONS))).repeat(4, 1).repeat(4, 2)
    grid = rows.reshape(4, 6, 128, 128, 3).transpose(0, 2, 1, 3, 4).reshape(512, 768, 3)
    Image.fromarray(grid).save(path)


@torch.no_grad()
def sample_latents(
    parts: dict[str, Any],
    tokenizer: CLIPTokenizer,
    captions: list[str],
    *,
    steps: int = 16,
    guidance: float = 4.0,
    seed: int = 0,
) -> torch.Tensor:
    """Return latents for the captions, by DDIM."""
    scheduler = architecture.make_scheduler()
    scheduler.set_timesteps(steps)
    count = len(captions)
    states = parts["text_encoder"](tokenize(tokenizer, captions + [""] * count)).last_hidden_state
    latents = torch.randn(count, architecture.LATENT_CHANNELS, 16, 16, generator=torch.Generator().manual_seed(seed))
    for timestep in scheduler.timesteps:
        text, uncond = parts["unet"](torch.cat([latents, latents]), timestep, states).sample.chunk(2)
        latents = scheduler.step(uncond + guidance * (text - uncond), timestep, latents).prev_sample
    return latents


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    return tokenizer(
        captions, padding="max_length", truncation=True, max_length=architecture.TOKENS, return_tensors="pt"
    ).input_ids


def sample_timesteps(size: int, rng: torch.Generator, *, late: bool) -> torch.Tensor:
    """Return the timesteps to train: a third of them from all, the rest from the noisy ones.

    At noisy timesteps the caption decides what is drawn. Measured with captions that name another shape: the loss tells
    shapes apart from 300 on, and colours from 600 on. Late in the training half of the timesteps are clear ones, which
    remove grain.
    """
    clear = torch.randint(0, 400 if late else 1000, (size,), generator=rng)
    noisy = torch.randint(300, 1000, (size,), generator=rng)
    return torch.where(torch.rand(size, generator=rng) < (1 / 2 if late else 1 / 3), clear, noisy)


def pixel_weights(images: np.ndarray) -> torch.Tensor:
    """Return how much each latent value of (n, 32, 32, 3) bytes counts, as (n, 12, 16, 16), 1 on average."""
    values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    contrast = functional.max_pool2d(values, 3, 1, 1) + functional.max_pool2d(-values, 3, 1, 1)
    weight = 1 + EDGE_WEIGHT * contrast.amax(1, keepdim=True)
    return functional.pixel_unshuffle((weight / weight.mean()).repeat(1, 3, 1, 1), 2)


def step_losses(
    parts: dict[str, Any],
    tokenizer: CLIPTokenizer,
    *,
    size: int,
    seed: int,
    first: int,
    last: int,
    paint: Callable[[np.ndarray], np.ndarray] = lambda images: images,
) -> Iterator[torch.Tensor]:
    """Yield the loss of each step, from `first` on. The last fifth before `last` is late.

    `paint` changes the style of the images (n, height, width, 3) that are to be learned.
    """
    alphas = architecture.make_scheduler().alphas_cumprod
    step = first
    while True:
        images, captions = make_batch(step, size=size, seed=seed)
        images = paint(images)
        rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
        latents = latents_of_images(images)
        noise = torch.randn(latents.shape, generator=rng)
        noise += OFFSET_NOISE * torch.randn(size, 3, 1, 1, generator=rng).repeat_interleave(4, dim=1)
        timesteps = sample_timesteps(size, rng, late=step >= LATE_SHARE * last)
        signal_part = alphas[timesteps].sqrt().view(-1, 1, 1, 1)
        noise_part = (1 - alphas[timesteps]).sqrt().view(-1, 1, 1, 1)
        with torch.autocast("cpu", torch.bfloat16):
            states = parts["text_encoder"](tokenize(tokenizer, captions)).last_hidden_state
            predicted = parts["unet"](signal_part * latents + noise_part * noise, timesteps, states).sample
        off = predicted.float() - (signal_part * noise - noise_part * latents)
        yield (pixel_weights(images) * off.square()).mean()
        step += 1


class Training:
    """The parts that are trained, their averaged copy, and the optimizers."""

    def __init__(self, *, seed: int, rate: float, use_muon: bool) -> None:
        parts = architecture.make_components(seed)
        self.tokenizer: CLIPTokenizer = parts["tokenizer"]
        self.trained = {"unet": parts["unet"], "text_encoder": parts["text_encoder"]}
        self.averaged = architecture.make_components(seed)
        # On a CPU the plain attention is the faster one at these sizes.
        parts["unet"].set_attn_processor(AttnAddedKVProcessor())
        self._optimizers = make_optimizers(self.trained, rate=rate, muon=use_muon)
        self._full_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self._optimizers]

    def load(self, path: Path) -> int:
        """Load a checkpoint and return its step; 0 where there is none."""
        if not path.exists():
            return 0
        state = torch.load(path, weights_only=True)
        for name, part in self.trained.items():
            part.load_state_dict(state["raw"][name])
            self.averaged[name].load_state_dict(state["averaged"][name])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return int(state["step"])

    def save(self, path: Path, *, step: int) -> None:
        state = {
            "step": step,
            "raw": {name: part.state_dict() for name, part in self.trained.items()},
            "averaged": {name: self.averaged[name].state_dict() for name in self.trained},
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }
        write_checkpoint(state, path)

    def apply(self, loss: torch.Tensor, *, rate_factor: float) -> None:
        """Do one step of the optimizers."""
        loss.backward()
        for part in self.trained.values():
            nn.utils.clip_grad_norm_(part.parameters(), 1.0, foreach=True)
        for optimizer, rates in zip(self._optimizers, self._full_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * rate_factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Move the averaged weights toward the trained ones."""
        decay = min(0.997, (1 + step) / (10 + step))
        for name, part in self.trained.items():
            torch._foreach_lerp_(list(self.averaged[name].parameters()), list(part.parameters()), 1 - decay)


def main(arguments: list[str] | None = None) -> None:
    parser = argument_parser(__doc__, steps=4000, batch=64, rate=1.5e-3)
    parser.add_argument("--sheet-every", type=int, default=250)
    parser.add_argument("--no-muon", action="store_true")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    training = Training(seed=options.seed, rate=options.rate, use_muon=not options.no_muon)
    checkpoint = options.work / "train.pt"
    step = training.load(checkpoint)
    progress = Progress(step=step, steps=options.steps, minutes=options.minutes)
    bar = tqdm(total=options.steps, initial=step, mininterval=5, smoothing=0.05)
    losses = step_losses(
        training.trained, training.tokenizer, size=options.batch, seed=options.seed, first=step, last=options.steps
    )
    for loss in losses:
        training.apply(loss, rate_factor=learning_rate_factor(progress.step, progress.share))
        progress.note_step(loss.item())
        training.average(progress.step)
        bar.update()
        bar.set_postfix(loss=f"{progress.loss:.4f}", refresh=False)
        is_over = progress.is_over
        if is_over or progress.step % options.sheet_every == 0:
            training.save(checkpoint, step=progress.step)
            save_samples(training.averaged, training.tokenizer, options.work / f"sheet-{progress.step:06d}.png")
            print(f"\nstep {progress.step} loss {progress.loss:.4f} after {progress.elapsed_s:.0f} s", flush=True)
        if is_over:
            break


if __name__ == "__main__":
    main()
