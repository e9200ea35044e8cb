"""The grid, and the encodings in which it can be posted."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from gpu_worker.image_encoding import SMALLEST_PX, EncodedImage, encode_png, make_grid, smaller_encodings


def _noisy(side: int) -> bytes:
    """Return a PNG that compresses badly."""
    return encode_png(Image.effect_noise((side, side), 90).convert("RGB"), "Seed: 1")


def test_smaller_encodings_are_png_webp_jpeg_smaller_jpegs_and_then_a_link() -> None:
    encodings = list(smaller_encodings(_noisy(1024)))
    assert encodings.pop() is None
    encoded = [encoding for encoding in encodings if isinstance(encoding, EncodedImage)]
    assert [form.suffix for form in encoded] == ["png", "webp", "jpg", "jpg", "jpg"]
    opened = [Image.open(io.BytesIO(form.content)) for form in encoded]
    assert [image.format for image in opened] == ["PNG", "WEBP", "JPEG", "JPEG", "JPEG"]
    assert [image.width for image in opened] == [1024, 1024, 1024, 512, SMALLEST_PX]
    sizes = [len(form.content) for form in encoded]
    assert sizes[0] == max(sizes)
    assert sizes[-1] == min(sizes)


def test_every_encoding_says_that_a_model_made_it() -> None:
    for form in smaller_encodings(_noisy(300)):
        assert form is None or b"trainedAlgorithmicMedia" in form.content


@pytest.mark.parametrize(
    ("count", "size"), [(1, (64, 48)), (2, (128, 48)), (3, (128, 96)), (4, (128, 96)), (6, (128, 144))]
)
def test_the_grid_has_two_columns(count: int, size: tuple[int, int]) -> None:
    colours = [(40 * number, 0, 0) for number in range(count)]
    grid = make_grid([Image.new("RGB", (64, 48), colour) for colour in colours])
    assert grid.size == size
    for index, colour in enumerate(colours):
        assert grid.getpixel((index % 2 * 64 + 5, index // 2 * 48 + 5)) == colour
