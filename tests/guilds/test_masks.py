"""A painted mask has the image's size, marks a part of it, and is kept as black and white."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from guilds import masks
from guilds.masks import InvalidMask, cleaned_mask


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def painted(mode: str = "RGBA") -> Image.Image:
    image = Image.new(mode, (64, 48), "black")
    image.paste("white", (10, 10, 30, 20))
    return image


@pytest.mark.parametrize("content", [encoded(painted()), encoded(painted("L")), encoded(painted("RGB"), "WEBP")])
def test_a_mask_is_kept_as_one_bit_a_pixel(content: bytes) -> None:
    kept = Image.open(io.BytesIO(cleaned_mask(content, width=64, height=48)))
    assert (kept.format, kept.mode, kept.size) == ("PNG", "1", (64, 48))
    assert np.asarray(kept).sum() == pytest.approx(200, abs=10)
    assert kept.info == {}


def refused(content: bytes) -> str:
    with pytest.raises(InvalidMask) as raised:
        cleaned_mask(content, width=64, height=48)
    return raised.value.code


def test_what_is_no_mask_for_the_image_is_refused() -> None:
    assert refused(encoded(painted().resize((48, 64)))) == "size"
    assert refused(encoded(painted().resize((65, 48)))) == "size"
    assert refused(encoded(Image.new("RGB", (64, 48), "black"))) == "empty"
    # Not even half white: what a brush leaves at its soft edge.
    assert refused(encoded(Image.new("L", (64, 48), 100))) == "empty"
    assert refused(encoded(Image.new("RGB", (64, 48), "white"))) == "full"
    for content in (b"", b"<svg/>", encoded(painted())[:50], encoded(painted(), "TIFF")):
        assert refused(content) == "unreadable"


def test_a_large_mask_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(b"\x89PNG" + bytes(masks.MAX_BYTES)) == "unreadable"
    assert refused(encoded(Image.new("1", (5000, 5000)))) == "unreadable"
