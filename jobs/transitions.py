"""What can be done to a job: the one implementation for Lambda, worker, Celery, upkeep and admin.

Whatever writes a counter holds the guild's row first (jobs.guild_lock). Every end of a job is one transaction: lock the
guild's row, move by compare-and-set, charge the GPU time, settle the quota, promote the next. Messages are sent after
the commit; upkeep sends those again that failed.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from guilds import gpu_ledger, policy, quota
from guilds.models import BlockedTerm, Guild, ModelProfile, Platform
from guilds.policy import Refusal
from guilds.quota_clock import Window
from guilds.samplers import SAMPLERS

from . import admission, fair_queue
from .dispatch.message import Dispatcher, DispatchFailed, JobMessage, current_dispatcher
from .guild_lock import lock_guild, lock_guild_of
from .lifecycle import ENDED, Status
from .models import Job, JobEvent, JobImage
from .token_encryption import encrypt

logger = logging.getLogger(__name__)

# Discord voids an interaction token after 15 minutes; the margin covers the upload.
TOKEN_LIFE = timedelta(minutes=14, seconds=30)
_SAMPLER_NAMES = frozenset(SAMPLERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What a member asked for, parsed from an interaction; None where nothing was said."""

    interaction_id: int
    application_id: int
    token: str
    guild_id: int
    channel_id: int
    parent_channel_id: int | None = None
    category_id: int | None = None
    channel_nsfw: bool | None = False
    channel_complete: bool = True
    user_id: int
    member_name: str = ""
    role_ids: frozenset[int] = frozenset()
    locale: str = "en-US"
    app_permissions: int | None = None
    attachment_size_limit: int = 10 * 1024 * 1024
    prompt: str
    negative_prompt: str | None = None
    seed: int | None = None
    steps: int | None = None
    sampler: str | None = None
    width: int | None = None
    height: int | None = None
    guidance: float | None = None
    count: int | None = None
    style: str | None = None
    model: str | None = None
    kind: str = Job.Kind.TXT2IMG
    source_job_id: int | None = None
    source_index: int | None = None
    source_url: str = ""
    strength: float | None = None
    lowerable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The job, and what to tell the member. `repeated`: the same interaction had been accepted before."""

    job: Job
    place: int
    wait_s: float | None
    gpu_starting: bool
    repeated: bool = False
    budget_warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """A picture that is in storage under `key`. `nsfw_score` 0..1 where a check ran."""

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
    """After a renewal: the jobs still held, and those of them whose asker wants them stopped."""

    ours: frozenset[int]
    cancel: frozenset[int]


def submit(
    ask: JobRequest, *, now: datetime, dispatch: Dispatcher | None = None, send_hook: SendHook | None = None
) -> Accepted | Refusal:
    """Decide about a request and write its row, or say why not. A refusal is recorded and costs nothing.

    1. Lock the guild's row.
    2. Read all that decides, in one query.
    3. Decide: policy, capacity of the queues, quotas, budget.
    4. Write the job with what it reserves, or the refusal. Commit.
    5. Send the message of a job that may start now, or give `send_hook` the sending and what to do where that fails.

    The same interaction gets the same answer again. Raises Guild.DoesNotExist for a guild that was never installed.
    """
    try:
        with lock_guild(ask.guild_id) as guild:
            result = _admit(ask, guild, now=now)
    except IntegrityError:
        # Deliveries of one interaction that name two guilds at once do not wait for each other's lock.
        result = _repeated(Job.objects.get(interaction_id=ask.interaction_id), now=now)
    if isinstance(result, Accepted) and result.job.status == Status.QUEUED and not result.repeated:
        _send_after_commit([result.job], dispatch=dispatch, send_hook=send_hook)
    return result


def _repeated(job: Job, *, now: datetime) -> Accepted | Refusal:
    if job.status == Status.REFUSED:
        return Refusal(code=job.reason)
    return _accepted(job, fair_queue.position_of(job, now=now), repeated=True)


def _accepted(
    job: Job, place: fair_queue.QueuePosition, *, repeated: bool = False, budget_warning: bool = False
) -> Accepted:
    return Accepted(
        job=job,
        place=place.place,
        wait_s=place.wait_s,
        gpu_starting=place.gpu_starting,
        repeated=repeated,
        budget_warning=budget_warning,
    )


def _admit(ask: JobRequest, guild: Guild, *, now: datetime) -> Accepted | Refusal:
    """Read, decide and write, under the guild's lock.

    1. Read the facts, with the counters of the windows that are open by the guild's quota clock.
    2. Return the earlier answer where the interaction has a job already.
    3. Plan: fill in defaults, check every parameter and rule.
    4. Check capacity, quotas and budget for the plan.
    5. Write the refusal, or the job: queued where the guild has a slot free and nobody waits, else waiting.
    """
    windows = _windows(guild, now=now)
    facts = admission.read(
        guild, interaction_id=ask.interaction_id, user_id=ask.user_id, style=ask.style, windows=windows, now=now
    )
    if facts.existing is not None:
        return _repeated(Job.objects.get(pk=facts.existing), now=now)
    seed = secrets.randbelow(policy.MAX_SEED - 16)
    plan = policy.plan_generation(facts.rules, _requested_options(ask), seed=seed, samplers=_SAMPLER_NAMES)
    refusal = plan if isinstance(plan, Refusal) else _check_limits(guild, facts, ask, plan, windows, now=now)
    if refusal is not None:
        _record_refusal(ask, guild, facts, refusal, now=now)
        return refusal
    assert isinstance(plan, policy.Plan)  # noqa: S101
    queued = facts.waiting == 0 and facts.active < guild.concurrency
    job = _new_job(ask, guild, plan, queued=queued, now=now)
    admission.write(job, windows)
    place = fair_queue.position(facts.ahead, waits=not queued)
    return _accepted(job, place, budget_warning=_budget_warning(guild, facts, plan))


def _windows(guild: Guild, *, now: datetime) -> dict[str, Window]:
    """Return the guild's open windows; keep its quota clock where its first use or a change of zone sets it."""
    clock = quota.load_clock(guild, now)
    if guild.quota_clock.get("time_zone") != clock.time_zone:
        Guild.objects.filter(pk=guild.pk).update(quota_clock=clock.dump())
    return clock.windows(now)


