"""What an ended job returns to its quotas. The caller's transaction holds the lock of the guild's row."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from .job_status import Status
from .models import Job
from .named_queries import load


def settle(job_id: int, *, completed: bool, now: datetime) -> None:
    """Replace, once, the job's reservation by its actual use. Only a completed job uses images."""
    if Job.objects.filter(pk=job_id, settled_at=None).update(settled_at=now):
        _adjust_usage(job_id, return_images=not completed, settle_gpu_time=True)


def refund_images(job_id: int, *, now: datetime) -> bool:
    """Return, once, the images that a completed job used. GPU time was spent and stays charged."""
    refundable = Job.objects.filter(pk=job_id, status=Status.COMPLETED, settled_at__isnull=False, refunded_at=None)
    if not refundable.update(refunded_at=now):
        return False
    _adjust_usage(job_id, return_images=True, settle_gpu_time=False)
    return True


def _adjust_usage(job_id: int, *, return_images: bool, settle_gpu_time: bool) -> None:
    job = Job.objects.only("usage_ids", "reserved_images", "reserved_gpu_ms", "gpu_ms").get(pk=job_id)
    images = -job.reserved_images if return_images else 0
    gpu_ms = job.gpu_ms - job.reserved_gpu_ms if settle_gpu_time else 0
    if job.usage_ids and (images or gpu_ms):
        with connection.cursor() as cursor:
            cursor.execute(load("adjust_usage"), {"ids": job.usage_ids, "images": images, "gpu_ms": gpu_ms})
