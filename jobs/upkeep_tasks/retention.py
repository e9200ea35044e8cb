"""Deletion of expired data: tokens, prompts and images, old counters."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from guilds.models import GpuLedger, Usage
from jobs import job_erasure
from jobs.job_status import OPEN
from jobs.models import ClosedRoute, Job, Worker
from jobs.named_queries import load

from .task import MOST_ROWS, Row, TaskRun, due, interleave_guilds, upkeep_task

HOURS_KEPT = timedelta(days=8)
USAGE_KEPT = timedelta(days=400)
# A change of the time zone makes a window longer (guilds.quota_clock).
PSEUDONYMS_KEPT = {"hour": timedelta(hours=1), "day": timedelta(days=3), "month": timedelta(days=34)}
WORKERS_KEPT = timedelta(days=7)
LEFT_GUILDS_KEPT = timedelta(days=30)
AT_ONCE = 500
JOBS_AT_ONCE = 50
COUNTERS_AT_ONCE = 5000


@upkeep_task(budget_s=3)
def wipe_tokens(work: TaskRun) -> int:
    """Delete tokens that have expired, whatever the job's status."""
    held = Job.objects.filter(~Q(encrypted_token=b""), reply_deadline__lt=work.now)
    return work.for_each_batch(
        due(held, by="reply_deadline"),
        AT_ONCE,
        _wipe,
    )


def _wipe(ids: list[int]) -> int:
    # A locked job is left for the next run: waiting for it could deadlock.
    with transaction.atomic():
        held = list(
            Job.objects.filter(pk__in=ids)
            .order_by("pk")
            .select_for_update(skip_locked=True)
            .values_list("pk", flat=True)
        )
        return Job.objects.filter(pk__in=held).update(encrypted_token=b"")


@upkeep_task(budget_s=6)
def purge_images(work: TaskRun) -> int:
    """Delete images and prompts past the guild's retention; of a guild that left, after a month."""
    purged = 0
    seen: list[int] = []
    while not work.deadline.passed and (rows := _overdue(work.now, seen)):
        purged += work.for_each_batch(
            rows,
            JOBS_AT_ONCE,
            lambda ids: job_erasure.erase_many(ids, Job.Erasure.WORDS, now=work.now, skip_locked=True),
        )
        seen += [row.pk for row in rows]
    work.unfinished |= work.deadline.passed
    return purged


def _overdue(now: datetime, seen: list[int]) -> list[Row]:
    """Return jobs to purge, the most overdue first, guilds in turns; without `seen`, which this run has tried."""
    values: dict[str, Any] = {
        "now": now,
        "left": now - LEFT_GUILDS_KEPT,
        "open": sorted(map(str, OPEN)),
        "seen": seen,
        "of_a_guild": JOBS_AT_ONCE,
        "most": MOST_ROWS,
    }
    with connection.cursor() as cursor:
        cursor.execute(load("overdue_jobs"), values)
        return list(interleave_guilds(Row(pk=pk, guild_id=guild_id) for pk, guild_id in cursor.fetchall()))


@upkeep_task(budget_s=4)
def finish_erasures(work: TaskRun) -> int:
    """Erase what waited for a decision on a report, or for the storage."""

    def finish(ids: list[int]) -> int:
        job_erasure.erase_requested(ids)
        return len(ids)

    return work.for_each_batch(due(job_erasure.select_ready(), by="pk"), JOBS_AT_ONCE, finish)


@upkeep_task(budget_s=3)
def forget_counters(work: TaskRun) -> int:
    """Delete old usage counters and ledger entries, workers that are gone, and expired closed routes."""
    Worker.objects.filter(seen_at__lt=work.now - WORKERS_KEPT).delete()
    ClosedRoute.objects.filter(closed_until__lt=work.now).delete()
    dropped = 0
    for condition, kept in (
        (Q(window="hour"), HOURS_KEPT),
        (~Q(window="hour"), USAGE_KEPT),
        # A pseudonym's counter is deleted once its window must have ended.
        *((Q(subject_id__lt=0, window=window), kept) for window, kept in PSEUDONYMS_KEPT.items()),
    ):
        while not work.deadline.passed:
            old = Usage.objects.filter(condition, starts_at__lt=work.now - kept).order_by("starts_at")
            # Locked counters are left for the next run.
            held = old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:COUNTERS_AT_ONCE]
            with transaction.atomic():
                ids = list(held)
                dropped += Usage.objects.filter(pk__in=ids).delete()[0]
            if len(ids) < COUNTERS_AT_ONCE:
                break
    GpuLedger.objects.filter(month__lt=work.now - USAGE_KEPT).delete()
    return dropped
