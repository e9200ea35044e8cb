"""Hide and report the images of a job."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from .models import Job, JobEvent, JobImage


def hide(job: Job, *, by: int, now: datetime) -> None:
    """Hide the job's images everywhere."""
    with transaction.atomic():
        JobImage.objects.filter(job=job, hidden_at=None).update(hidden_at=now)
        JobEvent.objects.create(job=job, at=now, kind="hidden", detail={"by": str(by)})


def report(job: Job, *, by: int, now: datetime) -> bool:
    """Report the job's images to the moderators. False if all are reported already, hidden or deleted."""
    with transaction.atomic():
        images = JobImage.objects.filter(job=job, reported_at=None, hidden_at=None)
        if not images.update(reported_at=now, reported_by=by):
            return False
        JobEvent.objects.create(job=job, at=now, kind="reported", detail={"by": str(by)})
    return True


def visible_grid(job: Job) -> str:
    """Return the grid's storage key; "" if there is no grid or one of its images is hidden."""
    if not job.grid_key or JobImage.objects.filter(job=job, hidden_at__isnull=False).exists():
        return ""
    return job.grid_key
