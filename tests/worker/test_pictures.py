"""Pictures from outside are fetched from named hosts only, and decoded with suspicion."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gpu_worker import pictures
from gpu_worker.pictures import BadPicture

HOSTS = ["cdn.discordapp.com", "media.discordapp.net"]
URL = "https://cdn.discordapp.com/attachments/1/2/dog.png?ex=1"


def _answers(status: int = 200, content: bytes | Iterator[bytes] = b"bytes", **headers: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, content=content, headers=headers))


def test_a_picture_on_an_allowed_host_is_fetched() -> None:
    assert pictures.fetch(URL, hosts=HOSTS, transport=_answers()) == b"bytes"


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
        "",
    ],
)
def test_anything_else_is_not_even_asked(url: str) -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"asked {request.url}")

    with pytest.raises(BadPicture) as refused:
        pictures.fetch(url, hosts=HOSTS, transport=httpx.MockTransport(unreachable))
    assert (refused.value.reason, refused.value.permanent) == ("source_unavailable", True)


def test_plain_http_is_for_local_development_alone() -> None:
    url = "http://127.0.0.1:8000/a.png"
    assert pictures.fetch(url, hosts=["127.0.0.1"], insecure=True, transport=_answers()) == b"bytes"
    with pytest.raises(BadPicture):
        pictures.fetch(url, hosts=["127.0.0.1"], transport=_answers())


@pytest.mark.parametrize(("status", "permanent"), [(302, True), (403, True), (404, True), (429, False), (503, False)])
def test_an_answer_without_a_picture_says_whether_to_try_again(status: int, permanent: bool) -> None:
    with pytest.raises(BadPicture) as refused:
        pictures.fetch(URL, hosts=HOSTS, transport=_answers(status, location="http://169.254.169.254/"))
    assert refused.value.permanent is permanent


def test_a_download_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 100_000)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b"x" * 65536

    with pytest.raises(BadPicture):
        pictures.fetch(URL, hosts=HOSTS, transport=_answers(content=endless()))
    assert sent <= 4 * 65536


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_what_discord_shows_is_decoded_to_rgb(kind: str) -> None:
    picture = pictures.decode(_encoded(Image.new("RGB", (30, 20), "red"), kind))
    assert (picture.mode, picture.size) == ("RGB", (30, 20))


def test_transparency_becomes_white() -> None:
    assert pictures.decode(_encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_a_photograph_taken_sideways_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert pictures.decode(_encoded(Image.new("RGB", (30, 20)), "JPEG", exif=exif)).size == (20, 30)


def _bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header promises width x height."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [7_000, 20_000, 2**31 - 1])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(BadPicture) as refused:
        pictures.decode(_bomb(side, side))
    assert refused.value.reason == "source_unreadable"


@pytest.mark.parametrize("content", [b"", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0" + b"\0" * 50])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(BadPicture):
        pictures.decode(content)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_damaged_picture_is_a_picture_or_a_refusal(noise: bytes, at: int) -> None:
    content = bytearray(_encoded(Image.linear_gradient("L").convert("RGB").resize((16, 16)), "PNG"))
    content[at : at + len(noise)] = noise
    with contextlib.suppress(BadPicture):
        assert pictures.decode(bytes(content)).mode == "RGB"


def test_a_picture_of_another_shape_is_cropped_about_its_middle() -> None:
    tall = Image.new("RGB", (100, 300), "red")
    tall.paste("blue", (0, 100, 100, 200))
    fitted = pictures.fitted(tall, 64, 64)
    assert fitted.size == (64, 64)
    assert fitted.getpixel((32, 32)) == (0, 0, 255)
