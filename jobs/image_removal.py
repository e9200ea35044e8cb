"""Removal of one image of a request: from Discord, the storage and every list. The other images stay."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError

from . import job_erasure, mod_log
from .job_status import OPEN
from .models import Job, JobEvent, JobImage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a removal did. `on_discord`: the image is in no message any more. `others`: images of the request left."""

    images: int
    others: int
    on_discord: bool
    message_deleted: bool


def remove(image_ids: list[int], *, by: str, now: datetime, client: DiscordClient) -> list[Removed]:
    """Remove the images, request by request, and close their reports. Images of running requests are left out.

    Raises the storage's errors; what is left can be removed again.
    """
    by_job: dict[int, list[JobImage]] = {}
    for image in JobImage.objects.filter(pk__in=image_ids).exclude(job__status__in=OPEN).order_by("job_id", "index"):
        by_job.setdefault(image.job_id, []).append(image)
    return [_remove_of_job(job_id, images, by=by, now=now, client=client) for job_id, images in by_job.items()]


def _remove_of_job(job_id: int, images: list[JobImage], *, by: str, now: datetime, client: DiscordClient) -> Removed:
    job = Job.objects.get(pk=job_id)
    before = list(JobImage.objects.filter(job=job).order_by("index").values_list("pk", flat=True))
    gone = {image.pk for image in images}
    others = [pk for pk in before if pk not in gone]
    # Hidden first: nothing shows it while Discord and the storage are asked.
    JobImage.objects.filter(pk__in=gone, hidden_at=None).update(hidden_at=now)
    places = [before.index(image.pk) for image in images]
    on_discord, message_deleted = _take_off_discord(job, places, shown=len(before), left=len(others), client=client)
    keys = [image.key for image in images]
    if job.grid_key and job.grid_key not in keys:
        keys.append(job.grid_key)  # It shows the removed image too.
    job_erasure.erase_files(keys)
    with transaction.atomic():
        JobImage.objects.filter(pk__in=gone).delete()
        Job.objects.filter(pk=job_id).update(grid_key="")
        JobEvent.objects.create(
            job_id=job_id,
            at=now,
            kind="removed",
            detail={"by": by, "images": ", ".join(str(image.index + 1) for image in images)},
        )
    job_erasure.erase_decided({job_id})
    mod_log.record(
        job.guild_id,
        mod_log.Kind.REMOVAL,
        now=now,
        user_id=job.user_id,
        by=by,
        job_id=job_id,
        images=len(images),
    )
    return Removed(images=len(images), others=len(others), on_discord=on_discord, message_deleted=message_deleted)


def _take_off_discord(
    job: Job, places: list[int], *, shown: int, left: int, client: DiscordClient
) -> tuple[bool, bool]:
    """Return whether the images are off Discord, and whether their message was deleted for it.

    A message with a file for each image keeps the others. One file of all images cannot lose a part of itself.
    """
    if not job.message_id:
        return True, False
    if job.ephemeral or job.delivered_via == Job.Via.DM:
        return False, False  # The bot cannot change it.
    try:
        kept = _drop_attachments(job.channel_id, job.message_id, places, shown=shown, client=client) if left else False
        if kept:
            return True, False
        client.delete_message(job.channel_id, job.message_id)
    except DiscordError as error:
        logger.warning("image_not_removed", extra={"job_id": job.pk, "status": error.status, "code": error.code})
        return error.status == 404, False
    Job.objects.filter(pk=job.pk).update(message_id=None)
    return True, True


def _drop_attachments(
    channel_id: int, message_id: int, places: list[int], *, shown: int, client: DiscordClient
) -> bool:
    """Remove the files at `places` from a message with one file for each image; False if it is not such a message."""
    message = client.message(channel_id, message_id)
    attachments = [item for item in message.get("attachments") or [] if isinstance(item, dict) and item.get("id")]
    if len(attachments) != shown or shown < 2:
        return False
    keep = [int(item["id"]) for place, item in enumerate(attachments) if place not in places]
    client.keep_attachments(channel_id, message_id, keep)
    return True
