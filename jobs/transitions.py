"""Changes of a job's status after admission: the one implementation for Lambda, worker, Celery, upkeep and admin.

Lock order: the guild's row (jobs.guild_lock), then its usage counters, then its jobs. A job ends in one transaction:
lock the guild's row, move the job by compare-and-set, charge the GPU time, settle the quota, promote waiting jobs.
Messages are sent after the commit; upkeep sends failed ones again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from guilds import gpu_ledger
from guilds.models import Guild, Platform

from . import fair_queue, quota_settlement
from .dispatch.sending import send_after_commit
from .guild_lock import lock_guild, lock_guild_of
from .job_status import ENDED, Status
from .models import Job, JobEvent, JobImage


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image in storage under `key`. `nsfw_score` is 0..1, or None if no check ran."""

    index: int
    key: str
    seed: int
    width: int
    height: int
    bytes: int
    nsfw_score: float | None = None
    blurred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRenewal:
    """The result of `renew`: `ours` are the jobs still leased; `cancel` are those whose cancel was requested."""

    ours: frozenset[int]
    cancel: frozenset[int]


def claim(job_id: int, *, worker_id: str, now: datetime) -> Job | None:
    """Claim the job under a lease, or return None if there is nothing to claim.

    A running job whose lease expired is taken over. After `SPARKLE_MAX_ATTEMPTS` attempts it fails instead.
    """
    if Platform.objects.filter(draining=True).exists():
        return None
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        return None
    if job.status == Status.RUNNING and job.lease_expires_at and job.lease_expires_at < now:
        reclaim(job, now=now, resend=False)
        job.refresh_from_db()
    if job.status != Status.QUEUED:
        return None
    with transaction.atomic():
        won = Job.objects.move(
            job_id,
            Status.QUEUED,
            Status.RUNNING,
            at=now,
            event={"worker": worker_id},
            worker_id=worker_id,
            lease_expires_at=_lease_end(now),
            attempts=F("attempts") + 1,
            started_at=now,
            progress_step=0,
        )
    return Job.objects.select_related("guild", "model").get(pk=job_id) if won else None


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.SPARKLE_LEASE_SECONDS)


def renew(job_ids: Iterable[int], *, worker_id: str, now: datetime) -> LeaseRenewal:
    """Extend this worker's leases on the jobs."""
    leased = Job.objects.filter(pk__in=list(job_ids), status=Status.RUNNING, worker_id=worker_id)
    leased.update(lease_expires_at=_lease_end(now))
    rows = leased.values_list("pk", "cancel_requested_at")
    return LeaseRenewal(
        ours=frozenset(pk for pk, _ in rows), cancel=frozenset(pk for pk, requested in rows if requested is not None)
    )


def record_progress(job_id: int, *, worker_id: str, step: int, total: int, now: datetime) -> bool:
    """Write the step and renew the lease. False if another worker has the job or its cancel was requested."""
    return bool(
        Job.objects.filter(pk=job_id, status=Status.RUNNING, worker_id=worker_id, cancel_requested_at=None).update(
            progress_step=step, progress_total=total, lease_expires_at=_lease_end(now)
        )
    )


def record_images(
    job_id: int, *, worker_id: str, images: Sequence[StoredImage], grid_key: str, gpu_ms: int, now: datetime
) -> bool:
    """Record that the images are in storage and charge the attempt's `gpu_ms`. False if another worker has the job.

    Later attempts only deliver the images.
    """
    with lock_guild_of(job_id) as guild:
        if guild is None or not Job.objects.filter(
            pk=job_id, status=Status.RUNNING, worker_id=worker_id, images_stored_at=None
        ).update(images_stored_at=now, grid_key=grid_key):
            return False
        _charge(job_id, guild, gpu_ms, now=now)
        JobImage.objects.bulk_create(
            [
                JobImage(
                    job_id=job_id,
                    index=image.index,
                    key=image.key,
                    seed=image.seed,
                    width=image.width,
                    height=image.height,
                    bytes=image.bytes,
                    nsfw_score=image.nsfw_score,
                    blurred=image.blurred,
                    created_at=now,
                )
                for image in images
            ]
        )
        JobEvent.objects.create(job_id=job_id, at=now, kind="made", detail={"gpu_ms": gpu_ms, "count": len(images)})
    return True


