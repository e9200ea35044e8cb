"""Inpainting by latent blending: the model paints what a mask says, and the rest of the image stays.

After each step the latents outside the mask are replaced by the source's, noised to the level of the next step. So any
model that can begin from an image can inpaint, with the weights that it has. A latent stands for many pixels, so at the
end the source's own pixels are put back outside the mask, with a soft edge of EDGE_PX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from .families.family import RunningRequest

# Pixels further than this outside the mask are the source's own.
EDGE_PX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptArea:
    """What stays of the source: its `latents`, with the `noise` that the request began with, both float32.

    `painted` (1, 1, height, width) is 1 where the model paints and 0 where the source stays.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    painted: torch.Tensor

    def put_back(self, latents: torch.Tensor, scheduler: Any, timestep: torch.Tensor | None) -> torch.Tensor:
        """Return `latents` with the source's where nothing is painted, noised to `timestep`; None for no noise."""
        kept = self.latents
        if timestep is not None:
            kept = add_noise(scheduler, kept, self.noise, timestep)
        return torch.lerp(kept, latents, self.painted)


def add_noise(scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """Return clean latents, noised as the scheduler has them at its timestep."""
    timesteps = timestep.repeat(len(noise))
    noised: torch.Tensor
    if hasattr(scheduler, "scale_noise"):
        noised = scheduler.scale_noise(latents.expand_as(noise), timesteps, noise)
    else:
        noised = scheduler.add_noise(latents.expand_as(noise), noise, timesteps)
    return noised


def put_back_source(run: RunningRequest) -> None:
    """Replace the latents outside the mask after a step of the request."""
    if run.kept is None:
        return
    is_done = run.steps_done >= len(run.timesteps)
    # Between the two halves of a step of second order the scheduler goes on from the latents before the step.
    if is_done or getattr(run.scheduler, "state_in_first_order", True):
        run.latents = run.kept.put_back(run.latents, run.scheduler, None if is_done else run.timestep)
    if run.predicted_original is not None:
        run.predicted_original = run.kept.put_back(run.predicted_original, run.scheduler, None)


def latent_mask(mask: Image.Image, height: int, width: int) -> torch.Tensor:
    """Return (1, 1, height, width): 1 for each latent that stands for a painted pixel of the mask, else 0."""
    painted = torch.from_numpy((np.asarray(mask.convert("L")) > 127).astype(np.float32))
    return torch.nn.functional.adaptive_max_pool2d(painted[None, None], (height, width))


def put_back_pixels(image: Image.Image, *, source: Image.Image, mask: Image.Image) -> Image.Image:
    """Return the image with the source's pixels outside the mask. All three have the same size.

    Inside the mask all pixels are the image's; further than EDGE_PX outside all are the source's.
    """
    half = EDGE_PX // 2
    edge = mask.convert("L").point(lambda value: 255 if value > 127 else 0)
    # The box's reach ends where its radius says, unlike that of a Gaussian.
    edge = edge.filter(ImageFilter.MaxFilter(2 * half + 1)).filter(ImageFilter.BoxBlur(half))
    return Image.composite(image, source, edge)
