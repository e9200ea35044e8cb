"""Promotion of relaxed jobs, for idle workers and when they are due."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from . import fair_queue, relaxed
from .dispatch.sending import send_after_commit
from .guild_lock import lock_guild, lock_guild_of
from .job_status import Status
from .models import Job
from .named_queries import load


def promote_relaxed(*, now: datetime, most: int) -> int:
    """Queue up to `most` relaxed jobs for idle workers, those due first, guilds in turn; return how many.

    None while a prompt job is queued: a relaxed job must not be before it in the queue.
    """
    with connection.cursor() as cursor:
        cursor.execute(load("relaxed_in_turn"), {**relaxed.parameters(now=now), "most": most})
        chosen = cursor.fetchall()
    promoted = 0
    for job_id, guild_id in chosen:
        with lock_guild(guild_id):
            moved = Job.objects.move(
                job_id, Status.WAITING, Status.QUEUED, at=now, queued_at=now, message_sent_at=now, messages_sent=1
            )
        if moved:
            promoted += 1
            send_after_commit([Job.objects.get(pk=job_id)])
    return promoted


def promote_due(job_id: int, *, now: datetime) -> bool:
    """Promote what the guild of a due job may start now; return whether anything was promoted."""
    with lock_guild_of(job_id) as guild:
        promoted = fair_queue.promote(guild, now=now) if guild else []
    send_after_commit(promoted)
    return bool(promoted)
