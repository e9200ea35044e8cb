"""The grid, and the encodings in which it can be posted."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from gpu_worker.image_encoding import SMALLEST_PX, EncodedImage, encode_png, fits, make_grid, smaller_encodings


def _noisy(side: int) -> bytes:
    """Return a PNG that compresses badly."""
    return encode_png(Image.effect_noise((side, side), 90).convert("RGB"), "Seed: 1")


def test_smaller_encodings_are_png_webp_jpeg_smaller_jpegs_and_then_a_link() -> None:
    encodings = list(smaller_encodings([_noisy(1024)]))
    assert encodings.pop() is None
    encoded = [encoding[0] for encoding in encodings if encoding is not None]
    assert [form.suffix for form in encoded] == ["png", "webp", "jpg", "jpg", "jpg"]
    opened = [Image.open(io.BytesIO(form.content)) for form in encoded]
    assert [image.format for image in opened] == ["PNG", "WEBP", "JPEG", "JPEG", "JPEG"]
    assert [image.width for image in opened] == [1024, 1024, 1024, 512, SMALLEST_PX]
    sizes = [len(form.content) for form in encoded]
    assert sizes[0] == max(sizes)
    assert sizes[-1] == min(sizes)


def test_every_encoding_says_that_a_model_made_it() -> None:
    for forms in smaller_encodings([_noisy(300)]):
        assert all(b"trainedAlgorithmicMedia" in form.content for form in forms or ())


def test_ten_images_get_ever_smaller_until_discord_takes_all_of_them_in_one_message() -> None:
    # Each is within its own limit, and all of them are too large for one request.
    images = [bytes(3 * 1024 * 1024)] * 10
    assert not fits(_as_png(images), limit=10 * 1024 * 1024)
    assert fits(_as_png(images[:8]), limit=10 * 1024 * 1024)
    assert not fits(_as_png(images[:8]), limit=2 * 1024 * 1024)
    assert not fits(_as_png([b"x"] * 11), limit=100)
    sizes = [
        sum(len(form.content) for form in forms)
        for forms in smaller_encodings([_noisy(512), *[_noisy(300)] * 9])
        if forms is not None
    ]
    assert sizes[0] == max(sizes)
    assert sizes[-1] == min(sizes) < sizes[0] / 10


def _as_png(contents: list[bytes]) -> list[EncodedImage]:
    return [EncodedImage(content=content, suffix="png", content_type="image/png") for content in contents]


@pytest.mark.parametrize(
    ("count", "size"), [(1, (64, 48)), (2, (128, 48)), (3, (128, 96)), (4, (128, 96)), (6, (128, 144))]
)
def test_the_grid_has_two_columns(count: int, size: tuple[int, int]) -> None:
    colours = [(40 * number, 0, 0) for number in range(count)]
    grid = make_grid([Image.new("RGB", (64, 48), colour) for colour in colours])
    assert grid.size == size
    for index, colour in enumerate(colours):
        assert grid.getpixel((index % 2 * 64 + 5, index // 2 * 48 + 5)) == colour
