"""A guild's own line: who goes next, and what to tell someone who waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from psycopg.types.numeric import Int8

from guilds.models import Guild

from . import prepared
from .lifecycle import Status
from .models import Job
from .scaling import LATELY_S, RECENTLY_S, Demand

# Members take turns: in each round everyone's next request, the member served longest ago first.
_NEXT = """
SELECT line.id, line.user_id FROM (
  SELECT id, user_id, row_number() OVER (PARTITION BY user_id ORDER BY id) AS round
  FROM jobs_job WHERE guild_id = %(guild)s AND status = 'waiting'
) AS line
LEFT JOIN jobs_turn t ON t.guild_id = %(guild)s AND t.user_id = line.user_id
ORDER BY line.round, t.served_at NULLS FIRST, line.id
LIMIT %(slots)s
"""
_SERVED = """
INSERT INTO jobs_turn (guild_id, user_id, served_at) VALUES (%(guild)s, %(user)s, %(at)s)
ON CONFLICT (guild_id, user_id) DO UPDATE SET served_at = excluded.served_at
"""


def served(guild_id: int, user_id: int, *, at: datetime) -> None:
    """Remember that the member had a turn."""
    with connection.cursor() as cursor:
        cursor.execute(_SERVED, {"guild": guild_id, "user": user_id, "at": at})


def promote(guild: Guild, *, now: datetime) -> list[Job]:
    """Move waiting jobs to queued while the guild has room, in turns; return them for their doorbells.

    The guild's row must be locked by this transaction.
    """
    active = Job.objects.filter(guild=guild, status__in=[Status.QUEUED, Status.RUNNING]).count()
    slots = guild.concurrency - active
    if slots <= 0:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, {"guild": guild.pk, "slots": slots})
        chosen = cursor.fetchall()
    promoted = []
    for turn, (job_id, user_id) in enumerate(chosen):
        # A microsecond apart, so that the order of this round is the order of the next.
        at = now + timedelta(microseconds=turn)
        if Job.objects.move(job_id, Status.WAITING, Status.QUEUED, at=now, queued_at=at, rung_at=now, doorbells=1):
            served(guild.pk, user_id, at=at)
            promoted.append(job_id)
    return list(Job.objects.filter(pk__in=promoted).order_by("queued_at"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`place` 1 is next; `wait_s` is None where nothing was measured yet."""

    place: int
    wait_s: float | None
    gpu_starting: bool


_PLACE = """
WITH mine AS (SELECT * FROM jobs_job WHERE id = %(job)s),
waiting AS (
  SELECT j.user_id, count(*) AS n,
         count(*) FILTER (WHERE j.user_id = mine.user_id AND j.id < mine.id) AS before_me
  FROM jobs_job j, mine WHERE j.guild_id = mine.guild_id AND j.status = 'waiting' GROUP BY j.user_id
)
SELECT
  (SELECT count(*) FROM jobs_job j, mine
     WHERE j.status = 'queued' AND (mine.status = 'waiting' OR (j.queued_at, j.id) < (mine.queued_at, mine.id))),
  (SELECT count(*) FROM jobs_job WHERE status = 'running'),
  (SELECT coalesce(sum(CASE WHEN w.user_id = mine.user_id THEN w.before_me
                            ELSE least(w.n, (SELECT coalesce(max(before_me), 0) + 1 FROM waiting m
                                             WHERE m.user_id = mine.user_id)) END), 0)
     FROM waiting w, mine WHERE mine.status = 'waiting'),
  (SELECT count(*) FROM jobs_worker WHERE seen_at > %(alive)s AND state IN ('ready', 'busy')),
  (SELECT avg(extract(epoch FROM ended_at - started_at)) FROM
     (SELECT ended_at, started_at FROM jobs_job WHERE status = 'completed' AND started_at IS NOT NULL
      ORDER BY id DESC LIMIT 20) AS recent),
  (SELECT avg((startup->>'total')::float) FROM
     (SELECT startup FROM jobs_worker WHERE startup ? 'total' ORDER BY started_at DESC LIMIT 5) AS starts)
"""
# Until a start was measured: from nothing to a ready worker on g4dn with weights in the image.
_DEFAULT_START_S = 180.0


def place_of(job: Job, *, now: datetime) -> Place:
    """The job's place in line and the wait that measured times promise."""
    alive = now - timedelta(seconds=settings.SPARKLE_LEASE_SECONDS)
    with prepared.cursor() as cursor:
        # The last part asks jsonb for a key with "?", which stands for itself in psycopg.
        cursor.execute(_PLACE, {"job": Int8(job.pk), "alive": alive})
        queued, running, waiting, workers, seconds, start_s = cursor.fetchone()
    ahead = int(queued) + int(waiting)
    wait_s = None
    if seconds is not None:
        wait_s = float(seconds) * (ahead + running * 0.5 + 1) / max(workers, 1)
    if not workers:
        wait_s = (wait_s or 0.0) + float(start_s or _DEFAULT_START_S)
    return Place(place=ahead + 1, wait_s=wait_s, gpu_starting=not workers)


_DEMAND = """
SELECT (SELECT count(*) FROM jobs_job WHERE status IN ('queued', 'running')),
       count(*) FILTER (WHERE created_at > %(lately)s), count(*), max(created_at)
FROM jobs_job WHERE created_at > %(recently)s AND status <> 'refused'
"""


def demand(*, now: datetime) -> Demand:
    """What the scaling is decided by: the work that can run now, and how much came of late."""
    with connection.cursor() as cursor:
        cursor.execute(
            _DEMAND, {"lately": now - timedelta(seconds=LATELY_S), "recently": now - timedelta(seconds=RECENTLY_S)}
        )
        runnable, lately, recently, newest = cursor.fetchone()
    quiet_s = (now - newest).total_seconds() if newest else RECENTLY_S
    return Demand(runnable=runnable, lately=lately, recently=recently, quiet_s=quiet_s)
