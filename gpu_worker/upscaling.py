"""Enlarges finished images without a diffusion model.

A network that invents detail can stand behind `Upscaler`. Lanczos needs no weights and changes nothing in the image.
"""

from __future__ import annotations

from typing import Protocol

from PIL import Image


class Upscaler(Protocol):
    def enlarge(self, image: Image.Image, factor: int) -> Image.Image:
        """Return the RGB image with each side `factor` times as long."""


class LanczosUpscaler:
    """Implements Upscaler by resampling."""

    def enlarge(self, image: Image.Image, factor: int) -> Image.Image:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)
