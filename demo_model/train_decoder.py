"""Train the demo model's decoder and encoder: `python -m demo_model.train_decoder --minutes 20`.

The decoder learns to draw at 512x512 what the latents hold as 32x32, from crops; words have no part in it. The encoder
learns the way back, as image to image needs it.
"""

from __future__ import annotations

import argparse
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from tqdm import tqdm

from . import architecture, scenes
from .train_unet import latents_of

SCALE = 32  # pixels to a latent
CROP = 6  # latents to a side of a crop
EDGE = 2  # latents at a side of the crop whose surroundings the decoder does not see; kept out unless the picture ends
ENLARGED = 512
EDGE_WEIGHT = 8.0  # how much more a pixel counts near an edge: most of a picture is flat, and easily right
NEAR = 8  # pixels to a cell in which edges are looked for; a cell beside one counts as well


def scene_pair(chance: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """The same scene at 32x32 and at 512x512."""
    scene = scenes.invent(chance)
    large = scenes.draw(scene, ENLARGED, oversample=2)
    return np.array(scenes.draw(scene, architecture.SMALL)), np.array(large)


def weights(target: torch.Tensor) -> torch.Tensor:
    """(n, 3, h, w) in -1..1 to (n, 1, h, w): how much each pixel counts."""
    low, high = -functional.max_pool2d(-target, NEAR), functional.max_pool2d(target, NEAR)
    contrast = functional.max_pool2d((high - low).amax(1, keepdim=True) / 2, 3, 1, 1)
    return 1 + EDGE_WEIGHT * functional.interpolate(contrast, scale_factor=NEAR)


def main(arguments: list[str] | None = None) -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--work", type=Path, default=Path(".local/demo_model"))
    ask.add_argument("--steps", type=int, default=2500)
    ask.add_argument("--minutes", type=float, default=1e9)
    ask.add_argument("--batch", type=int, default=8)
    ask.add_argument("--rate", type=float, default=2e-3)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--threads", type=int, default=1)
    asked = ask.parse_args(arguments)
    asked.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(asked.threads)
    vae = architecture.components(asked.seed)["vae"]
    stepper = torch.optim.AdamW(vae.parameters(), lr=asked.rate, betas=(0.9, 0.98), weight_decay=0.0)
    step, saved = 0, asked.work / "decoder.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        step = state["step"]
        vae.load_state_dict(state["vae"])
        stepper.load_state_dict(state["optimizer"])
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    def keep() -> None:
        partial = saved.with_suffix(".partial")
        torch.save({"step": step, "vae": vae.state_dict(), "optimizer": stepper.state_dict()}, partial)
        partial.replace(saved)
        chance = random.Random(1)
        pairs = [scene_pair(chance) for _ in range(4)]
        with torch.no_grad():
            latents = latents_of(np.stack([small for small, _ in pairs]))
            drawn = vae.decode(latents).sample.clamp(-1, 1)
            large = torch.from_numpy(np.stack([large for _, large in pairs])).permute(0, 3, 1, 2).float() / 127.5 - 1
            error = functional.mse_loss(vae.encode(large).latents, latents).item()
        rows = ((drawn + 1) * 127.5).byte().permute(0, 2, 3, 1).numpy()
        Image.fromarray(np.concatenate([rows[0], rows[1], rows[2], rows[3]], axis=1)).save(asked.work / "decoder.png")
        print(
            f"\nstep {step} loss {shown:.5f} encoder {error:.5f} after {time.monotonic() - started:.0f} s", flush=True
        )

    started, shown = time.monotonic(), 0.0
    bar = tqdm(total=asked.steps, initial=step, mininterval=5, smoothing=0.05)
    while step < asked.steps and not stopping and time.monotonic() - started < 60 * asked.minutes:
        chance = random.Random(asked.seed * 1_000_003 + step)
        noise = torch.Generator().manual_seed(step)
        inputs, wanted, shown_parts, whole = [], [], [], []
        for number in range(asked.batch):
            small, large = scene_pair(chance)
            latents = latents_of(small[None])[0]
            # More crops at the middle, where the things are, yet the borders as well.
            left, top = (chance.randrange(16 - CROP + 1) for _ in range(2))
            inputs.append(latents[:, top : top + CROP, left : left + CROP])
            at = slice(top * SCALE, (top + CROP) * SCALE), slice(left * SCALE, (left + CROP) * SCALE)
            wanted.append(torch.from_numpy(large[at].copy()).permute(2, 0, 1).float() / 127.5 - 1)
            seen = torch.ones(1, CROP * SCALE, CROP * SCALE)
            inside = EDGE * SCALE // 2
            for cut, strip in (
                (top > 0, np.s_[:, :inside]), (top < 16 - CROP, np.s_[:, -inside:]),
                (left > 0, np.s_[:, :, :inside]), (left < 16 - CROP, np.s_[:, :, -inside:]),
            ):  # fmt: skip
                if cut:
                    seen[strip] = 0.0
            shown_parts.append(seen)
            if number == 0:
                whole.append((large, latents))
        batch = torch.stack(inputs)
        # What the UNet draws is never quite clean.
        level = 0.08 * torch.rand(len(batch), 1, 1, 1, generator=noise)
        batch = batch + level * torch.randn(batch.shape, generator=noise)
        target = torch.stack(wanted)
        counts = torch.stack(shown_parts) * weights(target)
        with torch.autocast("cpu", torch.bfloat16):
            drawn = vae.decoder(batch)
        off = (drawn.float() - target).abs()
        loss = ((off + off.square()) * counts).sum() / (3 * counts.sum())
        # The encoder: one whole picture a step.
        if step % 2 == 0:
            large, latents = whole[0]
            picture = torch.from_numpy(large.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
            with torch.autocast("cpu", torch.bfloat16):
                found = vae.encoder(picture)
            loss = loss + functional.mse_loss(found.float(), latents[None])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        done = max(step / asked.steps, (time.monotonic() - started) / (60 * asked.minutes))
        for group in stepper.param_groups:
            group["lr"] = asked.rate * min(1.0, (step + 1) / 50) * max(0.02, min(1.0, (1 - done) / 0.6))
        stepper.step()
        stepper.zero_grad(set_to_none=True)
        step += 1
        shown = loss.item() if not shown else shown * 0.98 + 0.02 * loss.item()
        bar.update()
        bar.set_postfix(loss=f"{shown:.5f}", refresh=False)
        if step % 200 == 0:
            keep()
    keep()


if __name__ == "__main__":
    main()
