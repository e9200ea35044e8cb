"""Train the demo model's text encoder and UNet: `python -m demo_model.train_unet --minutes 60`.

Resumable: it goes on from the folder `--work` if that holds a checkpoint, and stops cleanly on SIGTERM. The checkpoint
is the averaged and the raw weights, both optimizers' and the number of the step, from which its data follow.
"""

from __future__ import annotations

import argparse
import math
import random
import signal
import time
from collections.abc import Iterator
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

LATE = 0.8  # of all steps
CAPTION_DROPPED = 0.1  # how often the caption is left out, for guidance
EDGE_WEIGHT = 4.0  # how much more a pixel counts where colours meet: that tenth of the picture tells the shape
OFFSET_NOISE = 0.07  # one colour over the whole picture: the mean colour is to come from the words, not from the noise


def latents_of(pictures: np.ndarray) -> torch.Tensor:
    """(n, 32, 32, 3) bytes to (n, 12, 16, 16) in -1..1."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return functional.pixel_unshuffle(values, 2)


def picture_of(latents: torch.Tensor) -> np.ndarray:
    """(n, 12, h, w) to the (n, 2h, 2w, 3) bytes that they hold."""
    values = functional.pixel_shuffle(latents.float(), 2).permute(0, 2, 3, 1)
    return ((values + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def batch(step: int, *, size: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """The scenes of a step, none of them among those that measuring asks for."""
    chance = random.Random(seed * 1_000_003 + step)
    pictures, captions = [], []
    for _ in range(size):
        scene = scenes.invent(chance)
        while scenes.held_out(scene):
            scene = scenes.invent(chance)
        pictures.append(np.asarray(scenes.draw(scene, architecture.SMALL)))
        captions.append(
            "" if chance.random() < CAPTION_DROPPED else scenes.word(scene, chance, plain=chance.random() < 0.4)
        )
    return np.stack(pictures), captions


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal (Jordan 2024); kernels count as matrices of (out, in * k * k)."""

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
                update = orthogonal(update) * max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view_as(weight), alpha=-group["lr"])


def orthogonal(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest half-orthogonal matrix, roughly, by Newton and Schulz's iteration."""
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.T if tall else x).float()


def optimizers(parts: dict[str, Any], *, rate: float, muon: bool) -> list[torch.optim.Optimizer]:
    """Muon for the UNet's inner matrices and kernels, AdamW for all else."""
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


def pace(step: int, done: float) -> float:
    """The part of the full learning rate: a short rise, a level, a long fall. `done` runs from 0 to 1."""
    if step < 100:
        return step / 100
    return max(0.01, 0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0.0, (done - 0.25) / 0.75))))


def sheet(parts: dict[str, Any], tokens: CLIPTokenizer, path: Path) -> None:
    """A picture of what the averaged weights draw at 32x32 for some captions."""
    captions = [
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
        *(
            "a sunset",
            "a house",
            "a tree",
            "a cat",
            "a fish",
            "mountains",
            "a night sky",
            "a smiling face",
            "a rainbow",
        ),
        *("a snowman", "a red and white checkerboard", "a gradient from orange to purple"),
    ]
    rows = picture_of(sample(parts, tokens, captions)).repeat(4, 1).repeat(4, 2)
    grid = rows.reshape(4, 6, 128, 128, 3).transpose(0, 2, 1, 3, 4).reshape(512, 768, 3)
    Image.fromarray(grid).save(path)


@torch.no_grad()
def sample(
    parts: dict[str, Any],
    tokens: CLIPTokenizer,
    captions: list[str],
    *,
    steps: int = 16,
    guidance: float = 4.0,
    seed: int = 0,
) -> torch.Tensor:
    """Latents by DDIM."""
    scheduler = architecture.scheduler()
    scheduler.set_timesteps(steps)
    count = len(captions)
    states = parts["text_encoder"](ids(tokens, captions + [""] * count)).last_hidden_state
    latents = torch.randn(count, architecture.LATENT_CHANNELS, 16, 16, generator=torch.Generator().manual_seed(seed))
    for moment in scheduler.timesteps:
        told, free = parts["unet"](torch.cat([latents, latents]), moment, states).sample.chunk(2)
        latents = scheduler.step(free + guidance * (told - free), moment, latents).prev_sample
    return latents


