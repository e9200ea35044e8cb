"""Each minute: ring again, take back, expire, announce, wipe, purge. Safe when two run at once or one dies midway,
since every step is a compare-and-set on rows of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection
from django.db.models import Q

from guilds import channels, command_ids, estimates, installs
from guilds.discord.client import DiscordClient, from_settings
from guilds.discord.errors import DiscordError
from guilds.models import Channel, GpuLedger, Guild, ModelProfile, Usage

from . import actions, erasure, messages, tally
from .delivery import deliver, learn_reply
from .lifecycle import ENDED, OPEN, Status
from .models import Job, Worker

logger = logging.getLogger(__name__)
T = TypeVar("T")

BATCH = 200
RING_FAILED_AFTER = timedelta(seconds=5)
EXPIRE_AFTER = timedelta(hours=6)
HOURS_KEPT = timedelta(days=8)
USAGE_KEPT = timedelta(days=400)
# A window is held longer where the time zone was changed in it (guilds.quota_clock).
PSEUDONYMS_KEPT = {"hour": timedelta(hours=1), "day": timedelta(days=3), "month": timedelta(days=34)}
WORKERS_KEPT = timedelta(days=7)
ANNOUNCE_GIVE_UP = timedelta(hours=1)
NOTE_BEFORE = timedelta(minutes=5)
# Each is a request to Discord, and there are five minutes for it.
NOTED_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How many of each were mended in this run."""

    rung: int
    reclaimed: int
    expired: int
    announced: int
    wiped: int
    purged: int
    moved: int
    forgotten: int
    noted: int


def run(*, now: datetime, client: DiscordClient | None = None) -> Report:
    """Do all of upkeep once. A part that fails is logged and does not keep the others from their work."""
    report = Report(
        rung=_part(ring_lost, now=now),
        reclaimed=_part(reclaim_dead, now=now),
        expired=_part(expire_old, now=now),
        announced=_part(announce_ended, now=now, client=client),
        wiped=_part(wipe_tokens, now=now),
        purged=_part(purge_pictures, now=now),
        moved=_part(reconcile_guilds, now=now, client=client),
        forgotten=_part(forget_counters, now=now),
        noted=_part(note_replies, now=now, client=client),
    )
    _part(erasure.finish_requested, now=now)
    _part(describe_channels, now=now, client=client)
    _part(read_commands, now=now, client=client)
    _part(learn_speed, now=now)
    _part(tally.refresh, now=now)
    logger.info("upkeep", extra=asdict(report))
    return report


def _part(part: Callable[..., T], **given: Any) -> T | int:
    try:
        return part(**given)
    except Exception:
        logger.exception("upkeep_part_failed", extra={"part": part.__qualname__})
        return 0


def ring_lost(*, now: datetime) -> int:
    """Ring for queued jobs whose message did not go out, or seems lost: each time after twice the time before."""
    lost_after = timedelta(seconds=settings.SPARKLE_RING_LOST_SECONDS)
    queued = Job.objects.filter(status=Status.QUEUED)
    never = queued.filter(rung_at=None, queued_at__lt=now - RING_FAILED_AFTER).values_list("pk", flat=True)[:BATCH]
    lost = [
        pk
        for pk, rung_at, doorbells in queued.filter(rung_at__lt=now - lost_after).values_list(
            "pk", "rung_at", "doorbells"
        )[:BATCH]
        if rung_at < now - lost_after * 2 ** min(max(doorbells - 1, 0), 5)
    ]
    return actions.ring_again([*never, *lost], now=now)


def reclaim_dead(*, now: datetime) -> int:
    """Take back running jobs whose lease ran out."""
    dead = Job.objects.filter(status=Status.RUNNING, lease_expires_at__lt=now).order_by("lease_expires_at")[:BATCH]
    return sum(actions.reclaim(job, now=now) is not None for job in dead)


def expire_old(*, now: datetime) -> int:
    """End what nobody got to in hours, with a refund."""
    old = Job.objects.filter(
        status__in=[Status.WAITING, Status.QUEUED], made_at=None, created_at__lt=now - EXPIRE_AFTER
    )
    return sum(actions.expire(pk, now=now) for pk in old.values_list("pk", flat=True)[:BATCH])


def announce_ended(*, now: datetime, client: DiscordClient | None = None) -> int:
    """Tell the askers whose job ended without anyone there to say so; the row says where it was told."""
    after = timedelta(seconds=settings.SPARKLE_ANNOUNCE_AFTER_SECONDS)
    untold = Job.objects.filter(announced_at=None, ended_at__lt=now - after, status__in=ENDED)
    told = 0
    for job in untold.select_related("guild")[:BATCH]:
        client = client or from_settings()
        try:
            delivered = deliver(job, messages.ended(job), client=client, now=now)
        except DiscordError as error:
            if not error.permanent and job.ended_at and job.ended_at > now - ANNOUNCE_GIVE_UP:
                continue
            actions.announced(job.pk, via=Job.Via.GALLERY, message_id=None, now=now)
        else:
            actions.announced(job.pk, via=delivered.via, message_id=delivered.message_id, now=now)
        told += 1
    return told


