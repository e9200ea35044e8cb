"""Source images are fetched from allowed hosts only, and decoded as untrusted data."""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
import zlib
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from gpu_worker import source_images
from gpu_worker.source_images import InvalidSourceImage
from guilds.image_file_limits import FORMATS
from tests.properties import given, st

HOSTS = ["cdn.discordapp.com", "media.discordapp.net"]
URL = "https://cdn.discordapp.com/attachments/1/2/dog.png?ex=1"


def _responds(status: int = 200, content: bytes | Iterator[bytes] = b"bytes", **headers: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, content=content, headers=headers))


def test_an_image_on_an_allowed_host_is_fetched() -> None:
    assert source_images.fetch(URL, hosts=HOSTS, transport=_responds()) == b"bytes"


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.discordapp.com/a.png",
        "https://cdn.discordapp.com.evil.example/a.png",
        "https://evil.example/cdn.discordapp.com/a.png",
        "https://cdn.discordapp.com@evil.example/a.png",
        "https://user:word@cdn.discordapp.com/a.png",
        "https://cdn.discordapp.com:8443/a.png",
        "https://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "ftp://cdn.discordapp.com/a.png",
        "//cdn.discordapp.com/a.png",
        "https://[::1/a.png",
        "https://cdn.discordapp.com\\@evil.example/a.png",
        "https://cdn.discordapp.com/\ta.png",
        f"https://cdn.discordapp.com/{'a' * 2000}",
        "",
    ],
)
def test_other_urls_are_not_requested(url: str) -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"asked {request.url}")

    with pytest.raises(InvalidSourceImage) as refused:
        source_images.fetch(url, hosts=HOSTS, transport=httpx.MockTransport(unreachable))
    assert (refused.value.reason, refused.value.permanent) == ("source_unavailable", True)


def test_plain_http_is_for_local_development_only() -> None:
    url = "http://127.0.0.1:8000/a.png"
    assert source_images.fetch(url, hosts=["127.0.0.1"], insecure=True, transport=_responds()) == b"bytes"
    with pytest.raises(InvalidSourceImage):
        source_images.fetch(url, hosts=["127.0.0.1"], transport=_responds())


@pytest.mark.parametrize(("status", "permanent"), [(302, True), (403, True), (404, True), (429, False), (503, False)])
def test_a_response_without_an_image_says_whether_to_try_again(status: int, permanent: bool) -> None:
    with pytest.raises(InvalidSourceImage) as refused:
        source_images.fetch(URL, hosts=HOSTS, transport=_responds(status, location="http://169.254.169.254/"))
    assert refused.value.permanent is permanent


def test_a_download_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_images, "MAX_BYTES", 100_000)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b"x" * 65536

    with pytest.raises(InvalidSourceImage):
        source_images.fetch(URL, hosts=HOSTS, transport=_responds(content=endless()))
    assert sent <= 4 * 65536


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_formats_that_discord_shows_are_decoded_to_rgb(kind: str) -> None:
    image = source_images.decode(_encoded(Image.new("RGB", (30, 20), "red"), kind))
    assert (image.mode, image.size) == ("RGB", (30, 20))


def test_transparency_becomes_white() -> None:
    assert source_images.decode(_encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG")).getpixel((0, 0)) == (
        255,
        255,
        255,
    )


def test_a_photograph_taken_sideways_is_rotated() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert source_images.decode(_encoded(Image.new("RGB", (30, 20)), "JPEG", exif=exif)).size == (20, 30)


def _bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few hundred bytes whose header says width x height."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [7_000, 20_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(InvalidSourceImage) as refused:
        source_images.decode(_bomb(side, side))
    assert refused.value.reason == "source_unreadable"


