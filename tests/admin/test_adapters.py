"""Operators add LoRAs; moderators offer those that their servers may use, and see no others."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile

from guilds.adapter_models import MAX_UPLOAD_BYTES, Adapter
from guilds.models import Guild, StylePreset
from tests.security.test_csrf_and_forms import shown_fields

pytestmark = pytest.mark.django_db
ADD = "/admin/guilds/adapter/add/"


def lora_file(metadata: dict[str, str] | None = None, *, rank: int = 4, width: int = 768) -> bytes:
    """A safetensors file with one layer of Stable Diffusion 1.x, all zeros."""
    shapes = {"lora_A": (rank, width), "lora_B": (320, rank)}
    header: dict[str, Any] = {"__metadata__": metadata or {}}
    at = 0
    for half, shape in shapes.items():
        end = at + 2 * shape[0] * shape[1]
        key = f"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.{half}.weight"
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def form(**fields: Any) -> dict[str, Any]:
    return {
        "slug": "night", "name": "Night palette", "source": "", "family": "", "trigger_words": "",
        "default_weight": "0.8", "max_weight": "1.5", "license": "", "origin": "", "enabled": "on",
    } | fields  # fmt: skip


def upload(content: bytes, name: str = "night.safetensors") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def new_adapter(slug: str, *guilds: Guild, **fields: Any) -> Adapter:
    adapter = Adapter.objects.create(
        slug=slug, name=fields.pop("name", slug), family="sd1", enabled=True, source="someone/lora", **fields
    )
    adapter.guilds.set(guilds)
    return adapter


def test_an_operator_uploads_a_file_and_sees_what_it_says(operator: Any) -> None:
    content = lora_file({"modelspec.title": "Night <b>", "modelspec.license": "CC-BY-4.0"})
    assert operator.post(ADD, form(file=upload(content))).status_code == 302
    adapter = Adapter.objects.get()
    assert (adapter.family, adapter.license, adapter.details["rank"]) == ("sd1", "CC-BY-4.0", 4)
    with default_storage.open(str(adapter.file.name)) as stored:
        assert stored.read() == content
    page = operator.get(f"/admin/guilds/adapter/{adapter.pk}/change/").content.decode()
    assert "Night &lt;b&gt;" in page
    assert "Night <b>" not in page


@pytest.mark.parametrize(
    ("content", "fields", "says"),
    [
        (b"PK\x03\x04" + bytes(99), {}, "can run code"),
        (b"\x80\x04\x95" + bytes(99), {}, "can run code"),
        (b"GIF89a" + bytes(99), {}, "not a safetensors file"),
        (lora_file(rank=4096), {}, "rank 4096"),
        (lora_file()[:-1], {}, "damaged"),
        (lora_file() + bytes(MAX_UPLOAD_BYTES), {}, "at most 9 MB"),
        (lora_file(width=768), {"family": "sdxl"}, "LoRA for Stable Diffusion 1.x"),
        (lora_file(width=333), {}, "does not say which models"),
        (None, {}, "one of the two"),
        (lora_file(), {"source": "someone/lora"}, "one of the two"),
        (None, {"source": "https://example.org/lora.safetensors"}, "owner/name"),
        (lora_file(), {"default_weight": "1.6"}, "above the largest weight"),
        (lora_file(), {"name": "night:1"}, "without colons"),
    ],
)
def test_what_cannot_be_used_is_refused_before_it_is_stored(
    operator: Any, content: bytes | None, fields: dict[str, Any], says: str
) -> None:
    file = {} if content is None else {"file": upload(content)}
    answer = operator.post(ADD, form(**file, **fields))
    assert answer.status_code == 200
    assert says in answer.content.decode().replace("&#x27;", "'")
    assert not Adapter.objects.exists()


def test_a_replaced_file_is_deleted(operator: Any, django_capture_on_commit_callbacks: Any) -> None:
    operator.post(ADD, form(file=upload(lora_file())))
    adapter = Adapter.objects.get()
    first = str(adapter.file.name)
    adapter.file = ContentFile(lora_file(rank=8), name="other.safetensors")
    with django_capture_on_commit_callbacks(execute=True):
        adapter.save()
    assert not default_storage.exists(first)
    assert default_storage.exists(str(adapter.file.name))
    last = str(adapter.file.name)
    with django_capture_on_commit_callbacks(execute=True):
        adapter.delete()
    assert not default_storage.exists(last)


def test_a_moderator_sees_only_what_their_server_may_use(moderator_a: Any, guild_a: Guild, guild_b: Guild) -> None:
    everyone, own, foreign = (
        new_adapter("everyone"),
        new_adapter("own", guild_a, guild_b),
        new_adapter("foreign", guild_b),
    )
    disabled = new_adapter("switched-off", guild_a)
    Adapter.objects.filter(pk=disabled.pk).update(enabled=False)
    page = moderator_a.get("/admin/guilds/adapter/").content.decode()
    assert [slug in page for slug in ("everyone", "own", "foreign", "switched-off")] == [True, True, False, False]
    assert moderator_a.get(f"/admin/guilds/adapter/{foreign.pk}/change/").status_code == 404
    assert moderator_a.get(f"/admin/guilds/adapter/{foreign.pk}/history/").status_code == 404
    shown = moderator_a.get(f"/admin/guilds/adapter/{own.pk}/change/").content.decode()
    assert "someone/lora" in shown
    # Which other servers may use it is not shown.
    assert "Banana Boat" not in shown
    for adapter in (everyone, own):
        url = f"/admin/guilds/adapter/{adapter.pk}/change/"
        assert moderator_a.post(url, form(slug="taken")).status_code in (403, 404)
        assert moderator_a.post(f"/admin/guilds/adapter/{adapter.pk}/delete/", {"post": "yes"}).status_code in (
            403,
            404,
        )
    assert moderator_a.post(ADD, form(source="someone/else")).status_code in (403, 404)
    assert Adapter.objects.count() == 4


def test_a_moderator_offers_what_their_server_may_use(moderator_a: Any, guild_a: Guild, guild_b: Guild) -> None:
    own, foreign = new_adapter("own", guild_a), new_adapter("foreign", guild_b)
    url = f"/admin/guilds/guild/{guild_a.pk}/change/"
    assert "foreign" not in moderator_a.get(url).content.decode()
    fields = shown_fields(moderator_a, url)
    refused = moderator_a.post(url, fields | {"loras_offered": [str(foreign.pk)]})
    assert refused.status_code == 200
    assert moderator_a.post(url, fields | {"loras_offered": [str(own.pk)]}).status_code == 302
    assert list(guild_a.loras_offered.values_list("slug", flat=True)) == ["own"]


def test_a_style_carries_only_what_its_server_may_use(moderator_a: Any, guild_a: Guild, guild_b: Guild) -> None:
    new_adapter("own", guild_a)
    new_adapter("foreign", guild_b)
    style = {"guild": guild_a.pk, "slug": "noir", "name": "Noir", "template": "{prompt}", "negative_prompt": ""}
    add = "/admin/guilds/stylepreset/add/"
    for loras, says in (
        ("foreign", "no LoRA"), ("own:2", "largest weight"), ("own:", "like night"), ("a,b,c,d", "at most 3"),
    ):  # fmt: skip
        answer = moderator_a.post(add, style | {"loras": loras})
        assert answer.status_code == 200, loras
        assert says in answer.content.decode(), loras
    assert moderator_a.post(add, style | {"loras": "own:0.7"}).status_code == 302
    assert StylePreset.objects.get(slug="noir").loras == "own:0.7"
