"""Masks that members paint on the site: checked, and kept as black and white."""

from __future__ import annotations

import io
import secrets
from typing import Any

from django.core.exceptions import ValidationError

from . import image_uploads

MAX_BYTES = image_uploads.MAX_BYTES


class InvalidMask(Exception):
    """The file cannot be a mask for this image. `code` is stable: "unreadable", "size", "empty" or "full"."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def mask_key(guild_id: int) -> str:
    """Return an unguessable storage key for a mask of a request in this guild."""
    return f"uploads/{guild_id}/{secrets.token_hex(16)}.png"


def cleaned_mask(content: bytes, *, width: int, height: int) -> bytes:
    """Return the mask as PNG of one bit a pixel: white is painted, black stays. Raise InvalidMask.

    It must have exactly `width` x `height` pixels, and paint some of them and not all.
    """
    try:
        black_and_white = image_uploads.read_image(content, _threshold)
    except ValidationError as error:
        raise InvalidMask("unreadable") from error
    if black_and_white.size != (width, height):
        raise InvalidMask("size")
    darkest, lightest = black_and_white.getextrema()
    if not lightest:
        raise InvalidMask("empty")
    if darkest:
        raise InvalidMask("full")
    output = io.BytesIO()
    black_and_white.save(output, "PNG")
    return output.getvalue()


def _threshold(image: Any) -> Any:
    return image.convert("L").point(lambda value: 255 if value > 127 else 0, mode="1")