@pytest.mark.parametrize("content", [b"", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0" + b"\0" * 50])
def test_a_file_that_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidSourceImage):
        source_images.decode(content)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_damaged_image_is_decoded_or_refused(noise: bytes, at: int) -> None:
    content = bytearray(_encoded(Image.linear_gradient("L").convert("RGB").resize((16, 16)), "PNG"))
    content[at : at + len(noise)] = noise
    with contextlib.suppress(InvalidSourceImage):
        assert source_images.decode(bytes(content)).mode == "RGB"


def test_an_image_of_another_shape_is_cropped_around_its_centre() -> None:
    tall = Image.new("RGB", (100, 300), "red")
    tall.paste("blue", (0, 100, 100, 200))
    fitted = source_images.fit_to_size(tall, 64, 64)
    assert fitted.size == (64, 64)
    assert fitted.getpixel((32, 32)) == (0, 0, 255)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_with(*chunks: bytes, image: Image.Image | None = None) -> bytes:
    """A PNG with these chunks before its pixels."""
    content = _encoded(image or Image.new("RGB", (6, 4), "red"), "PNG")
    ihdr_end = 8 + 25
    return content[:ihdr_end] + b"".join(chunks) + content[ihdr_end:]


def _tiff(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """EXIF with these entries (tag, type, count, value or offset) in its first directory."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
    return mark + struct.pack(order + "IH", 8, len(entries)) + body + struct.pack(order + "I", 0)


def _jpeg_with(*segments: tuple[int, bytes], image: Image.Image | None = None) -> bytes:
    content = _encoded(image or Image.new("RGB", (6, 4), "red"), "JPEG")
    parts = (b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return content[:2] + b"".join(parts) + content[2:]


def _raw_png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + b"".join(chunks)
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


TURNED = struct.pack("<H", 6)
NEIGHBOURS = {
    "negative rational": (0x011A, 10, 1, struct.pack("<I", 26)),
    "negative short": (0x0100, 8, 1, struct.pack("<h", -5)),
    "float": (0x0101, 11, 1, struct.pack("<f", 1.5)),
    "double out of the file": (0x0101, 12, 4, struct.pack("<I", 2**31)),
    "unknown type": (0x0101, 99, 1, b""),
    "endless text": (0x0101, 2, 2**31, struct.pack("<I", 8)),
}


@pytest.mark.parametrize("neighbour", sorted(NEIGHBOURS))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_orientation_is_read_beside_any_other_entry(kind: str, neighbour: str) -> None:
    exif = _tiff(NEIGHBOURS[neighbour], (0x0112, 3, 1, TURNED))
    if kind == "WEBP":
        content = _encoded(Image.new("RGB", (6, 4), "red"), kind, exif=exif)
    elif kind == "PNG":
        content = _png_with(_chunk(b"eXIf", exif))
    else:
        content = _jpeg_with((0xE1, b"Exif\0\0" + exif))
    assert source_images.decode(content).size == (4, 6)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_undefined_orientation_rotates_nothing(value: int) -> None:
    exif = _tiff((0x0112, 3, 1, struct.pack("<H", value)))
    assert source_images.decode(_jpeg_with((0xE1, b"Exif\0\0" + exif))).size == (6, 4)


@pytest.mark.parametrize("number", range(1, 9))
def test_each_orientation_is_applied_as_pillow_does(number: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = number
    image = Image.new("RGB", (6, 4), "red")
    image.putpixel((0, 0), (0, 0, 255))
    content = _encoded(image, "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as opened:
        wanted = ImageOps.exif_transpose(opened)
    assert source_images.decode(content).tobytes() == wanted.tobytes()


BROKEN_PNG_CHUNKS = {
    "text without keyword": _chunk(b"tEXt", b"\0" * 20),
    "text that is not compressed": _chunk(b"zTXt", b"Comment\0\0not zlib"),
    "text of an unknown compression": _chunk(b"zTXt", b"Comment\0\x09" + zlib.compress(b"x")),
    "text that inflates": _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 80_000_000)),
    "international text that inflates": _chunk(b"iTXt", b"C\0\1\0\0\0" + zlib.compress(b"\0" * 80_000_000)),
    "international text cut short": _chunk(b"iTXt", b"Comment\0\1"),
    "a broken profile": _chunk(b"iCCP", b"icc\0\0broken"),
    "an inflating profile": _chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"\0" * 80_000_000)),
    "a wrong checksum in a text": _chunk(b"tEXt", b"Comment\0hello")[:-4] + b"\0\0\0\0",
    "broken EXIF": _chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
    "a short density": _chunk(b"pHYs", b"\1"),
    "short gamma and primaries": _chunk(b"gAMA", b"") + _chunk(b"cHRM", b"\0"),
    "animation control of no frames": _chunk(b"acTL", struct.pack(">II", 0, 0)),
    "an unknown private chunk": _chunk(b"prVt", b"x" * 100_000),
}


@pytest.mark.parametrize("name", sorted(BROKEN_PNG_CHUNKS))
def test_broken_or_large_metadata_of_a_png_refuses_no_image(name: str) -> None:
    image = source_images.decode(_png_with(BROKEN_PNG_CHUNKS[name]))
    assert (image.size, image.getpixel((3, 2))) == ((6, 4), (255, 0, 0))


@pytest.mark.parametrize(
    "segment",
    [
        (0xE0, b"JFIF\0\1"),
        (0xE1, b"Exif\0\0broken"),
        (0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta"),
        (0xE2, b"ICC_PROFILE\0\1\2broken"),
        (0xE2, b"MPF\0MM\0*broken"),
        (0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x02\0"),
        (0xFE, b"\xff" * 65_000),
    ],
)
def test_broken_metadata_of_a_jpeg_refuses_no_image(segment: tuple[int, bytes]) -> None:
    assert source_images.decode(_jpeg_with(segment)).size == (6, 4)


def test_bytes_after_the_end_of_a_file_are_not_read() -> None:
    image = Image.new("RGB", (6, 4), "red")
    for kind in ("PNG", "JPEG"):
        assert source_images.decode(_encoded(image, kind) + b"\x50\x4b\3\4" * 500).size == (6, 4)


def test_grey_of_sixteen_bits_is_scaled_and_not_clipped() -> None:
    rows = b"".join(b"\0" + struct.pack(">H", value) for value in (0, 0x4000, 0x8000, 0xFFFF))
    image = source_images.decode(_raw_png(1, 4, 16, 0, rows))
    assert [image.getpixel((0, y)) for y in range(4)] == [(0,) * 3, (64,) * 3, (128,) * 3, (255,) * 3]


def test_the_transparent_value_of_sixteen_bit_grey_is_white() -> None:
    rows = b"".join(b"\0" + struct.pack(">H", value) for value in (0x1234, 0))
    image = source_images.decode(_raw_png(1, 2, 16, 0, rows, _chunk(b"tRNS", struct.pack(">H", 0x1234))))
    assert [image.getpixel((0, y)) for y in range(2)] == [(255,) * 3, (0,) * 3]


@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (2, 3),
                                               (4, 3), (8, 3), (8, 4), (16, 4), (8, 6), (16, 6)])  # fmt: skip
def test_every_kind_of_png_is_decoded_to_black_and_white(depth: int, colour: int) -> None:
    """The first row is all zeros, the second all ones; with alpha, zeros are transparent and so white."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    length = max(1, 8 * depth * samples // 8)
    palette = [_chunk(b"PLTE", b"\0\0\0" + b"\xff\xff\xff" * (2**depth - 1))] if colour == 3 else []
    content = _raw_png(8, 2, depth, colour, b"\0" + b"\0" * length + b"\0" + b"\xff" * length, *palette)
    image = source_images.decode(content)
    assert image.size == (8, 2)
    assert image.getpixel((0, 0)) == ((255,) * 3 if colour in (4, 6) else (0,) * 3)
    assert image.getpixel((7, 1)) == (255,) * 3


def _modes() -> list[tuple[str, str]]:
    """Each pair of a mode and a format that Pillow can write."""
    pairs = []
    for mode, kind in itertools.product(
        ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "I;16B", "F"), FORMATS
    ):
        with contextlib.suppress(OSError, ValueError):
            _encoded(Image.new(mode, (8, 8)), kind)
            pairs.append((mode, kind))
    return pairs


@pytest.mark.parametrize(("mode", "kind"), _modes())
def test_every_mode_that_pillow_can_write_is_decoded(mode: str, kind: str) -> None:
    white = {"CMYK": (0, 0, 0, 0), "YCbCr": (255, 128, 128), "LA": (255, 255), "PA": (0, 0), "P": 0, "F": 255.0,
             "I": 65535, "I;16": 65535, "I;16B": 65535}.get(mode, "white")  # fmt: skip
    image = Image.new(mode, (8, 8), white)
    if mode == "P":
        image.putpalette([255] * 768)
    assert source_images.decode(_encoded(image, kind)).getpixel((4, 4)) == (255,) * 3


@pytest.mark.parametrize("transparency", [0, b"\0\xff", b"\0" * 256, b""])
def test_a_palette_with_transparency_is_shown_on_white(transparency: int | bytes) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    decoded = source_images.decode(_encoded(image, "PNG", transparency=transparency))
    assert decoded.getpixel((0, 0)) == ((255,) * 3 if transparency != b"" else (0,) * 3)


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 255.0), (0.0, 65535.0), (0.0, 1e9), (float("nan"), 1.0)])
def test_floats_are_scaled_by_their_largest_value(values: tuple[float, float]) -> None:
    image = Image.new("F", (2, 1))
    for x, value in enumerate(values):
        image.putpixel((x, 0), value)
    assert source_images._grey(image).tobytes() == b"\0\xff"


@given(st.binary(max_size=400), st.sampled_from(["tEXt", "zTXt", "iTXt", "iCCP", "eXIf", "pHYs", "tIME", "sBIT"]))
def test_any_bytes_as_metadata_of_a_png_refuse_nothing(noise: bytes, kind: str) -> None:
    assert source_images.decode(_png_with(_chunk(kind.encode(), noise))).size in {(6, 4), (4, 6)}


@given(st.binary(max_size=400), st.integers(0xE1, 0xEF).filter(lambda marker: marker != 0xEE))
def test_any_bytes_as_metadata_of_a_jpeg_refuse_nothing(noise: bytes, marker: int) -> None:
    assert source_images.decode(_jpeg_with((marker, noise))).size in {(6, 4), (4, 6)}
