"""An image that is upscaled keeps its content, needs no engine and takes no GPU time."""

from __future__ import annotations

import io

from PIL import Image, ImageChops

from gpu_worker.active_job import Outcome
from gpu_worker.engine import Engine
from gpu_worker.upscaling import LanczosUpscaler
from guilds.models import GpuLedger
from jobs import storage
from jobs.job_status import Status
from jobs.models import Job, JobImage

from .conftest import Place, running


def _image(job: Job, index: int) -> Image.Image:
    return Image.open(io.BytesIO(storage.fetch(JobImage.objects.get(job=job, index=index).key))).convert("RGB")


def test_an_image_is_upscaled_without_an_engine(place: Place) -> None:
    first = place.ask()
    with running() as runner:
        runner.run([first.pk])
    spent = sum(GpuLedger.objects.values_list("used_ms", flat=True))

    def no_engine(source: str) -> Engine:
        raise AssertionError("no engine is needed")

    large = place.ask(
        kind="upscale", source_job_id=first.pk, source_index=1, count=1, width=1024, height=1024, seed=8, strength=0.0
    )
    with running(no_engine) as runner:
        assert runner.run([large.pk]) == [Outcome.ENDED]
    large.refresh_from_db()
    assert large.status == Status.COMPLETED
    assert sum(GpuLedger.objects.values_list("used_ms", flat=True)) == spent
    enlarged = _image(large, 0)
    assert enlarged.size == (1024, 1024)
    back = enlarged.resize((512, 512), Image.Resampling.BOX)
    difference = ImageChops.difference(back, _image(first, 1)).convert("L")
    assert sum(difference.histogram()[:16]) > 0.95 * 512 * 512, "the same image, only larger"


def test_lanczos_keeps_a_plain_colour() -> None:
    enlarged = LanczosUpscaler().enlarge(Image.new("RGB", (3, 5), (10, 20, 30)), 4)
    assert enlarged.size == (12, 20)
    assert enlarged.getcolors() == [(240, (10, 20, 30))]
