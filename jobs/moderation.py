"""Actions of moderators and operators on requests, images, members and counters. Each writes a job event."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from discord_api import snowflakes
from discord_api.client import DiscordClient
from discord_api.errors import DiscordError
from guilds import blocked_terms, quota
from guilds.discord_client import from_settings
from guilds.models import BlockedTerm, Guild, Usage
from guilds.policy import Refusal
from guilds.term_search import TermRules

from . import job_erasure, mod_log, quota_settlement, submission, transitions
from .guild_lock import lock_guild, lock_guild_of
from .job_status import ENDED, OPEN
from .models import Job, JobEvent, JobImage
from .submission import Accepted, JobRequest

logger = logging.getLogger(__name__)

DRY_RUN_PROMPTS = 2000
# CPU seconds after which a dry run ends with the prompts it has checked.
DRY_RUN_S = 2.0


def retry(job_id: int, *, by: str, now: datetime) -> Accepted | Refusal | None:
    """Submit an ended job again, for its member and with its seed; None while it has not ended.

    The result is posted in the channel, since the member's interaction has expired. The member's limits apply. Their
    roles, which only Discord knows, are assumed to be sufficient.
    """
    job = Job.objects.select_related("guild", "model").filter(pk=job_id, status__in=ENDED).exclude(prompt="").first()
    if job is None:
        return None
    result = submission.submit(
        JobRequest(
            interaction_id=snowflakes.random_at(now),
            application_id=job.application_id,
            token="",  # nosec B106  # there is no interaction to respond to
            guild_id=job.guild_id,
            channel_id=job.channel_id,
            parent_channel_id=job.parent_channel_id,
            category_id=job.category_id,
            channel_nsfw=job.channel_nsfw,
            user_id=job.user_id,
            member_name=job.member_name,
            role_ids=frozenset(job.guild.allowed_role_ids),
            locale=job.locale,
            params=submission.params_to_repeat(job),
        ),
        now=now,
    )
    if isinstance(result, Accepted):
        Job.objects.filter(pk=result.job.pk).update(reply_deadline=now, encrypted_token=b"")
        _record_event(job_id, "retried", by=by, now=now, as_job=result.job.pk)
    return result


def refund(job_id: int, *, by: str, now: datetime) -> bool:
    """Refund the images that a completed job used, once. False if there is nothing to refund.

    GPU time is not refunded: it was spent.
    """
    with lock_guild_of(job_id) as guild:
        if guild is None or not quota_settlement.refund_images(job_id, now=now):
            return False
        _record_event(job_id, "refunded", by=by, now=now)
    return True


def cancel(job_id: int, *, by: str, now: datetime) -> bool:
    """End the job, or request its worker to stop. False if it has ended."""
    if not transitions.cancel(job_id, by=0, reason="cancelled_by_moderator", now=now):
        return False
    _record_event(job_id, "cancelled_by", by=by, now=now)
    return True


def hide(image_ids: Sequence[int], *, by: str, now: datetime) -> int:
    """Hide images from galleries, histories and new requests; return how many."""
    return _mark(image_ids, "hidden", by=by, now=now, was={"hidden_at": None}, becomes={"hidden_at": now})


def unhide(image_ids: Sequence[int], *, by: str, now: datetime) -> int:
    """Show hidden images again; return how many."""
    return _mark(image_ids, "shown", by=by, now=now, was={"hidden_at__isnull": False}, becomes={"hidden_at": None})


def blur(image_ids: Sequence[int], *, blurred: bool, by: str, now: datetime) -> int:
    """Blur or unblur images in galleries; return how many changed."""
    kind = "blurred" if blurred else "unblurred"
    return _mark(image_ids, kind, by=by, now=now, was={"blurred": not blurred}, becomes={"blurred": blurred})


def dismiss_reports(image_ids: Sequence[int], *, by: str, now: datetime) -> int:
    """Close the reports on images without action; return how many.

    Erasures that members requested meanwhile are done now.
    """
    dismissed = _mark(
        image_ids,
        "report_dismissed",
        by=by,
        now=now,
        was={"reported_at__isnull": False},
        becomes={"reported_at": None, "reported_by": None, "report_reason": ""},
    )
    job_erasure.erase_decided(set(JobImage.objects.filter(pk__in=image_ids).values_list("job_id", flat=True)))
    return dismissed


def _mark(
    image_ids: Sequence[int],
    kind: str,
    *,
    by: str,
    now: datetime,
    was: dict[str, object],
    becomes: dict[str, object],
) -> int:
    with transaction.atomic():
        rows = JobImage.objects.select_for_update().filter(pk__in=image_ids, **was)
        images = list(rows.values_list("pk", "job_id", "index"))
        JobImage.objects.filter(pk__in=[pk for pk, _, _ in images]).update(**becomes)
        JobEvent.objects.bulk_create(
            JobEvent(job_id=job_id, at=now, kind=kind, detail={"by": by, "image": index + 1})
            for _, job_id, index in images
        )
    return len(images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """How many images were deleted, and whether the message on Discord is gone."""

    images: int
    message_gone: bool


def delete_everywhere(job_id: int, *, by: str, now: datetime, client: DiscordClient | None = None) -> Deleted | None:
    """Delete an ended job's images from storage and gallery, and its message from Discord; None while it runs.

    For a moderator, whose decision closes the reports on these images.
    """
    clear_reports(job_id)
    deleted = _delete(job_id, Job.Erasure.IMAGES, by=by, now=now, client=client)
    job = Job.objects.filter(pk=job_id).only("guild_id", "user_id").first()
    if deleted is not None and job is not None:
        detail = {"user_id": job.user_id, "by": by, "job_id": job_id, "images": deleted.images}
        mod_log.record(job.guild_id, mod_log.Kind.REMOVAL, now=now, **detail)
    return deleted


def clear_reports(job_id: int) -> None:
    """Close the reports on an ended job's images, before they are deleted."""
    images = JobImage.objects.filter(job_id=job_id, reported_at__isnull=False).exclude(job__status__in=OPEN)
    images.update(reported_at=None, reported_by=None, report_reason="")