def _requested_options(ask: JobRequest) -> policy.RequestedOptions:
    return policy.RequestedOptions(
        channel_id=ask.channel_id,
        parent_channel_id=ask.parent_channel_id,
        category_id=ask.category_id,
        channel_nsfw=ask.channel_nsfw,
        channel_complete=ask.channel_complete,
        role_ids=ask.role_ids,
        app_permissions=ask.app_permissions,
        prompt=ask.prompt,
        negative_prompt=ask.negative_prompt,
        seed=ask.seed,
        steps=ask.steps,
        sampler=ask.sampler,
        width=ask.width,
        height=ask.height,
        guidance=ask.guidance,
        count=ask.count,
        style=ask.style,
        model=ask.model,
        strength=ask.strength,
        kind=ask.kind,
        lowerable=ask.lowerable,
    )


def _new_job(ask: JobRequest, guild: Guild, plan: policy.Plan, *, queued: bool, now: datetime) -> Job:
    return Job(
        **_identity(ask, guild, now=now),
        encrypted_token=encrypt(ask.token),
        ephemeral=plan.ephemeral,
        kind=ask.kind,
        source_job_id=ask.source_job_id,
        source_index=ask.source_index,
        source_url=ask.source_url,
        prompt=plan.prompt,
        styled_prompt=plan.styled_prompt,
        negative_prompt=plan.negative_prompt,
        style=plan.style,
        seed=plan.seed,
        steps=plan.steps,
        sampler=plan.sampler,
        width=plan.width,
        height=plan.height,
        guidance=plan.guidance,
        count=plan.count,
        strength=plan.strength,
        model_id=plan.model_id,
        spoiler=plan.spoiler,
        status=Status.QUEUED if queued else Status.WAITING,
        queued_at=now if queued else None,
        message_sent_at=now if queued else None,
        messages_sent=1 if queued else 0,
        reserved_pictures=plan.count,
        reserved_gpu_ms=plan.gpu_ms,
    )


