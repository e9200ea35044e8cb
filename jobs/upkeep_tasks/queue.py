"""Upkeep of the queue: lost messages, expired leases, jobs that waited too long."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Q

from jobs import relaxed, relaxed_promotion, transitions
from jobs.dispatch import sending
from jobs.job_status import Status
from jobs.models import Job, Worker
from jobs.named_queries import load

from .task import MOST_ROWS, Row, TaskRun, due, interleave_guilds, upkeep_task

SEND_FAILED_AFTER = timedelta(seconds=5)
EXPIRE_AFTER = timedelta(hours=6)
MESSAGES_AT_ONCE = 100


@upkeep_task(budget_s=3)
def resend_lost_messages(work: TaskRun) -> int:
    """Send another message for queued jobs whose message failed or seems lost."""
    with connection.cursor() as cursor:
        cursor.execute(
            load("lost_messages"),
            {
                "lost_s": settings.SPARKLE_RESEND_AFTER_SECONDS,
                "failed_s": SEND_FAILED_AFTER.total_seconds(),
                "now": work.now,
                "most": MOST_ROWS,
            },
        )
        lost = list(interleave_guilds(Row(pk=pk, guild_id=guild_id) for pk, guild_id in cursor.fetchall()))
    return work.for_each_batch(lost, MESSAGES_AT_ONCE, lambda ids: sending.resend_messages(ids, now=work.now))


@upkeep_task(budget_s=5)
def reclaim_dead(work: TaskRun) -> int:
    """Reclaim running jobs whose lease expired."""
    no_lease = Q(lease_expires_at=None, started_at__lt=work.now - timedelta(seconds=settings.SPARKLE_LEASE_SECONDS))
    dead = Job.objects.filter(Q(lease_expires_at__lt=work.now) | no_lease, status=Status.RUNNING)
    return work.for_each(
        due(dead, by="lease_expires_at"),
        lambda pk: transitions.reclaim(Job.objects.get(pk=pk), now=work.now) is not None,
    )


@upkeep_task(budget_s=3)
def start_relaxed(work: TaskRun) -> int:
    """Queue relaxed jobs: those that are due as their guilds' limits allow, others where a worker has nothing to do."""
    overdue = Job.objects.filter(relaxed.prompt_jobs(now=work.now), status=Status.WAITING).exclude(due_at=None)
    started = work.for_each(due(overdue, by="due_at"), lambda pk: relaxed_promotion.promote_due(pk, now=work.now))
    idle = Worker.objects.filter(
        state=Worker.State.READY, seen_at__gt=work.now - timedelta(seconds=settings.SPARKLE_LEASE_SECONDS)
    ).count()
    return started + (relaxed_promotion.promote_relaxed(now=work.now, most=idle) if idle else 0)


@upkeep_task(budget_s=5)
def expire_old(work: TaskRun) -> int:
    """End and refund jobs that were not started for hours."""
    before = work.now - EXPIRE_AFTER
    # A relaxed job's hours begin when it is due.
    late = Q(images_stored_at=None, created_at__lt=before) & (Q(due_at=None) | Q(due_at__lt=before))
    # Two queries, so that each reads a range of the index job_open, oldest first.
    waiting = Job.objects.filter(late, status=Status.WAITING, queued_at=None)
    queued = Job.objects.filter(late, status=Status.QUEUED)
    done = 0
    for old, by in ((waiting, "created_at"), (queued, "queued_at")):
        done += work.for_each(due(old, by=by), lambda pk: transitions.expire(pk, now=work.now))
    return done
