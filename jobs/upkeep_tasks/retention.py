"""What is deleted when its time has come: tokens, prompts and images, old counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q

from guilds.models import GpuLedger, Usage
from jobs import erasure
from jobs.lifecycle import OPEN
from jobs.models import ClosedRoute, Job, Worker

from .task import Row, TaskRun, due, upkeep_task

HOURS_KEPT = timedelta(days=8)
USAGE_KEPT = timedelta(days=400)
# A window is held longer where the time zone was changed in it (guilds.quota_clock).
PSEUDONYMS_KEPT = {"hour": timedelta(hours=1), "day": timedelta(days=3), "month": timedelta(days=34)}
WORKERS_KEPT = timedelta(days=7)
LEFT_GUILDS_KEPT = timedelta(days=30)
AT_ONCE = 500
JOBS_AT_ONCE = 50
COUNTERS_AT_ONCE = 5000

# For each server the oldest job that still holds words, by the index job_holds_words: how long a history is does not
# matter, nor how much of it is purged. No setting, whatever the row holds, is out of the range of intervals.
_OVERDUE = """
SELECT guild.id, guild.before FROM (
  SELECT id, %(now)s - make_interval(days => CASE
    WHEN left_at < %(left)s THEN 0 ELSE least(greatest(retention_days, 0), 36500) END) AS before
  FROM guilds_guild
) AS guild CROSS JOIN LATERAL (
  SELECT created_at FROM jobs_job
  WHERE guild_id = guild.id AND prompt <> '' AND erasure = '' AND created_at < guild.before AND status <> ALL(%(open)s)
  ORDER BY created_at LIMIT 1
) AS oldest ORDER BY oldest.created_at - guild.before
"""


@upkeep_task(budget_s=3)
def wipe_tokens(work: TaskRun) -> int:
    """A token is dead at its deadline, in whatever state its job is."""
    held = Job.objects.filter(~Q(encrypted_token=b""), reply_deadline__lt=work.now)
    return work.for_each_batch(
        due(held, by="reply_deadline"),
        AT_ONCE,
        _wipe,
    )


def _wipe(ids: list[int]) -> int:
    # A job that another transaction holds is wiped in the next run: waiting in another order would be a deadlock.
    with transaction.atomic():
        held = list(
            Job.objects.filter(pk__in=ids)
            .order_by("pk")
            .select_for_update(skip_locked=True)
            .values_list("pk", flat=True)
        )
        return Job.objects.filter(pk__in=held).update(encrypted_token=b"")


@dataclass(slots=True, kw_only=True)
class _Overdue:
    """A server with jobs from before `before`; those up to `since` were looked at in this run."""

    guild_id: int
    before: datetime
    since: datetime | None = None
    seen: set[int] = field(default_factory=set)

    def next(self) -> list[Row]:
        jobs = Job.objects.filter(guild_id=self.guild_id, created_at__lt=self.before).exclude(prompt="")
        # What is marked already waits for a decision, and is erased by finish_erasures.
        jobs = jobs.filter(erasure="").exclude(status__in=OPEN).exclude(pk__in=self.seen)
        if self.since:
            jobs = jobs.filter(created_at__gte=self.since)
        found = list(jobs.order_by("created_at", "pk").values_list("pk", "created_at")[:JOBS_AT_ONCE])
        if found:
            # Others of the same moment may follow.
            self.seen = {pk for pk, created_at in found if created_at == found[-1][1]} | (
                self.seen if self.since == found[-1][1] else set()
            )
            self.since = found[-1][1]
        return [Row(pk=pk, guild_id=self.guild_id) for pk, _ in found]


@upkeep_task(budget_s=6)
def purge_images(work: TaskRun) -> int:
    """Delete images and prompts that are older than their server keeps them; a server that left keeps them a month."""
    with connection.cursor() as cursor:
        cursor.execute(_OVERDUE, {"now": work.now, "left": work.now - LEFT_GUILDS_KEPT, "open": sorted(map(str, OPEN))})
        overdue = [_Overdue(guild_id=guild_id, before=before) for guild_id, before in cursor.fetchall()]
    purged = 0
    while overdue and not work.deadline.passed:
        left = []
        for guild in overdue:
            if work.deadline.passed:
                break
            rows = guild.next()
            purged += work.for_each_batch(
                rows, JOBS_AT_ONCE, lambda ids: erasure.erase_many(ids, Job.Erasure.WORDS, now=work.now)
            )
            if len(rows) == JOBS_AT_ONCE:
                left.append(guild)
        overdue = left
    work.unfinished |= work.deadline.passed
    return purged


@upkeep_task(budget_s=4)
def finish_erasures(work: TaskRun) -> int:
    """Erase what was requested and waited for a decision on a report, or for the storage."""

    def finish(ids: list[int]) -> int:
        erasure.finish(ids)
        return len(ids)

    return work.for_each_batch(due(erasure.ready(), by="pk"), JOBS_AT_ONCE, finish)


@upkeep_task(budget_s=3)
def forget_counters(work: TaskRun) -> int:
    """Drop counters of windows long past, workers long gone, and closed routes that may be tried again."""
    Worker.objects.filter(seen_at__lt=work.now - WORKERS_KEPT).delete()
    ClosedRoute.objects.filter(closed_until__lt=work.now).delete()
    dropped = 0
    for which, kept in (
        (Q(window="hour"), HOURS_KEPT),
        (~Q(window="hour"), USAGE_KEPT),
        # A counter under a pseudonym goes as soon as its window has surely ended.
        *((Q(subject_id__lt=0, window=window), kept) for window, kept in PSEUDONYMS_KEPT.items()),
    ):
        while not work.deadline.passed:
            old = Usage.objects.filter(which, starts_at__lt=work.now - kept).order_by("starts_at")
            # One that a settling job holds is dropped in the next run: nothing here waits for a lock.
            held = old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:COUNTERS_AT_ONCE]
            with transaction.atomic():
                ids = list(held)
                dropped += Usage.objects.filter(pk__in=ids).delete()[0]
            if len(ids) < COUNTERS_AT_ONCE:
                break
    GpuLedger.objects.filter(month__lt=work.now - USAGE_KEPT).delete()
    return dropped