def _check_limits(
    guild: Guild,
    facts: admission.AdmissionData,
    ask: JobRequest,
    plan: policy.Plan,
    windows: Mapping[str, Window],
    *,
    now: datetime,
) -> Refusal | None:
    """Return why queues, source image, quotas or the budget do not allow the plan, or None."""
    if facts.active >= guild.concurrency or facts.waiting:
        if facts.mine_waiting >= guild.max_waiting_per_member:
            return Refusal(code="too_many_waiting", params={"limit": guild.max_waiting_per_member})
        if facts.waiting >= guild.max_waiting:
            return Refusal(code="line_full", params={"limit": guild.max_waiting})
    if (
        ask.source_job_id is not None
        and not JobImage.objects.filter(
            job_id=ask.source_job_id, job__guild_id=guild.pk, index=ask.source_index or 0, hidden_at=None
        ).exists()
    ):
        return Refusal(code="picture_gone")
    rules = quota.applicable(facts.quota, ask.role_ids)
    standings = quota.evaluate(rules, facts.used, user_id=ask.user_id, windows=windows)
    return quota.decide(standings, pictures=plan.count, gpu_ms=plan.gpu_ms) or quota.decide_budget(
        guild.monthly_budget_gpu_seconds, spent_ms=facts.spent_ms, gpu_ms=plan.gpu_ms, now=now
    )


def _budget_warning(guild: Guild, facts: admission.AdmissionData, plan: policy.Plan) -> bool:
    budget = guild.monthly_budget_gpu_seconds
    return bool(budget) and facts.spent_ms + plan.gpu_ms >= budget * 10 * guild.budget_warning_percent


def _identity(ask: JobRequest, guild: Guild, *, now: datetime) -> dict[str, Any]:
    return {
        "interaction_id": ask.interaction_id,
        "application_id": ask.application_id,
        "guild_id": ask.guild_id,
        "channel_id": ask.channel_id,
        "parent_channel_id": ask.parent_channel_id,
        "category_id": ask.category_id,
        "channel_nsfw": ask.channel_nsfw,
        "user_id": ask.user_id,
        "member_name": ask.member_name[:100],
        "locale": (guild.language or ask.locale)[:8],
        "reply_deadline": now + TOKEN_LIFE,
        "attachment_size_limit": ask.attachment_size_limit,
        "created_at": now,
    }


def _record_refusal(
    ask: JobRequest, guild: Guild, facts: admission.AdmissionData, refusal: Refusal, *, now: datetime
) -> None:
    if refusal.code == "term_blocked":
        BlockedTerm.objects.filter(Q(guild_id=ask.guild_id) | Q(guild=None), folded=refusal.params["folded"]).update(
            hits=F("hits") + 1
        )
    model = next((each for each in facts.rules.models if each.is_default), None) or next(iter(facts.rules.models), None)
    model_id = model.id if model else ModelProfile.objects.values_list("pk", flat=True).first()
    if model_id is None:
        return
    job = Job.objects.create(
        **_identity(ask, guild, now=now),
        prompt=ask.prompt[: policy.MAX_PROMPT],
        negative_prompt=(ask.negative_prompt or "")[: policy.MAX_PROMPT],
        seed=0,
        steps=0,
        sampler="",
        width=0,
        height=0,
        guidance=0,
        count=0,
        model_id=model_id,
        status=Status.REFUSED,
        reason=refusal.code,
        ended_at=now,
        notified_at=now,
        settled_at=now,
    )
    JobEvent.objects.create(job=job, at=now, kind=Status.REFUSED, detail=_without_nul(refusal.params))


def _without_nul(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, int | float | str | None) else str(value) for key, value in params.items()}


# Is given what sends the message, which may raise DispatchFailed, and what to do where it fails or takes too long.
SendHook = Callable[[Callable[[], None], Callable[[], None]], None]


def send_now(send: Callable[[], None], missed: Callable[[], None]) -> None:
    """SendHook, and do what `missed` does where that fails."""
    try:
        send()
    except DispatchFailed:
        missed()


def _send_after_commit(
    jobs: Sequence[Job], *, dispatch: Dispatcher | None = None, send_hook: SendHook | None = None
) -> None:
    """Send the jobs' messages. Where the queue is away the jobs are marked, so that upkeep sends them again soon."""
    if not jobs:
        return
    job_ids = [job.pk for job in jobs]

    def missed() -> None:
        logger.warning("dispatch_failed", extra={"job_ids": job_ids})
        Job.objects.filter(pk__in=job_ids, status=Status.QUEUED).update(message_sent_at=None)

    (send_hook or send_now)(
        partial((dispatch or current_dispatcher()).send, [JobMessage.of(job) for job in jobs]), missed
    )


def resend_message(job_ids: Sequence[int], *, now: datetime) -> int:
    """Send new messages for queued jobs; return for how many. Doubled messages find nothing to claim."""
    queued = Job.objects.filter(pk__in=job_ids, status=Status.QUEUED)
    queued.update(messages_sent=F("messages_sent") + 1, message_sent_at=now)
    jobs = list(queued)
    _send_after_commit(jobs)
    return len(jobs)


