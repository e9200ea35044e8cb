"""A guild's own line: who goes next, and what to tell someone who waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from psycopg.types.numeric import Int8

from guilds.models import Guild

from . import prepared_statements
from .lifecycle import Status
from .models import Job
from .named_queries import load
from .scaling import LONG_WINDOW_S, SHORT_WINDOW_S, Demand


def record_turn(guild_id: int, user_id: int, *, at: datetime) -> None:
    """Remember that the member had a turn."""
    with connection.cursor() as cursor:
        cursor.execute(load("record_turn"), {"guild": guild_id, "user": user_id, "at": at})


def promote(guild: Guild, *, now: datetime) -> list[Job]:
    """Move waiting jobs to queued while the guild has room, in turns; return them for their messages.

    The guild's row must be locked by this transaction.
    """
    active = Job.objects.filter(guild=guild, status__in=[Status.QUEUED, Status.RUNNING]).count()
    slots = guild.concurrency - active
    if slots <= 0:
        return []
    with connection.cursor() as cursor:
        cursor.execute(load("next_in_turn"), {"guild": guild.pk, "slots": slots})
        chosen = cursor.fetchall()
    promoted = []
    for turn, (job_id, user_id) in enumerate(chosen):
        # A microsecond apart, so that the order of this round is the order of the next.
        at = now + timedelta(microseconds=turn)
        if Job.objects.move(
            job_id, Status.WAITING, Status.QUEUED, at=now, queued_at=at, message_sent_at=now, messages_sent=1
        ):
            record_turn(guild.pk, user_id, at=at)
            promoted.append(job_id)
    return list(Job.objects.filter(pk__in=promoted).order_by("queued_at"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is before a job: `queued` and `running` everywhere, `waiting` in its guild's line, `workers` alive.

    `seconds` a job takes and `start_s` a worker takes are means of the last ones, None where none was measured.
    """

    queued: int
    running: int
    waiting: int
    workers: int
    seconds: float | None
    start_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePosition:
    """`place` 1 is next; `wait_s` is None where nothing was measured yet."""

    place: int
    wait_s: float | None
    gpu_starting: bool


# Until a start was measured: from nothing to a ready worker on g4dn with weights in the image.
_DEFAULT_START_S = 180.0
_NO_ID_YET = 2**63 - 1


def backlog_ahead_of(
    *, guild_id: int, user_id: int, now: datetime, job_id: int = _NO_ID_YET, queued_at: datetime | None = None
) -> dict[str, Any]:
    """Return the parameters of load("backlog"); without `job_id` for a member's job that is yet to be written."""
    return {
        "guild": Int8(guild_id),
        "user": Int8(user_id),
        "before": queued_at or "infinity",
        "before_id": Int8(job_id),
        "alive": now - timedelta(seconds=settings.SPARKLE_LEASE_SECONDS),
    }


def position(ahead: Backlog, *, waits: bool) -> QueuePosition:
    """The place in line and the wait that measured times promise. `waits`: in its guild's line, not queued yet."""
    before = ahead.queued + (ahead.waiting if waits else 0)
    wait_s = None
    if ahead.seconds is not None:
        wait_s = ahead.seconds * (before + ahead.running * 0.5 + 1) / max(ahead.workers, 1)
    if not ahead.workers:
        wait_s = (wait_s or 0.0) + (ahead.start_s or _DEFAULT_START_S)
    return QueuePosition(place=before + 1, wait_s=wait_s, gpu_starting=not ahead.workers)


def position_of(job: Job, *, now: datetime) -> QueuePosition:
    """The place of a job that is in line already."""
    parameters = backlog_ahead_of(
        guild_id=job.guild_id, user_id=job.user_id, now=now, job_id=job.pk, queued_at=job.queued_at
    )
    with prepared_statements.cursor() as cursor:
        cursor.execute(load("backlog"), parameters)
        (found,) = cursor.fetchone()
    return position(Backlog(**found), waits=job.status == Status.WAITING)


def demand(*, now: datetime) -> Demand:
    """What the scaling is decided by: the work that can run now, and how much came of late."""
    with connection.cursor() as cursor:
        cursor.execute(
            load("demand"),
            {"short": now - timedelta(seconds=SHORT_WINDOW_S), "long": now - timedelta(seconds=LONG_WINDOW_S)},
        )
        runnable, lately, recently, newest = cursor.fetchone()
    idle_s = (now - newest).total_seconds() if newest else LONG_WINDOW_S
    return Demand(runnable=runnable, lately=lately, recently=recently, idle_s=idle_s)