def note_replies(*, now: datetime, client: DiscordClient | None = None) -> int:
    """Ask which messages the replies are whose tokens die before their jobs may have ended.

    The bot posts another message then, and takes the reply away that would say for ever that the job is in line.
    """
    soon = Job.objects.filter(status__in=OPEN, message_id=None, ephemeral=False).exclude(token_sealed=b"")
    noted = 0
    for job in soon.filter(reply_deadline__range=(now, now + NOTE_BEFORE)).order_by("reply_deadline")[:NOTED_AT_ONCE]:
        client = client or from_settings()
        try:
            learn_reply(job, client=client)
        except DiscordError as error:
            if not error.permanent:
                break
        else:
            noted += 1
    return noted


def describe_channels(*, now: datetime, client: DiscordClient | None = None) -> int:
    """Read the channels above threads in which requests were made without knowing them."""
    if not Channel.objects.exclude(wanted_at=None).exists():
        return 0
    return channels.refresh((client or from_settings()).channel, now=now)


def read_commands(*, now: datetime, client: DiscordClient | None = None) -> int:
    """Every quarter of an hour, read the ids of the commands that are registered everywhere."""
    return 0 if now.minute % 15 else command_ids.save((client or from_settings()).commands())


def reconcile_guilds(*, now: datetime, client: DiscordClient | None = None) -> int:
    """Every quarter of an hour, ask Discord where the bot is: who joined, left or returned without our being told."""
    if now.minute % 15:
        return 0
    client = client or from_settings()
    found = installs.reconcile(client.guilds(), now)
    return found.joined + found.left + found.returned


def wipe_tokens(*, now: datetime) -> int:
    """A token is dead at its deadline, whatever became of its job."""
    return Job.objects.filter(~Q(token_sealed=b""), reply_deadline__lt=now).update(token_sealed=b"")


def purge_pictures(*, now: datetime) -> int:
    """Delete pictures and prompts that are older than their guild keeps them; a left guild keeps them a month."""
    purged = 0
    for guild in Guild.objects.all().only("pk", "retention_days", "left_at"):
        days = guild.retention_days
        if guild.left_at and guild.left_at < now - timedelta(days=30):
            days = 0
        before = now - timedelta(days=days)
        old = Job.objects.filter(guild=guild, created_at__lt=before).exclude(prompt="").exclude(status__in=OPEN)
        # What is marked already waits for a decision, and is erased by finish_requested.
        old = old.filter(erasure="")
        for job in old.order_by("id")[:BATCH]:
            purged += erase(job, now=now)
        if purged >= BATCH:
            break
    return purged


def erase(job: Job, *, now: datetime) -> int:
    """Delete a job's images and words, or keep them hidden while a report is open (jobs.erasure)."""
    return int(erasure.erase(job.pk, Job.Erasure.WORDS, now=now))


def forget_counters(*, now: datetime) -> int:
    """Drop counters of windows long past, and workers long gone.

    A counter under a pseudonym goes as soon as its window has surely ended.
    """
    Worker.objects.filter(seen_at__lt=now - WORKERS_KEPT).delete()
    dropped = 0
    for which, kept in (
        (Q(window="hour"), HOURS_KEPT),
        (~Q(window="hour"), USAGE_KEPT),
        *((Q(subject_id__lt=0, window=window), kept) for window, kept in PSEUDONYMS_KEPT.items()),
    ):
        old = Usage.objects.filter(which, starts_at__lt=now - kept).order_by("pk")
        # One that a settling job holds is dropped in the next run: nothing here waits for a lock.
        held = old.select_for_update(skip_locked=True).values("pk")[:5000]
        dropped += Usage.objects.filter(pk__in=held).delete()[0]
    GpuLedger.objects.filter(month__lt=now - USAGE_KEPT).delete()
    return dropped


# Newest first, and few of each guild, so that a guild with many jobs does not hide the others. A job that was tried
# once is the only one whose GPU time is that of one attempt.
_MEASURED = """
SELECT model_id, device, guild_id, gpu_ms, sampler, steps, guidance, width, height, count FROM (
  SELECT j.*, w.device, row_number() OVER (PARTITION BY j.guild_id, j.model_id ORDER BY j.id DESC) AS place
  FROM (SELECT * FROM jobs_job WHERE status = 'completed' ORDER BY id DESC LIMIT 3000) AS j
  LEFT JOIN jobs_worker w ON w.id = j.worker_id
  WHERE j.kind = 'txt2img' AND j.attempts = 1 AND j.gpu_ms > 0
) AS recent WHERE place <= 50
"""


def learn_speed(*, now: datetime) -> int:
    """Update each model's cost estimate from the GPU times of recent jobs; return how many changed."""
    with connection.cursor() as cursor:
        cursor.execute(_MEASURED)
        rows = cursor.fetchall()
    found = estimates.speeds(
        estimates.Measured(
            model_id=model_id,
            device=device or "",
            guild_id=guild_id,
            gpu_ms=gpu_ms,
            work=estimates.work_of(kind="txt2img", strength=None, **request),
        )
        for model_id, device, guild_id, gpu_ms, *values in rows
        for request in [dict(zip(("sampler", "steps", "guidance", "width", "height", "count"), values, strict=True))]
    )
    changed = 0
    for model in ModelProfile.objects.filter(pk__in=list(found)):
        before = model.learned_gpu_ms_per_step
        after = estimates.learned(before, configured=model.gpu_ms_per_step, speed=found[model.pk])
        if before is None or abs(after - before) > 0.02 * before:
            changed += ModelProfile.objects.filter(pk=model.pk).update(learned_gpu_ms_per_step=after)
    return changed