def claim(job_id: int, *, worker_id: str, now: datetime) -> Job | None:
    """Claim the job under a lease, or return None if there is nothing to claim.

    A running job whose lease ran out is taken over. A job that was tried `SPARKLE_MAX_ATTEMPTS` times ends instead.
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
            lease_expires_at=_lease(now),
            attempts=F("attempts") + 1,
            started_at=now,
            progress_step=0,
        )
    return Job.objects.select_related("guild", "model").get(pk=job_id) if won else None


def _lease(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.SPARKLE_LEASE_SECONDS)


def renew(job_ids: Iterable[int], *, worker_id: str, now: datetime) -> LeaseRenewal:
    """Extend the leases that this worker still holds."""
    held = Job.objects.filter(pk__in=list(job_ids), status=Status.RUNNING, worker_id=worker_id)
    held.update(lease_expires_at=_lease(now))
    rows = held.values_list("pk", "cancel_requested_at")
    return LeaseRenewal(
        ours=frozenset(pk for pk, _ in rows), cancel=frozenset(pk for pk, requested in rows if requested is not None)
    )


def progress(job_id: int, *, worker_id: str, step: int, total: int, now: datetime) -> bool:
    """Write the step reached and renew the lease; False when the job is no longer this worker's or shall stop."""
    return bool(
        Job.objects.filter(pk=job_id, status=Status.RUNNING, worker_id=worker_id, cancel_requested_at=None).update(
            progress_step=step, progress_total=total, lease_expires_at=_lease(now)
        )
    )


def record_images(
    job_id: int, *, worker_id: str, images: Sequence[StoredImage], grid_key: str, gpu_ms: int, now: datetime
) -> bool:
    """Note that the images are in storage, and charge the `gpu_ms` that this attempt took. False when not ours.

    From here on a redelivery only delivers.
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
    """Charge the attempt that ends here. Run under the guild's lock.

    `gpu_ms` None: its worker did not measure it, or is lost. Then as much is charged as its progress says of the
    estimate.
    """
    job = Job.objects.only("reserved_gpu_ms", "progress_step", "progress_total", "images_stored_at").get(pk=job_id)
    if job.images_stored_at is not None:
        return  # It was charged when the images were recorded.
    if gpu_ms is None:
        done = min(1.0, job.progress_step / job.progress_total) if job.progress_total else 0.0
        gpu_ms = round(job.reserved_gpu_ms * done)
    _charge(job_id, guild, gpu_ms, now=now)


def _charge(job_id: int, guild: Guild, gpu_ms: int, *, now: datetime) -> None:
    gpu_ms = min(max(0, gpu_ms), gpu_ledger.MAX_GPU_MS)
    if gpu_ms:
        Job.objects.filter(pk=job_id).update(gpu_ms=F("gpu_ms") + gpu_ms)
        gpu_ledger.charge(guild.pk, gpu_ms, now=now)


def complete(job_id: int, *, worker_id: str, delivered_via: str | None, message_id: int | None, now: datetime) -> bool:
    """End the job as completed and delivered; settle its quota with what was really used. False when not ours.

    `delivered_via` None: Discord is away, and upkeep is to deliver the images; so the token is kept.
    """
    said: dict[str, Any] = {}
    if delivered_via is not None:
        said = {"message_id": message_id, "notified_at": now, "encrypted_token": b""}
    return _finish(
        job_id,
        (Status.RUNNING,),
        Status.COMPLETED,
        now=now,
        where=Q(worker_id=worker_id),
        reason="",
        delivered_via=delivered_via or "",
        **said,
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
    """Give the job another try, or end it as failed with its pictures refunded; None when it is not this worker's.

    `gpu_ms` is what this attempt took; None: as much as its progress says. It is charged either way.

    Another try (QUEUED) sends a new message: the message at hand may be deleted.
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
    """Return a running job to the queue without counting the attempt: its worker must leave.

    `gpu_ms` is what the attempt took all the same; None: as much as its progress says.
    The message at hand is to be made visible again, or `resend` sends a new one where there is none.
    """
    job = Job.objects.filter(pk=job_id, status=Status.RUNNING, worker_id=worker_id).first()
    if job is None:
        return False
    return _requeue(job, now=now, cause="given_back", resend=resend, gpu_ms=gpu_ms, attempts=F("attempts") - 1)


