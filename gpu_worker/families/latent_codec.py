"""Converts between pixels and the latents that a denoiser reads: the VAE with its scaling, shift or statistics."""

from __future__ import annotations

from typing import Any

import torch


def encode(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Return float32 latents (n, channels, height, width) of pixels (n, 3, height, width), -1 to 1."""
    out = vae.encode(pixels.to(vae.dtype))
    latents = out.latent_dist.mode() if hasattr(out, "latent_dist") else getattr(out, "latents", None)
    if latents is None:
        latents = out.latent
    mean, std, factor = _statistics(vae, latents)
    scaled: torch.Tensor = (latents.float() - mean) * factor / std
    return scaled


def decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Return pixels (n, 3, height, width), -1 to 1, of latents (n, channels, height, width)."""
    mean, std, factor = _statistics(vae, latents)
    pixels: torch.Tensor = vae.decode((latents * std / factor + mean).to(vae.dtype), return_dict=False)[0]
    return pixels


def _statistics(vae: Any, like: torch.Tensor) -> tuple[Any, Any, float]:
    """Return mean, standard deviation and factor: a VAE has either statistics by channel or one shift."""
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
    factor = vae.config.get("scaling_factor") or 1.0
    if mean is None or std is None:
        return vae.config.get("shift_factor") or 0.0, 1.0, factor
    shape = (1, -1, *(1,) * (like.dim() - 2))
    return torch.tensor(mean, device=like.device).view(shape), torch.tensor(std, device=like.device).view(shape), factor
