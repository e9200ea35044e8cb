"""An uploaded preview is limited before decoding, stored under its owner, and deleted when it is replaced."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from guilds.image_uploads import KEPT_SIDE, cleaned_image
from guilds.models import StylePreset
from sparkle_site import data_subject_requests

pytestmark = pytest.mark.django_db


def image(kind: str = "PNG", size: tuple[int, int] = (64, 64), **options: object) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size, "teal").save(made, kind, **options)
    return made.getvalue()


def bomb(side: int) -> bytes:
    """A small PNG of side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 9999))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content",
    [bomb(5000), bomb(15_000), bomb(60_000), b"", b"text", image()[:60], image("BMP"), image("TIFF"),
     b"%!PS-Adobe-3.0\n", b"\0" * 5_000_000],
)  # fmt: skip
def test_what_is_no_bounded_image_is_refused(content):
    with pytest.raises(ValidationError):
        cleaned_image(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_an_image_is_kept_small_and_without_its_metadata(kind):
    with Image.open(io.BytesIO(cleaned_image(image(kind, (3000, 1000), comment=b"planted")))) as kept:
        assert kept.format == "WEBP"
        assert max(kept.size) == KEPT_SIDE
        assert b"planted" not in str(kept.info).encode()


def body(guild, **more):
    return {"guild": guild.pk, "name": "Ink", "slug": "ink", "template": "{prompt}", "enabled": "on", **more}


def test_each_server_keeps_its_own_file_until_it_is_replaced(
    operator, guild_a, guild_b, django_capture_on_commit_callbacks
):
    for guild in (guild_a, guild_b):
        upload = SimpleUploadedFile("../fox.png", image())
        assert operator.post("/admin/guilds/stylepreset/add/", body(guild, preview=upload)).status_code == 302
    a, b = (StylePreset.objects.get(guild=guild) for guild in (guild_a, guild_b))
    assert a.preview.name.startswith(f"uploads/{guild_a.pk}/")
    assert b.preview.name.startswith(f"uploads/{guild_b.pk}/")
    with django_capture_on_commit_callbacks(execute=True):
        again = body(guild_a, preview=SimpleUploadedFile("fox.png", image()))
        assert operator.post(f"/admin/guilds/stylepreset/{a.pk}/change/", again).status_code == 302
    assert not default_storage.exists(a.preview.name)
    a.refresh_from_db()
    assert default_storage.exists(a.preview.name)
    data_subject_requests.erase_guild(guild_a.pk, now=guild_a.installed_at)
    assert not default_storage.exists(a.preview.name)
    assert default_storage.exists(b.preview.name)
    with django_capture_on_commit_callbacks(execute=True):
        chosen = {"action": "delete_selected", "_selected_action": [b.pk], "post": "yes"}
        operator.post("/admin/guilds/stylepreset/", chosen)
    assert not default_storage.exists(b.preview.name)


def test_a_bomb_is_an_error_on_the_form(operator, guild_a):
    sent = body(guild_a, preview=SimpleUploadedFile("fox.png", bomb(15_000)))
    answer = operator.post("/admin/guilds/stylepreset/add/", sent)
    assert answer.status_code == 200
    assert "The image is too large" in answer.text or "not a readable image" in answer.text
