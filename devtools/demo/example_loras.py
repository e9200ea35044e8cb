"""The demo's LoRAs: one for each of two servers, so that both styles can be seen in one batch."""

from __future__ import annotations

from pathlib import Path

from django.core.files.base import ContentFile

from guilds.adapter_files import read_header
from guilds.adapter_models import Adapter
from guilds.models import Guild, ModelProfile

FOLDER = Path(__file__).resolve().parents[2] / "demo_model" / "adapters"
# Slug -> name, and the server that offers it.
LORAS = {"night": ("Night palette", "Night Owls"), "sketch": ("Pencil sketch", "Pixel Garden")}


def offer() -> None:
    """Add the LoRAs and offer them, unless that was done before."""
    ModelProfile.objects.filter(is_default=True, source="", lora_family="").update(lora_family="demo")
    for slug, (name, server) in LORAS.items():
        if Adapter.objects.filter(slug=slug).exists():
            continue
        path = FOLDER / f"{slug}.safetensors"
        with path.open("rb") as file:
            header = read_header(file, size=path.stat().st_size)
        adapter = Adapter(
            slug=slug,
            name=name,
            family="demo",
            default_weight=1.0,
            license="MIT",
            details=header.summary(),
            enabled=True,
        )
        adapter.file.save(path.name, ContentFile(path.read_bytes()))
        for guild in Guild.objects.filter(name=server):
            guild.loras_offered.add(adapter)
