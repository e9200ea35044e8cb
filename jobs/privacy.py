"""Export and erasure of one member, and erasure of one guild. What is erased is gone from storage too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.files.storage import default_storage
from django.db import transaction

from guilds.models import Ban, Guild, Staff, Usage

from . import actions
from .lifecycle import OPEN
from .models import Job, JobEvent, JobImage, Turn

BATCH = 500


def export_member(user_id: int) -> Iterator[dict[str, Any]]:
    """Yield all that is kept about a member, one plain record a time; snowflakes as text, times in ISO 8601."""
    for job in Job.objects.filter(user_id=user_id).order_by("pk").prefetch_related("images").iterator(BATCH):
        yield {
            "type": "request",
            "id": job.pk,
            "guild_id": str(job.guild_id),
            "channel_id": str(job.channel_id),
            "name": job.member_name,
            "created_at": job.created_at.isoformat(),
            "status": job.status,
            "reason": job.reason,
            "kind": job.kind,
            "prompt": job.prompt,
            "negative_prompt": job.negative_prompt,
            "style": job.style,
            "seed": job.seed,
            "steps": job.steps,
            "sampler": job.sampler,
            "size": f"{job.width}x{job.height}",
            "guidance": job.guidance,
            "pictures": [{"index": image.index, "key": image.key, "seed": image.seed} for image in job.images.all()],
        }
    for row in Usage.objects.filter(subject_id=user_id).order_by("starts_at").iterator(BATCH):
        yield {
            "type": "usage",
            "guild_id": str(row.guild_id),
            "window": row.window,
            "starts_at": row.starts_at.isoformat(),
            "pictures": row.pictures,
            "gpu_seconds": row.gpu_ms / 1000,
        }
    for ban in Ban.objects.filter(user_id=user_id):
        yield {"type": "ban", "guild_id": str(ban.guild_id or ""), "reason": ban.reason, "until": str(ban.until or "")}
    for staff in Staff.objects.filter(user_id=user_id):
        yield {"type": "staff", "guild_id": str(staff.guild_id), "role": staff.role}


def erase_member(user_id: int, *, now: datetime) -> int:
    """Cancel, then delete everything of a member: requests, pictures, counters, turns. Return how many requests.

    Bans stay: they hold a snowflake and protect the servers that set them. A running request is asked to stop and
    is erased when this is called again.
    """
    for job_id in Job.objects.filter(user_id=user_id, status__in=OPEN).values_list("pk", flat=True):
        actions.cancel(job_id, by=user_id, reason="erased", now=now)
    erased = _delete_jobs(user_id=user_id)
    Usage.objects.filter(subject_id=user_id).delete()
    Turn.objects.filter(user_id=user_id).delete()
    Staff.objects.filter(user_id=user_id).delete()
    return erased


def erase_guild(guild_id: int, *, now: datetime) -> int:
    """Delete a guild with everything that hangs on it, storage included. Return how many requests it had."""
    Guild.objects.filter(pk=guild_id).update(enabled=False)
    for job_id in Job.objects.filter(guild_id=guild_id, status__in=OPEN).values_list("pk", flat=True):
        actions.cancel(job_id, by=0, reason="erased", now=now)
    erased = _delete_jobs(guild_id=guild_id)
    if not Job.objects.filter(guild_id=guild_id).exists():
        Guild.objects.filter(pk=guild_id).delete()
    return erased


def _delete_jobs(**of: int) -> int:
    erased = 0
    while True:
        jobs = list(Job.objects.filter(**of).exclude(status__in=OPEN).order_by("pk")[:BATCH])
        if not jobs:
            return erased
        ids = [job.pk for job in jobs]
        # Storage first: a row that is left names what is left to delete, the other way round nobody would know.
        for key in [
            *JobImage.objects.filter(job_id__in=ids).values_list("key", flat=True),
            *(job.grid_key for job in jobs if job.grid_key),
        ]:
            default_storage.delete(key)
        with transaction.atomic():
            JobImage.objects.filter(job_id__in=ids).delete()
            JobEvent.objects.filter(job_id__in=ids).delete()
            Job.objects.filter(source_job_id__in=ids).update(source_job=None)
            Job.objects.filter(pk__in=ids).delete()
        erased += len(ids)