def delete_by_member(job_id: int, *, now: datetime, client: DiscordClient | None = None) -> Deleted | None:
    """Delete an ended job's images and words, and its message from Discord, for its member; None while it runs.

    Reported images are hidden and kept until a moderator decides (jobs.job_erasure).
    """
    return _delete(job_id, Job.Erasure.WORDS, by="member", now=now, client=client)


def _delete(job_id: int, what: Job.Erasure, *, by: str, now: datetime, client: DiscordClient | None) -> Deleted | None:
    job = Job.objects.filter(pk=job_id).exclude(status__in=OPEN).first()
    if job is None:
        return None
    images = JobImage.objects.filter(job=job).count()
    _record_event(job_id, "deleted", by=by, now=now, images=images)
    message_gone = _delete_message(job, client=client)
    job_erasure.erase(job_id, what, now=now)
    return Deleted(images=images, message_gone=message_gone)


def _delete_message(job: Job, *, client: DiscordClient | None) -> bool:
    if not job.message_id:
        return True
    if job.ephemeral or job.delivered_via == Job.Via.DM:
        return False  # The bot cannot delete it.
    client = client or from_settings()
    try:
        client.delete_message(job.channel_id, job.message_id)
    except DiscordError as error:
        logger.warning("message_not_deleted", extra={"job_id": job.pk, "status": error.status, "code": error.code})
        return error.status == 404
    Job.objects.filter(pk=job.pk).update(message_id=None)
    return True


def cancel_member_jobs(guild_id: int | None, user_id: int, *, by: str, now: datetime) -> int:
    """Cancel a member's open jobs in one guild (None: in all); return how many."""
    jobs = Job.objects.filter(user_id=user_id, status__in=OPEN)
    if guild_id is not None:
        jobs = jobs.filter(guild_id=guild_id)
    return sum(cancel(pk, by=by, now=now) for pk in jobs.values_list("pk", flat=True))


def grant(usage_id: int, *, images: int = 0, gpu_ms: int = 0, operator: bool = False) -> bool:
    """Add to the limit in this window. False if the counter is gone, or if only operators may change it.

    Counters of a whole guild are for operators, because the operators' limits use them.
    """
    return _change_counter(
        usage_id,
        operator=operator,
        granted_images=F("granted_images") + images,
        granted_gpu_ms=F("granted_gpu_ms") + gpu_ms,
    )


def reset_window(usage_id: int, *, operator: bool = False) -> bool:
    """Let the subject use its whole limit again in this window. False as in `grant`.

    Used amounts are granted again. The counters stay, because open requests still settle with them.
    """
    return _change_counter(usage_id, operator=operator, granted_images=F("images"), granted_gpu_ms=F("gpu_ms"))


def _change_counter(usage_id: int, *, operator: bool, **changes: Any) -> bool:
    counter = Usage.objects.filter(pk=usage_id).first()
    if counter is None or (counter.subject_id == quota.GUILD_SUBJECT and not operator):
        return False
    with lock_guild(counter.guild_id):
        return bool(Usage.objects.filter(pk=usage_id).update(**changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a term would have blocked: prompts checked, prompts hit, and a few of the jobs."""

    looked_at: int
    hits: int
    examples: tuple[Job, ...]


def dry_run(phrase: str, *, guild_ids: Sequence[int] | None) -> DryRun:
    """Match a term with the newest prompts of the guilds (None: of all), as many as time allows. Changes nothing.

    Each guild's exceptions and its option for spaced letters apply.
    """
    folded = blocked_terms.fold(phrase)
    jobs = Job.objects.exclude(prompt="").order_by("-pk")
    if guild_ids is not None:
        jobs = jobs.filter(guild_id__in=guild_ids)
    looked_at, hits = 0, []
    rules, ends_at = _term_rules(), time.thread_time() + DRY_RUN_S
    rows = jobs.values_list("pk", "prompt", "guild_id")[:DRY_RUN_PROMPTS]
    for job_id, prompt, guild_id in rows.iterator(chunk_size=100):
        if not folded or time.thread_time() > ends_at:
            break
        looked_at += 1
        if rules(guild_id).find(prompt, [folded]) is not None:
            hits.append(job_id)
    examples = Job.objects.filter(pk__in=hits[:10]).only("pk", "prompt", "guild_id", "created_at").order_by("-pk")
    return DryRun(looked_at=looked_at, hits=len(hits), examples=tuple(examples))


def _term_rules() -> Callable[[int], TermRules]:
    """Return the function that returns a guild's rules."""
    exceptions: dict[int | None, set[str]] = {}
    for guild_id, folded in BlockedTerm.objects.filter(allowed=True).values_list("guild_id", "folded"):
        exceptions.setdefault(guild_id, set()).add(folded)
    spaced = set(Guild.objects.filter(find_spaced_letters=True).values_list("pk", flat=True))
    everywhere = frozenset(exceptions.get(None, ()))

    @functools.cache
    def rules(guild_id: int) -> TermRules:
        return TermRules(
            platform_exceptions=everywhere,
            exceptions=frozenset(exceptions.get(guild_id, ())),
            spaced_too=guild_id in spaced,
        )

    return rules


def _record_event(job_id: int, kind: str, *, by: str, now: datetime, **detail: object) -> None:
    JobEvent.objects.create(job_id=job_id, at=now, kind=kind, detail={"by": by, **detail})
