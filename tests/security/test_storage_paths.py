"""No name that a user chose becomes a path, and an image URL leads only to that image."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from guilds.models import Guild, StylePreset
from jobs import storage, submission, transitions
from jobs.storage import StorageUnavailable
from jobs.transitions import StoredImage
from sparkle_site.pages import signed_urls

CLIMBING = ["../../../etc/passwd", "/etc/passwd", "a/../../b", "..\\..\\b", "./../x", "1/2/../../../../etc/passwd"]


@pytest.mark.parametrize("key", CLIMBING)
def test_the_storage_gives_nothing_from_outside(key: str) -> None:
    with pytest.raises(StorageUnavailable):
        storage.fetch(key)


@pytest.mark.parametrize("key", CLIMBING[:3])
def test_the_storage_keeps_nothing_outside(key: str) -> None:
    with pytest.raises(StorageUnavailable):
        storage.store(key, b"planted outside")
    assert b"root:" in Path("/etc/passwd").read_bytes()


@pytest.mark.django_db
def test_an_images_key_is_made_of_numbers_alone(
    make_guild: Callable[..., Any], make_ask: Callable[..., Any], now: Any
) -> None:
    guild = make_guild(name="../../x")
    job = submission.submit(make_ask(guild, prompt="../../etc/passwd", member_name="../.."), now=now).job
    for key in (storage.image_key(guild.pk, job.pk, 0), storage.grid_key(guild.pk, job.pk)):
        parts = key.split("/")
        assert parts[:3] == ["jobs", str(guild.pk), str(job.pk)]
        assert len(parts) == 4
        assert ".." not in key
    # Nobody who knows the numbers knows the key.
    assert storage.token(job.pk) != storage.token(job.pk + 1)
    assert len(storage.token(job.pk)) == 24


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["../../../evil.png", "/tmp/evil.png", "..\\evil.png"])
def test_an_uploaded_preview_stays_where_previews_are(name: str, make_guild: Callable[..., Any]) -> None:
    style = StylePreset(guild=make_guild(), slug="s", name="S")
    upload = SimpleUploadedFile(name, b"image")
    try:
        style.preview.save(str(upload.name), upload)
    except SuspiciousFileOperation:
        return
    root = Path(settings.STORAGES["default"]["OPTIONS"]["location"]).resolve()
    assert Path(style.preview.path).resolve().is_relative_to(root / "uploads" / str(style.guild_id))
    style.preview.delete()


@pytest.fixture
def address(make_guild: Callable[..., Guild], make_ask: Callable[..., Any]) -> str:
    """The signed address of an image."""
    now = timezone.now()
    guild = make_guild()
    job = submission.submit(make_ask(guild, count=1), now=now).job
    assert transitions.claim(job.pk, worker_id="w", now=now)
    key = storage.image_key(guild.pk, job.pk, 0)
    storage.store(key, b"an image")
    made = [StoredImage(index=0, key=key, seed=1, width=8, height=8, bytes=9)]
    assert transitions.record_images(job.pk, worker_id="w", images=made, grid_key="", gpu_ms=1, now=now)
    return signed_urls.signed_url(job.images.get().pk)


@pytest.mark.django_db
def test_an_images_address_ends_by_itself(address: str, client: Client) -> None:
    assert client.get(address).status_code == 200
    with time_machine.travel(timezone.now() + signed_urls.MAX_AGE + timedelta(seconds=5), tick=False):
        assert client.get(address).status_code == 404


@pytest.mark.django_db
def test_an_images_address_cannot_be_bent_to_another(address: str, client: Client) -> None:
    number, _, rest = address.removeprefix("/p/").partition(":")
    assert number.isdigit()
    for bent in (f"/p/{int(number) + 1}:{rest}", f"/p/{number}:{rest[::-1]}", f"/p/{number}/", "/p/..%2f..%2fx:1:1/"):
        assert client.get(bent).status_code == 404, bent
