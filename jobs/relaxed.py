"""The relaxed lane: requests that start no GPU by themselves until they are due.

A relaxed job has `due_at`. It waits in its guild's queue and is promoted when a worker has nothing else to do, at the
latest when it is due; from then on it is a job like every other. A prompt job has no `due_at`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from guilds.models import MAX_PATIENCE_HOURS, Guild

LONGEST = timedelta(hours=MAX_PATIENCE_HOURS)


def due_at(guild: Guild, *, now: datetime) -> datetime:
    """Return when a relaxed request that is accepted now is due."""
    return now + timedelta(hours=guild.relaxed_patience_hours)


def is_prompt(due: datetime | None, *, now: datetime) -> bool:
    """Return whether a job with this `due_at` starts GPUs and takes its turn like every other."""
    # Nobody waits longer than LONGEST, so a later time was written before the clock was set back.
    return due is None or due <= now or due > now + LONGEST


def prompt_jobs(*, now: datetime) -> Q:
    """Return the condition of is_prompt for queries on Job."""
    return Q(due_at=None) | Q(due_at__lte=now) | Q(due_at__gt=now + LONGEST)


def parameters(*, now: datetime) -> dict[str, datetime]:
    """Return the parameters of is_prompt's condition in jobs/sql: `now`, and `far`."""
    return {"now": now, "far": now + LONGEST}