def reclaim(job: Job, *, now: datetime, resend: bool = True) -> Status | None:
    """Take back a job whose worker fell silent: to the queue, or failed after the last attempt.

    None when someone else was faster.
    """
    expired = Q(worker_id=job.worker_id, lease_expires_at=job.lease_expires_at)
    if job.cancel_requested_at and job.images_stored_at is None:
        ended = _finish(
            job.pk, (Status.RUNNING,), Status.CANCELLED, now=now, where=expired, reason="cancelled_by_member"
        )
        return Status.CANCELLED if ended else None
    # Pictures that are safe in storage only want delivering: that is no fault of the request.
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
        _send_after_commit(list(Job.objects.filter(pk=job.pk)))
    return moved


def cancel(job_id: int, *, by: int, reason: str = "cancelled_by_member", now: datetime) -> bool:
    """End a waiting or queued job and refund it; ask a running one to stop.

    False when it had ended already, or its pictures are made: back in line, they may have been posted by a worker that
    was lost before it could say so.
    """
    unmade = Q(images_stored_at=None)
    if _finish(job_id, (Status.WAITING, Status.QUEUED), Status.CANCELLED, now=now, where=unmade, reason=reason, by=by):
        return True
    with transaction.atomic():
        asked = Job.objects.filter(
            pk=job_id, status=Status.RUNNING, images_stored_at=None, cancel_requested_at=None
        ).update(cancel_requested_at=now, reason=reason)
        if asked:
            JobEvent.objects.create(job_id=job_id, at=now, kind="cancel_requested", detail={"by": str(by)})
    return bool(asked)


def finish_cancel(job_id: int, *, worker_id: str, gpu_ms: int | None = None, now: datetime) -> bool:
    """End a running job whose cancel was requested, with its pictures refunded. False when not ours.

    `gpu_ms` is what this attempt took; None: as much as its progress says. It is charged either way.
    """
    where = Q(worker_id=worker_id, cancel_requested_at__isnull=False)
    return _finish(job_id, (Status.RUNNING,), Status.CANCELLED, now=now, where=where, gpu_ms=gpu_ms)


def expire(job_id: int, *, now: datetime) -> bool:
    """End a job that waited too long, with a refund. One whose pictures are made waits for delivery alone."""
    return _finish(
        job_id,
        (Status.WAITING, Status.QUEUED),
        Status.EXPIRED,
        now=now,
        where=Q(images_stored_at=None),
        reason="waited_too_long",
    )


def mark_notified(job_id: int, *, via: str, message_id: int | None, now: datetime) -> None:
    """The asker has the final message; the token is of no use any more."""
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
    """The one way to a terminal status; False when the job is not in one of the `old` ones.

    1. Lock the guild's row.
    2. Move the job by compare-and-set.
    3. Charge the GPU time of the attempt that ends here, if one does.
    4. Settle what the job had reserved.
    5. Promote those that wait for its slot. Commit, then send their messages.
    """
    event = {key: fields[key] for key in ("reason", "delivered_via") if fields.get(key)}
    if by is not None:
        # As text: a browser's numbers lose a snowflake's last digits.
        event["by"] = str(by)
    with lock_guild_of(job_id) as guild:
        if guild is None:
            return False
        fields |= {"ended_at": now, "lease_expires_at": None}
        came_from = next(
            (each for each in old if Job.objects.move(job_id, each, new, at=now, event=event, where=where, **fields)),
            None,
        )
        if came_from is None:
            return False
        if came_from == Status.RUNNING:
            _charge_attempt(job_id, guild, gpu_ms, now=now)
        _settle_quota(job_id, completed=new == Status.COMPLETED, now=now)
        promoted = fair_queue.promote(guild, now=now)
    _send_after_commit(promoted)
    return True


def _settle_quota(job_id: int, *, completed: bool, now: datetime) -> None:
    """Replace, once, what the job had reserved by what it used: GPU time as measured, and no pictures without any."""
    job = Job.objects.only("usage_ids", "reserved_pictures", "reserved_gpu_ms", "gpu_ms").get(pk=job_id)
    if Job.objects.filter(pk=job_id, settled_at=None).update(settled_at=now):
        pictures = 0 if completed else -job.reserved_pictures
        admission.settle(job.usage_ids, pictures=pictures, gpu_ms=job.gpu_ms - job.reserved_gpu_ms)
