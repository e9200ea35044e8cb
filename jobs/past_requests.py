"""The kept requests of a guild, as a replay of quota rules needs them (guilds.quota_replay)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from guilds.quota_replay import PastRequest

from .job_status import OPEN, Status
from .models import Job, JobEvent

MAX_REQUESTS = 100_000


def since(guild_id: int, start: datetime) -> Iterator[PastRequest]:
    """Yield the guild's requests since `start`, oldest first: those that were accepted, and those that a quota or
    the cool-down refused.

    A refused request is known by the images that its refusal names; without them it is left out.
    """
    rows = Job.objects.filter(guild_id=guild_id, created_at__gte=start).order_by("pk")
    refused = rows.filter(status=Status.REFUSED, reason__in=("quota_exceeded", "cooldown")).values("pk")[:MAX_REQUESTS]
    events = JobEvent.objects.filter(job_id__in=refused, kind=Status.REFUSED).values_list("job_id", "detail")
    needed = {job_id: detail["needed"] for job_id, detail in events if detail.get("metric") == "images"}
    for job in rows.defer("prompt", "styled_prompt", "negative_prompt", "encrypted_token")[:MAX_REQUESTS].iterator():
        places = frozenset({job.channel_id, job.parent_channel_id, job.category_id})
        if job.status == Status.REFUSED:
            if isinstance(images := needed.get(job.pk), int):
                yield PastRequest(
                    at=job.created_at,
                    user_id=job.user_id,
                    images=images,
                    gpu_ms=0,
                    used_images=images,
                    used_gpu_ms=0,
                    places=places,
                )
            continue
        counts = job.status == Status.COMPLETED or job.status in OPEN
        gpu_ms = job.gpu_ms or job.reserved_gpu_ms
        yield PastRequest(
            at=job.created_at,
            user_id=job.user_id,
            images=job.count,
            gpu_ms=job.reserved_gpu_ms or gpu_ms,
            used_images=job.count if counts else 0,
            used_gpu_ms=gpu_ms if counts else 0,
            places=places,
        )
