"""The lock of a guild's row, which orders all changes of its counters and its queue.

Locks are taken in one order everywhere, which prevents deadlocks: the guild's row, then its counters, then its jobs.
A transaction that writes a counter holds the guild's row, so it decides by what others have committed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, models, transaction
from psycopg.types.numeric import Int8

from guilds.models import Guild

from . import prepared_statements
from .models import Job


@functools.cache
def _lock() -> str:
    # Django parses jsonb in its own converters, which do not run here; psycopg parses json.
    columns = ", ".join(
        f'"{field.column}"::json' if isinstance(field, models.JSONField) else f'"{field.column}"'
        for field in Guild._meta.concrete_fields
    )
    # NO KEY: rows that reference the guild can still be inserted.
    return f"SELECT {columns} FROM guilds_guild WHERE id = %(guild)s FOR NO KEY UPDATE"  # noqa: S608  # our own text


@contextmanager
def lock_guild(guild_id: int) -> Iterator[Guild]:
    """Lock the guild's row until the block's transaction ends; yield the guild, read under the lock.

    Raises Guild.DoesNotExist.
    """
    with transaction.atomic():
        with prepared_statements.cursor() as cursor:
            cursor.execute(_lock(), {"guild": Int8(guild_id)})
            row = cursor.fetchone()
        if row is None:
            raise Guild.DoesNotExist(f"no guild {guild_id}")
        yield Guild.from_db(connection.alias, [field.attname for field in Guild._meta.concrete_fields], row)


@contextmanager
def lock_guild_of(job_id: int) -> Iterator[Guild | None]:
    """Lock the row of the job's guild as lock_guild does; yield None if the job does not exist."""
    guild_id = Job.objects.filter(pk=job_id).values_list("guild_id", flat=True).first()
    if guild_id is None:
        yield None
        return
    with lock_guild(guild_id) as guild:
        yield guild
