"""A job's way through the worker, on real edges."""

from __future__ import annotations

import io

from PIL import Image

from gpu_worker.runner import Outcome
from jobs import storage
from jobs.lifecycle import Status
from jobs.models import JobImage

from .conftest import Place, running


def test_a_job_becomes_a_message_with_a_grid_and_four_pictures_in_storage(place: Place) -> None:
    job = place.ask(prompt="a red circle on a blue background")
    with running() as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]

    job.refresh_from_db()
    assert (job.status, job.delivered_via, job.token) == (Status.COMPLETED, "original", "")
    message = place.original(job)
    assert message.content.startswith("**Completed your Sparkle!**")
    grid = message.attachments.get()
    assert (grid.width, grid.height, grid.description) == (1024, 1024, "a red circle on a blue background")
    assert job.message_id == message.pk

    pictures = list(JobImage.objects.filter(job=job))
    assert [picture.seed for picture in pictures] == [7, 8, 9, 10]
    made = [Image.open(io.BytesIO(storage.fetch(picture.key))) for picture in pictures]
    assert {each.size for each in made} == {(512, 512)}
    assert "Seed: 9" in made[2].info["parameters"]
    assert "trainedAlgorithmicMedia" in made[0].info["xmp"].decode()