def _charge_attempt(job_id: int, guild: Guild, gpu_ms: int | None, *, now: datetime) -> None:
    """Charge the GPU time of the attempt that ends. The caller holds the guild's lock.

    `gpu_ms` is None if the worker did not measure it or is lost. Then the estimate times the progress is charged.
    """
    job = Job.objects.only("reserved_gpu_ms", "progress_step", "progress_total", "images_stored_at").get(pk=job_id)
    if job.images_stored_at is not None:
        return  # record_images charged it.
    if gpu_ms is None:
        share_done = min(1.0, job.progress_step / job.progress_total) if job.progress_total else 0.0
        gpu_ms = round(job.reserved_gpu_ms * share_done)
    _charge(job_id, guild, gpu_ms, now=now)


def _charge(job_id: int, guild: Guild, gpu_ms: int, *, now: datetime) -> None:
    gpu_ms = min(max(0, gpu_ms), gpu_ledger.MAX_GPU_MS)
    if gpu_ms:
        Job.objects.filter(pk=job_id).update(gpu_ms=F("gpu_ms") + gpu_ms)
        gpu_ledger.charge(guild.pk, gpu_ms, now=now)


def complete(job_id: int, *, worker_id: str, delivered_via: str | None, message_id: int | None, now: datetime) -> bool:
    """End the job as completed and settle its quota by actual use. False if another worker has the job.

    `delivered_via` None means that Discord is unavailable: the token is kept, and upkeep delivers the images.
    """
    delivery: dict[str, Any] = {}
    if delivered_via is not None:
        delivery = {"message_id": message_id, "notified_at": now, "encrypted_token": b""}
    return _finish(
        job_id,
        (Status.RUNNING,),
        Status.COMPLETED,
        now=now,
        where=Q(worker_id=worker_id),
        reason="",
        delivered_via=delivered_via or "",
        **delivery,
    )


def fail(
    job_id: int,
    *,
    worker_id: str,
    reason: str,
    detail: str = "",
    permanent: bool,
    gpu_ms: int | None = None,
    now: datetime,
) -> Status | None:
    """Requeue the job for another attempt, or end it as failed and refund its images.

    Return the new status, or None if another worker has the job. `gpu_ms` is the attempt's GPU time, charged either
    way; None charges by progress. QUEUED sends a new message, so the current message may be deleted.
    """
    job = Job.objects.filter(pk=job_id, status=Status.RUNNING, worker_id=worker_id).first()
    if job is None:
        return None
    if not permanent and job.attempts < settings.SPARKLE_MAX_ATTEMPTS:
        return Status.QUEUED if _requeue(job, now=now, cause=reason, resend=True, gpu_ms=gpu_ms) else None
    ended = _finish(
        job_id,
        (Status.RUNNING,),
        Status.FAILED,
        now=now,
        where=Q(worker_id=worker_id),
        gpu_ms=gpu_ms,
        reason=reason,
        detail=detail,
    )
    return Status.FAILED if ended else None


def release(job_id: int, *, worker_id: str, gpu_ms: int | None = None, now: datetime, resend: bool = False) -> bool:
    """Return a running job to the queue without counting the attempt, because its worker shuts down.

    `gpu_ms` is the attempt's GPU time; None charges by progress. The caller makes the current message visible again,
    or sets `resend` to send a new one.
    """
    job = Job.objects.filter(pk=job_id, status=Status.RUNNING, worker_id=worker_id).first()
    if job is None:
        return False
    return _requeue(job, now=now, cause="released", resend=resend, gpu_ms=gpu_ms, attempts=F("attempts") - 1)


def reclaim(job: Job, *, now: datetime, resend: bool = True) -> Status | None:
    """Take a running job from a worker whose lease expired: requeue it, or fail it after the last attempt.

    Return the new status, or None if the job changed meanwhile.
    """
    expired = Q(worker_id=job.worker_id, lease_expires_at=job.lease_expires_at)
    if job.cancel_requested_at and job.images_stored_at is None:
        ended = _finish(
            job.pk, (Status.RUNNING,), Status.CANCELLED, now=now, where=expired, reason="cancelled_by_member"
        )
        return Status.CANCELLED if ended else None
    # Stored images only need delivery, so attempts do not count.
    if job.attempts < settings.SPARKLE_MAX_ATTEMPTS or job.images_stored_at:
        return Status.QUEUED if _requeue(job, now=now, cause="worker_lost", resend=resend, where=expired) else None
    ended = _finish(job.pk, (Status.RUNNING,), Status.FAILED, now=now, where=expired, reason="worker_lost")
    return Status.FAILED if ended else None


