"""Limits of image files from outside: uploads, and workers' source images."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


@dataclass(frozen=True, slots=True)
class ImageLimits:
    max_bytes: int
    max_pixels: int
    """Checked by the header, before any pixel is decoded."""


# The web process has little memory: 4096 x 4096 pixels with alpha take 67 MB.
UPLOAD = ImageLimits(max_bytes=4 * 1024 * 1024, max_pixels=16_777_216)
# A worker has more, and Discord's attachments are larger.
SOURCE = ImageLimits(max_bytes=25 * 1024 * 1024, max_pixels=40_000_000)
