"""A job with LoRAs from its row to its images: the files are fetched, checked and applied, or it ends with a refund."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from PIL import Image

from gpu_worker.active_job import Outcome
from gpu_worker.adapters import files
from guilds.adapter_models import Adapter
from guilds.models import ModelProfile, Usage
from jobs import storage
from jobs.job_status import Status
from jobs.models import Job, JobImage

from . import adapter_files, tiny_models
from .conftest import Place, running

SIZE = {"width": tiny_models.SIZE, "height": tiny_models.SIZE, "count": 1, "sampler": "k_euler"}


@pytest.fixture
def offered(place: Place, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Adapter]:
    """Store an adapter of the tiny model and offer it."""
    from diffusers import UNet2DConditionModel

    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    settings.MODEL_ID = str(tiny_models.folder())
    ModelProfile.objects.update(sizes=[f"{tiny_models.SIZE}x{tiny_models.SIZE}"])
    unet = UNet2DConditionModel.from_pretrained(tiny_models.folder() / "unet")

    def offer(slug: str, content: bytes | None = None) -> Adapter:
        if content is None:
            path = tmp_path / f"{slug}.safetensors"
            adapter_files.save_diffusers(path, unet, seed=len(slug), rank=4)
            content = path.read_bytes()
        adapter = Adapter(slug=slug, name=slug, enabled=True)
        adapter.file.save(f"{slug}.safetensors", ContentFile(content))
        place.guild.loras_offered.add(adapter)
        return adapter

    return offer


def _pixels(job: Job) -> Any:
    image = JobImage.objects.get(job=job)
    return np.asarray(Image.open(io.BytesIO(storage.fetch(image.key))), dtype=int)


def _reason(job: Job) -> tuple[str, str]:
    job.refresh_from_db()
    return job.status, job.reason


def test_jobs_with_different_loras_share_the_engine(place: Place, offered: Callable[..., Adapter]) -> None:
    from gpu_worker import diffusers_engine

    offered("night")
    offered("sketch")
    broken = offered("broken", b"PK\x03\x04" + bytes(99))
    styled = place.ask(loras="night:1,sketch:0.5", **SIZE)
    plain = place.ask(**SIZE)
    bad = place.ask(loras="broken:1", **SIZE)
    gone = place.ask(loras="sketch", **SIZE)
    Adapter.objects.filter(slug="sketch").update(enabled=True)
    with running(diffusers_engine.load) as runner:
        assert runner.run([job.pk for job in (styled, plain, bad, gone)]) == [Outcome.ENDED] * 4
    for job in (styled, plain, gone):
        assert _reason(job) == (Status.COMPLETED, "")
    assert np.abs(_pixels(styled) - _pixels(plain)).max() > 10
    # The parameters say how to make it again.
    image = Image.open(io.BytesIO(storage.fetch(JobImage.objects.get(job=styled).key)))
    assert image.info["parameters"].startswith("a red circle <lora:night:1> <lora:sketch:0.5>\n")
    # What the file says of itself is kept for the admin.
    assert Adapter.objects.get(slug="night").details["rank"] == 4
    assert _reason(bad) == (Status.FAILED, "lora_unusable")
    assert "can run code" in bad.detail
    assert "LoRA doesn't work with this model" in place.original(bad).content
    assert broken.details == {}
    assert set(Usage.objects.filter(subject_id=0).values_list("images", flat=True)) == {3}


def test_a_lora_that_is_taken_away_ends_the_job(place: Place, offered: Callable[..., Adapter]) -> None:
    from gpu_worker import diffusers_engine

    night, sketch = offered("night"), offered("sketch")
    first, second = place.ask(loras="night", **SIZE), place.ask(loras="sketch", **SIZE)
    Adapter.objects.filter(pk=night.pk).update(enabled=False)
    # The row is there, its file is not.
    storage.default_storage.delete(str(sketch.file.name))
    with running(diffusers_engine.load) as runner:
        runner.run([first.pk, second.pk])
    assert _reason(first) == _reason(second) == (Status.FAILED, "lora_unavailable")
    assert set(Usage.objects.values_list("images", flat=True)) == {0}
