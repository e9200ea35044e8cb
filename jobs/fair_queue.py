"""The queue of waiting jobs of each guild: which job starts next, and how long a job will wait."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Min
from psycopg.types.numeric import Int8

from guilds.models import Guild

from . import prepared_statements, relaxed
from .job_status import Status
from .models import Job
from .named_queries import load
from .scaling import LONG_WINDOW_S, SHORT_WINDOW_S, Demand
from .wait_estimate import Backlog, QueuePosition, estimate_position


def record_turn(guild_id: int, user_id: int, *, at: datetime) -> None:
    """Record that the member had a turn."""
    with connection.cursor() as cursor:
        cursor.execute(load("record_turn"), {"guild": guild_id, "user": user_id, "at": at})


def promote(guild: Guild, *, now: datetime) -> list[Job]:
    """Queue waiting jobs while the guild has free slots; members take turns. Return them, to send their messages.

    The caller's transaction holds the lock of the guild's row.
    """
    running = Job.objects.filter(guild=guild, status__in=[Status.QUEUED, Status.RUNNING])
    active = running.filter(relaxed.prompt_jobs(now=now)).count()
    slots = guild.concurrency - active
    if slots <= 0:
        return []
    with connection.cursor() as cursor:
        cursor.execute(load("next_in_turn"), {**relaxed.parameters(now=now), "guild": guild.pk, "slots": slots})
        chosen = cursor.fetchall()
    promoted = []
    for turn, (job_id, user_id) in enumerate(chosen):
        # A microsecond apart, so that the next round has the same order.
        at = now + timedelta(microseconds=turn)
        if Job.objects.move(
            job_id, Status.WAITING, Status.QUEUED, at=now, queued_at=at, message_sent_at=now, messages_sent=1
        ):
            record_turn(guild.pk, user_id, at=at)
            promoted.append(job_id)
    return list(Job.objects.filter(pk__in=promoted).order_by("queued_at"))


_NO_ID_YET = 2**63 - 1


def backlog_parameters(
    *, guild_id: int, user_id: int, now: datetime, job_id: int = _NO_ID_YET, queued_at: datetime | None = None
) -> dict[str, Any]:
    """Return the parameters of the query `backlog`; without `job_id` those of a new job."""
    return {
        "guild": Int8(guild_id),
        "user": Int8(user_id),
        "before": queued_at or "infinity",
        "before_id": Int8(job_id),
        "alive": now - timedelta(seconds=settings.SPARKLE_LEASE_SECONDS),
        **relaxed.parameters(now=now),
    }


def load_position(job: Job, *, now: datetime) -> QueuePosition:
    """Return the queue position of an open job."""
    parameters = backlog_parameters(
        guild_id=job.guild_id, user_id=job.user_id, now=now, job_id=job.pk, queued_at=job.queued_at
    )
    with prepared_statements.cursor() as cursor:
        cursor.execute(load("backlog"), parameters)
        (backlog,) = cursor.fetchone()
    waits = job.status == Status.WAITING
    own = Job.objects.filter(guild=job.guild_id, status__in=[Status.QUEUED, Status.RUNNING])
    return estimate_position(Backlog(**backlog, active=own.count() if waits else 0), waits=waits)


def oldest_queued_s(*, now: datetime) -> float | None:
    """Return for how many seconds the oldest queued job has been queued, None without one."""
    oldest = Job.objects.filter(status=Status.QUEUED).aggregate(oldest=Min("queued_at"))["oldest"]
    return (now - oldest).total_seconds() if oldest else None


def read_demand(*, now: datetime) -> Demand:
    """Read what scaling decides by: runnable and relaxed jobs now, and prompt jobs accepted in the two windows."""
    with connection.cursor() as cursor:
        cursor.execute(
            load("demand"),
            {
                "short": now - timedelta(seconds=SHORT_WINDOW_S),
                "long": now - timedelta(seconds=LONG_WINDOW_S),
                **relaxed.parameters(now=now),
            },
        )
        runnable, relaxed_waiting, accepted_in_short_window, accepted_in_long_window, newest = cursor.fetchone()
    idle_s = (now - newest).total_seconds() if newest else LONG_WINDOW_S
    return Demand(
        runnable=runnable,
        relaxed=relaxed_waiting,
        accepted_in_short_window=accepted_in_short_window,
        accepted_in_long_window=accepted_in_long_window,
        idle_s=idle_s,
    )
