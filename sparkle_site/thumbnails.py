"""Small WebP copies of stored images, cached by image and width."""

from __future__ import annotations

import io
from collections.abc import Iterable

from django.core.cache import cache
from PIL import Image

from jobs import storage
from jobs.models import JobImage

WIDTHS = (96, 320, 768)
# The largest width is rarely asked for twice, and would fill the cache.
_CACHED_WIDTHS = WIDTHS[:-1]
# Short, so that a deleted image soon leaves the cache too.
_CACHE_S = 900


def of_image(image: JobImage, width: int) -> bytes:
    """Return a copy of `image` that fits into `width` x `width` pixels. Raise StorageUnavailable."""
    cached: bytes | None = cache.get(_cache_key(image.pk, width)) if width in _CACHED_WIDTHS else None
    if cached is not None:
        return cached
    content = of_key(image.key, width)
    if width in _CACHED_WIDTHS:
        cache.set(_cache_key(image.pk, width), content, timeout=_CACHE_S)
    return content


def of_key(key: str, width: int) -> bytes:
    """Return an uncached copy of the image that the storage has under `key`. Raise StorageUnavailable."""
    with Image.open(io.BytesIO(storage.fetch(key))) as original:
        copy = original.convert("RGB")
        copy.thumbnail((width, width))
        encoded = io.BytesIO()
        copy.save(encoded, "WEBP", quality=80)
    return encoded.getvalue()


def forget(image_ids: Iterable[int]) -> None:
    """Remove all copies of these images from the cache."""
    for image_id in image_ids:
        cache.delete_many([_cache_key(image_id, width) for width in _CACHED_WIDTHS])


def _cache_key(image_id: int, width: int) -> str:
    return f"image-{image_id}-{width}"
