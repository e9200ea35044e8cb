"""What members and moderators may do to finished pictures."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from .models import Job, JobEvent, JobImage


def hide(job: Job, *, by: int, now: datetime) -> None:
    """Take the job's pictures out of sight everywhere."""
    with transaction.atomic():
        JobImage.objects.filter(job=job, hidden_at=None).update(hidden_at=now)
        JobEvent.objects.create(job=job, at=now, kind="hidden", detail={"by": str(by)})


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
