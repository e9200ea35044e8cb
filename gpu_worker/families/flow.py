"""What flow-matching families have in common: transformers, and a schedule that may shift with the image's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..engine import GenerationRequest
from .family import Family, RunningRequest, guide


class FlowFamily(Family):
    """A transformer that predicts the flow. Its own scheduler may shift the noise levels by the number of tokens."""

    largest_shift: float = 1.15  # of pipelines whose scheduler names none
    longest_sequence: int = 4096

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        scale = int(self.pipe.vae_scale_factor)
        return int(self.denoiser.config.in_channels), height // scale, width // scale

    def sequence_length(self, request: GenerationRequest) -> int:
        """Return the number of tokens of an image: one for each 2 x 2 latents."""
        _, height, width = self.latent_shape(request.width, request.height)
        return (height // 2) * (width // 2)

    def sigmas(self, steps: int) -> Any:
        """Return the unshifted noise levels that the pipeline starts from, or None for the scheduler's own."""
        return np.linspace(1.0, 1 / steps, steps)

    def mu(self, request: GenerationRequest) -> float:
        """Return the shift for the request's size: linear between two lengths of sequence."""
        config = self.pipe.scheduler.config
        shortest, longest = (
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", self.longest_sequence),
        )
        least, most = config.get("base_shift", 0.5), config.get("max_shift", self.largest_shift)
        slope = (most - least) / (longest - shortest)
        return float(slope * self.sequence_length(request) + least - slope * shortest)

    def schedule(self, scheduler: Any, request: GenerationRequest) -> None:
        self.schedulers.set_flow_timesteps(
            scheduler, steps=request.steps, mu=self.mu(request), sigmas=self.sigmas(request.steps)
        )

    def combine(self, run: RunningRequest, outputs: Sequence[Any]) -> torch.Tensor:
        predicted = outputs[0].float()
        return guide(predicted, run.request.guidance) if run.is_guided else predicted


class PackedFlowFamily(FlowFamily):
    """A transformer that reads and predicts patches of 2 x 2 latents as tokens."""

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        channels, rows, columns = super().latent_shape(width, height)
        return channels // 4, rows, columns

    def combine(self, run: RunningRequest, outputs: Sequence[Any]) -> torch.Tensor:
        _, _, height, width = run.latents.shape
        return unpack(super().combine(run, outputs), height, width)


def guide_keeping_norm(predicted: torch.Tensor, guidance: float) -> torch.Tensor:
    """Return the guided prediction with the norm, in its last dimension, of the prompt's own."""
    guided = guide(predicted, guidance)
    own = predicted.chunk(2)[1]
    return guided * (torch.norm(own, dim=-1, keepdim=True) / torch.norm(guided, dim=-1, keepdim=True))


def position_ids(height: int, width: int, *, device: torch.device) -> torch.Tensor:
    """Return (height * width, 3): zero, the row and the column of each token of an image."""
    sides = [torch.arange(float(side), device=device) for side in (1, height, width)]
    return torch.cartesian_prod(*sides)


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Return tokens (rows, height/2 * width/2, 4 * channels) of latents (rows, channels, height, width)."""
    rows, channels, height, width = latents.shape
    patches = latents.view(rows, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(rows, (height // 2) * (width // 2), 4 * channels)


def unpack(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return latents (rows, channels, height, width) of tokens as `pack` makes them."""
    rows, _, channels = tokens.shape
    patches = tokens.view(rows, height // 2, width // 2, channels // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(rows, channels // 4, height, width)
