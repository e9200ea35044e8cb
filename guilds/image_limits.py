"""What is taken of an image file from outside: an upload, and a source image of a worker. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


@dataclass(frozen=True, slots=True)
class ImageLimits:
    max_bytes: int
    max_pixels: int
    """Of the header, which is read before any pixel is decoded."""


# The web process has little memory: 4096 x 4096 decodes to 67 MB with transparency.
UPLOAD = ImageLimits(max_bytes=4 * 1024 * 1024, max_pixels=16_777_216)
# A worker has more, and Discord's attachments are larger.
SOURCE = ImageLimits(max_bytes=25 * 1024 * 1024, max_pixels=40_000_000)
