"""What members and moderators may do to finished pictures."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.core.files.storage import default_storage
from django.db import transaction

from .models import Job, JobEvent, JobImage


def hide(job: Job, *, by: int, now: datetime) -> None:
    """Take the job's pictures out of sight everywhere."""
    with transaction.atomic():
        JobImage.objects.filter(job=job, hidden_at=None).update(hidden_at=now)
        JobEvent.objects.create(job=job, at=now, kind="hidden", detail={"by": str(by)})


def erasable_keys(job: Job) -> list[str]:
    """Return the keys of the job's pictures and grid; none where a report on them is still to be looked at."""
    images = JobImage.objects.filter(job=job)
    if images.filter(reported_at__isnull=False).exists():
        return []
    return [*images.values_list("key", flat=True), *([job.grid_key] if job.grid_key else [])]


def erase_files(keys: Iterable[str]) -> None:
    """Delete pictures from storage. Raises what the storage raises."""
    for key in keys:
        default_storage.delete(key)


def forget(job: Job) -> None:
    """Drop the rows of pictures whose files are gone."""
    with transaction.atomic():
        JobImage.objects.filter(job=job).delete()
        Job.objects.filter(pk=job.pk).update(grid_key="")


def report(job: Job, *, by: int, now: datetime) -> bool:
    """Put the job's pictures before the moderators; False when they were reported before or are gone."""
    with transaction.atomic():
        images = JobImage.objects.filter(job=job, reported_at=None, hidden_at=None)
        if not images.update(reported_at=now, reported_by=by):
            return False
        JobEvent.objects.create(job=job, at=now, kind="reported", detail={"by": str(by)})
    return True


def visible_grid(job: Job) -> str:
    """Return the key of the grid, "" where there is none or a picture of it was hidden."""
    if not job.grid_key or JobImage.objects.filter(job=job, hidden_at__isnull=False).exists():
        return ""
    return job.grid_key
