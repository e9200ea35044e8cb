"""Hide and report the images of a job."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from . import mod_log
from .models import MAX_REASON, Job, JobEvent, JobImage


def hide(job: Job, *, by: int, now: datetime) -> None:
    """Hide the job's images everywhere."""
    with transaction.atomic():
        JobImage.objects.filter(job=job, hidden_at=None).update(hidden_at=now)
        JobEvent.objects.create(job=job, at=now, kind="hidden", detail={"by": str(by)})


def report(job: Job, *, by: int, reason: str = "", now: datetime) -> bool:
    """Report the job's images to the moderators. False if all are reported already, hidden or deleted."""
    with transaction.atomic():
        images = JobImage.objects.filter(job=job, reported_at=None, hidden_at=None)
        if not images.update(reported_at=now, reported_by=by, report_reason=reason.strip()[:MAX_REASON]):
            return False
        JobEvent.objects.create(job=job, at=now, kind="reported", detail={"by": str(by)})
        mod_log.record(job.guild_id, mod_log.Kind.REPORT, now=now, user_id=by, job_id=job.pk, reason=reason.strip())
    return True


def visible_grid(job: Job) -> str:
    """Return the grid's storage key; "" if there is no grid or one of its images is hidden."""
    if not job.grid_key or JobImage.objects.filter(job=job, hidden_at__isnull=False).exists():
        return ""
    return job.grid_key


def visible_indexes(job: Job) -> list[int]:
    """Return the indexes of the job's images that are not hidden."""
    images = JobImage.objects.filter(job=job, hidden_at=None).exclude(key="")
    return list(images.order_by("index").values_list("index", flat=True))


def visible_image(job: Job, index: int) -> JobImage | None:
    """Return one image of the job, or None if there is none or it is hidden."""
    return JobImage.objects.filter(job=job, index=index, hidden_at=None).exclude(key="").first()