def ids(tokens: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    return tokens(
        captions, padding="max_length", truncation=True, max_length=architecture.TOKENS, return_tensors="pt"
    ).input_ids


def noise_levels(size: int, chance: torch.Generator, *, late: bool) -> torch.Tensor:
    """A third of the steps anywhere, the rest among the noisy ones, where the words decide what is drawn.

    Measured with captions that name another shape: the loss tells them apart from 300 on, and colours from 600 on.
    Late in the training half of the steps are for what remains then: pictures without grain.
    """
    clear = torch.randint(0, 400 if late else 1000, (size,), generator=chance)
    noisy = torch.randint(300, 1000, (size,), generator=chance)
    return torch.where(torch.rand(size, generator=chance) < (1 / 2 if late else 1 / 3), clear, noisy)


def weights(pictures: np.ndarray) -> torch.Tensor:
    """(n, 32, 32, 3) bytes to (n, 12, 16, 16): how much each value of the latents counts, 1 on average."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    contrast = functional.max_pool2d(values, 3, 1, 1) + functional.max_pool2d(-values, 3, 1, 1)
    weight = 1 + EDGE_WEIGHT * contrast.amax(1, keepdim=True)
    return functional.pixel_unshuffle((weight / weight.mean()).repeat(1, 3, 1, 1), 2)


def losses(
    parts: dict[str, Any], tokens: CLIPTokenizer, *, size: int, seed: int, first: int, last: int
) -> Iterator[torch.Tensor]:
    """The loss of each step, from `first` on; the last fifth before `last` is late."""
    kept = architecture.scheduler().alphas_cumprod
    step = first
    while True:
        pictures, captions = batch(step, size=size, seed=seed)
        chance = torch.Generator().manual_seed(seed * 1_000_003 + step)
        latents = latents_of(pictures)
        noise = torch.randn(latents.shape, generator=chance)
        noise += OFFSET_NOISE * torch.randn(size, 3, 1, 1, generator=chance).repeat_interleave(4, dim=1)
        moments = noise_levels(size, chance, late=step >= LATE * last)
        signal_part = kept[moments].sqrt().view(-1, 1, 1, 1)
        noise_part = (1 - kept[moments]).sqrt().view(-1, 1, 1, 1)
        with torch.autocast("cpu", torch.bfloat16):
            states = parts["text_encoder"](ids(tokens, captions)).last_hidden_state
            guess = parts["unet"](signal_part * latents + noise_part * noise, moments, states).sample
        off = guess.float() - (signal_part * noise - noise_part * latents)
        yield (weights(pictures) * off.square()).mean()
        step += 1


def main(arguments: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--work", type=Path, default=Path(".local/demo_model"), help="checkpoints and sample sheets")
    ask.add_argument("--steps", type=int, default=4000)
    ask.add_argument(
        "--minutes", type=float, default=1e9, help="be done after so many; without it the seed decides all"
    )
    ask.add_argument("--batch", type=int, default=64)
    ask.add_argument("--rate", type=float, default=1.5e-3)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--sheet-every", type=int, default=250)
    ask.add_argument("--no-muon", action="store_true")
    asked = ask.parse_args(arguments)
    asked.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(asked.threads)

    parts = architecture.components(asked.seed)
    tokens, trained = parts["tokenizer"], {"unet": parts["unet"], "text_encoder": parts["text_encoder"]}
    averaged = architecture.components(asked.seed)
    # On a CPU the plain form is the faster one at these sizes.
    parts["unet"].set_attn_processor(AttnAddedKVProcessor())
    steppers = optimizers(trained, rate=asked.rate, muon=not asked.no_muon)
    full = [[group["lr"] for group in stepper.param_groups] for stepper in steppers]
    step, saved = 0, asked.work / "train.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        step = state["step"]
        for name, part in trained.items():
            part.load_state_dict(state["raw"][name])
            averaged[name].load_state_dict(state["averaged"][name])
        for stepper, held in zip(steppers, state["optimizers"], strict=True):
            stepper.load_state_dict(held)

    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    def keep() -> None:
        partial = saved.with_suffix(".partial")
        torch.save(
            {
                "step": step,
                "raw": {name: part.state_dict() for name, part in trained.items()},
                "averaged": {name: averaged[name].state_dict() for name in trained},
                "optimizers": [stepper.state_dict() for stepper in steppers],
            },
            partial,
        )
        partial.replace(saved)
        sheet(averaged, tokens, asked.work / f"sheet-{step:06d}.png")

    started, shown = time.monotonic(), 0.0
    bar = tqdm(total=asked.steps, initial=step, mininterval=5, smoothing=0.05)
    for loss in losses(trained, tokens, size=asked.batch, seed=asked.seed, first=step, last=asked.steps):
        loss.backward()
        for part in trained.values():
            nn.utils.clip_grad_norm_(part.parameters(), 1.0, foreach=True)
        done = max(step / asked.steps, (time.monotonic() - started) / (60 * asked.minutes))
        for stepper, rates in zip(steppers, full, strict=True):
            for group, rate in zip(stepper.param_groups, rates, strict=True):
                group["lr"] = rate * pace(step, done)
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        step += 1
        decay = min(0.997, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, part in trained.items():
                theirs = list(part.parameters())
                torch._foreach_lerp_(list(averaged[name].parameters()), theirs, 1 - decay)
        shown = loss.item() if not shown else shown * 0.98 + 0.02 * loss.item()
        bar.update()
        bar.set_postfix(loss=f"{shown:.4f}", refresh=False)
        over = stopping or step >= asked.steps or time.monotonic() - started > 60 * asked.minutes
        if over or step % asked.sheet_every == 0:
            keep()
            print(f"\nstep {step} loss {shown:.4f} after {time.monotonic() - started:.0f} s", flush=True)
        if over:
            break


if __name__ == "__main__":
    main()
