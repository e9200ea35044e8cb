"""Remember the names of members who make requests, for lists that are searched by name (guilds.directory)."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection

from jobs.named_queries import load

from .task import TaskRun, upkeep_task

# Upkeep runs every minute; a run that is missed costs a name until the member's next request.
LOOK_BACK = timedelta(minutes=5)


@upkeep_task(budget_s=2)
def remember_members(work: TaskRun) -> int:
    """Store the names in the requests of the last minutes; return how many were new or changed."""
    with connection.cursor() as cursor:
        cursor.execute(load("remember_members"), {"since": work.now - LOOK_BACK})
        return cursor.rowcount
