"""Train the demo model's decoder and encoder: `python -m demo_model.train_decoder --minutes 20`.

The decoder learns from crops to draw at 512x512 what the latents hold as 32x32. The encoder learns the opposite, which
image to image needs. Prompts play no part. It resumes from the checkpoint in `--work` and stops cleanly on SIGTERM.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from tqdm import tqdm

from . import architecture, scenes
from .drawing import draw_scene
from .train_unet import latents_of_images
from .training import Progress, argument_parser, write_checkpoint

PX_PER_LATENT = 32
LATENTS = 16  # to a side of an image
CROP = 6  # latents to a side of a crop
# Latents along the sides of a crop whose surroundings the decoder cannot see. They count only where the image ends.
UNSEEN_EDGE = 2
LARGE_PX = 512
EDGE_WEIGHT = 8.0  # how much more a pixel counts near an edge: most of an image is flat, and easily right
EDGE_CELL_PX = 8  # the size of the cells in which edges are searched; the cells beside one count as well
CHECKPOINT_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """latents (12, CROP, CROP), target (3, h, w) in -1..1, visible (1, h, w): 1 where the pixel counts."""

    latents: torch.Tensor
    target: torch.Tensor
    visible: torch.Tensor


def scene_pair(rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """Return the same scene at 32x32 and at 512x512."""
    scene = scenes.random_scene(rng)
    large = draw_scene(scene, LARGE_PX, oversample=2)
    return np.array(draw_scene(scene, architecture.SMALL)), np.array(large)


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """Return (height, width, 3) bytes as (3, height, width) in -1..1."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 127.5 - 1


def pixel_weights(target: torch.Tensor) -> torch.Tensor:
    """Return how much each pixel of (n, 3, h, w) in -1..1 counts, as (n, 1, h, w)."""
    low, high = -functional.max_pool2d(-target, EDGE_CELL_PX), functional.max_pool2d(target, EDGE_CELL_PX)
    contrast = functional.max_pool2d((high - low).amax(1, keepdim=True) / 2, 3, 1, 1)
    return 1 + EDGE_WEIGHT * functional.interpolate(contrast, scale_factor=EDGE_CELL_PX)


def crop_pair(latents: torch.Tensor, large: np.ndarray, rng: random.Random) -> Crop:
    """Return a random crop of both. Pixels in the middle of an image are in more crops than those at its border."""
    end = LATENTS - CROP
    left, top = (rng.randrange(end + 1) for _ in range(2))
    rows = slice(top * PX_PER_LATENT, (top + CROP) * PX_PER_LATENT)
    columns = slice(left * PX_PER_LATENT, (left + CROP) * PX_PER_LATENT)
    visible = torch.ones(1, CROP * PX_PER_LATENT, CROP * PX_PER_LATENT)
    unseen = UNSEEN_EDGE * PX_PER_LATENT // 2
    if top > 0:
        visible[:, :unseen] = 0.0
    if top < end:
        visible[:, -unseen:] = 0.0
    if left > 0:
        visible[:, :, :unseen] = 0.0
    if left < end:
        visible[:, :, -unseen:] = 0.0
    return Crop(
        latents=latents[:, top : top + CROP, left : left + CROP],
        target=to_tensor(large[rows, columns]),
        visible=visible,
    )


def decoder_loss(vae: Any, crops: list[Crop], *, step: int) -> torch.Tensor:
    noise = torch.Generator().manual_seed(step)
    inputs = torch.stack([crop.latents for crop in crops])
    # The UNet's latents always contain a little noise.
    level = 0.08 * torch.rand(len(inputs), 1, 1, 1, generator=noise)
    inputs = inputs + level * torch.randn(inputs.shape, generator=noise)
    target = torch.stack([crop.target for crop in crops])
    counts = torch.stack([crop.visible for crop in crops]) * pixel_weights(target)
    with torch.autocast("cpu", torch.bfloat16):
        drawn = vae.decoder(inputs)
    off = (drawn.float() - target).abs()
    return ((off + off.square()) * counts).sum() / (3 * counts.sum())


def encoder_loss(vae: Any, large: np.ndarray, latents: torch.Tensor) -> torch.Tensor:
    """Return the loss for one whole image (512, 512, 3) and its latents (12, 16, 16)."""
    with torch.autocast("cpu", torch.bfloat16):
        encoded = vae.encoder(to_tensor(large)[None])
    return functional.mse_loss(encoded.float(), latents[None])


def step_loss(vae: Any, *, step: int, size: int, seed: int) -> torch.Tensor:
    """Return the loss of one step, whose data follow from the seed. Every second step trains the encoder too."""
    rng = random.Random(seed * 1_000_003 + step)
    crops, first = [], None
    for _ in range(size):
        small, large = scene_pair(rng)
        latents = latents_of_images(small[None])[0]
        crops.append(crop_pair(latents, large, rng))
        first = first or (large, latents)
    loss = decoder_loss(vae, crops, step=step)
    if step % 2 == 0 and first is not None:
        loss = loss + encoder_loss(vae, *first)
    return loss


def learning_rate_factor(step: int, share: float) -> float:
    """Return the part of the full learning rate: a short rise, a level, a fall over the last 60 %."""
    return min(1.0, (step + 1) / 50) * max(0.02, min(1.0, (1 - share) / 0.6))


def save_samples(vae: Any, options: argparse.Namespace, progress: Progress) -> None:
    """Draw four scenes into decoder.png, and print both losses."""
    rng = random.Random(1)
    pairs = [scene_pair(rng) for _ in range(4)]
    with torch.no_grad():
        latents = latents_of_images(np.stack([small for small, _ in pairs]))
        drawn = vae.decode(latents).sample.clamp(-1, 1)
        large = torch.stack([to_tensor(large) for _, large in pairs])
        error = functional.mse_loss(vae.encode(large).latents, latents).item()
    images = ((drawn + 1) * 127.5).byte().permute(0, 2, 3, 1).numpy()
    Image.fromarray(np.concatenate(list(images), axis=1)).save(options.work / "decoder.png")
    print(
        f"\nstep {progress.step} loss {progress.loss:.5f} encoder {error:.5f} after {progress.elapsed_s:.0f} s",
        flush=True,
    )


def main(arguments: list[str] | None = None) -> None:
    options = argument_parser(__doc__, steps=2500, batch=8, rate=2e-3).parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    vae = architecture.make_components(options.seed)["vae"]
    optimizer = torch.optim.AdamW(vae.parameters(), lr=options.rate, betas=(0.9, 0.98), weight_decay=0.0)
    step, checkpoint = 0, options.work / "decoder.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        step = state["step"]
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
    progress = Progress(step=step, steps=options.steps, minutes=options.minutes)

    def save() -> None:
        state = {"step": progress.step, "vae": vae.state_dict(), "optimizer": optimizer.state_dict()}
        write_checkpoint(state, checkpoint)
        save_samples(vae, options, progress)

    bar = tqdm(total=options.steps, initial=step, mininterval=5, smoothing=0.05)
    while not progress.is_over:
        loss = step_loss(vae, step=progress.step, size=options.batch, seed=options.seed)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = options.rate * learning_rate_factor(progress.step, progress.share)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        progress.note_step(loss.item())
        bar.update()
        bar.set_postfix(loss=f"{progress.loss:.5f}", refresh=False)
        if progress.step % CHECKPOINT_STEPS == 0:
            save()
    save()


if __name__ == "__main__":
    main()