def _requeue(
    job: Job,
    *,
    now: datetime,
    cause: str,
    resend: bool,
    where: Q | None = None,
    gpu_ms: int | None = None,
    **fields: Any,
) -> bool:
    if resend:
        fields |= {"messages_sent": F("messages_sent") + 1}
    with lock_guild(job.guild_id) as guild:
        moved = Job.objects.move(
            job.pk,
            Status.RUNNING,
            Status.QUEUED,
            at=now,
            event={"cause": cause, "attempt": job.attempts},
            where=where if where is not None else Q(worker_id=job.worker_id),
            worker_id="",
            lease_expires_at=None,
            message_sent_at=now,
            **fields,
        )
        if moved:
            _charge_attempt(job.pk, guild, gpu_ms, now=now)
    if moved and resend:
        send_after_commit(list(Job.objects.filter(pk=job.pk)))
    return moved


def cancel(job_id: int, *, by: int, reason: str = "cancelled_by_member", now: datetime) -> bool:
    """End a waiting or queued job and refund it; request a running one to stop.

    False if it has ended or its images are stored: a lost worker may have posted them already.
    """
    no_images = Q(images_stored_at=None)
    if _finish(
        job_id, (Status.WAITING, Status.QUEUED), Status.CANCELLED, now=now, where=no_images, reason=reason, by=by
    ):
        return True
    with transaction.atomic():
        requested = Job.objects.filter(
            pk=job_id, status=Status.RUNNING, images_stored_at=None, cancel_requested_at=None
        ).update(cancel_requested_at=now, reason=reason)
        if requested:
            JobEvent.objects.create(job_id=job_id, at=now, kind="cancel_requested", detail={"by": str(by)})
    return bool(requested)


def finish_cancel(job_id: int, *, worker_id: str, gpu_ms: int | None = None, now: datetime) -> bool:
    """End a running job whose cancel was requested and refund its images. False if another worker has the job.

    `gpu_ms` is the attempt's GPU time; None charges by progress.
    """
    where = Q(worker_id=worker_id, cancel_requested_at__isnull=False)
    return _finish(job_id, (Status.RUNNING,), Status.CANCELLED, now=now, where=where, gpu_ms=gpu_ms)


def expire(job_id: int, *, now: datetime) -> bool:
    """End a job that waited too long and refund it. False if its images are stored: they only need delivery."""
    return _finish(
        job_id,
        (Status.WAITING, Status.QUEUED),
        Status.EXPIRED,
        now=now,
        where=Q(images_stored_at=None),
        reason="waited_too_long",
    )


def mark_notified(job_id: int, *, via: str, message_id: int | None, now: datetime) -> None:
    """Record that the requester has the final message, and delete the token."""
    Job.objects.filter(pk=job_id, notified_at=None, status__in=ENDED).update(
        notified_at=now, delivered_via=via, message_id=message_id, encrypted_token=b""
    )


def _finish(
    job_id: int,
    old: tuple[Status, ...],
    new: Status,
    *,
    now: datetime,
    where: Q | None = None,
    by: int | None = None,
    gpu_ms: int | None = None,
    **fields: Any,
) -> bool:
    """End a job; every terminal status is written here. False if the job is not in one of the `old` statuses.

    1. Lock the guild's row.
    2. Move the job by compare-and-set.
    3. Charge the GPU time of the attempt, if the job was running.
    4. Settle the job's reserved quota.
    5. Promote waiting jobs into the free slot. Commit, then send their messages.
    """
    event = {key: fields[key] for key in ("reason", "delivered_via") if fields.get(key)}
    if by is not None:
        # As text: JavaScript numbers lose a snowflake's last digits.
        event["by"] = str(by)
    with lock_guild_of(job_id) as guild:
        if guild is None:
            return False
        fields |= {"ended_at": now, "lease_expires_at": None}
        old_status = next(
            (
                status
                for status in old
                if Job.objects.move(job_id, status, new, at=now, event=event, where=where, **fields)
            ),
            None,
        )
        if old_status is None:
            return False
        if old_status == Status.RUNNING:
            _charge_attempt(job_id, guild, gpu_ms, now=now)
        quota_settlement.settle(job_id, completed=new == Status.COMPLETED, now=now)
        promoted = fair_queue.promote(guild, now=now)
    send_after_commit(promoted)
    return True
