"""The one lock that orders all that is counted and queued in a guild.

The order of locks is the same everywhere: the guild's row, then its counters, then its jobs. Whatever writes a counter
holds the guild's row, so two of them never wait for each other, and each decides by what the other has committed.
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
    # Django would parse jsonb itself; here psycopg does, which leaves jsonb to Django and parses json.
    columns = ", ".join(
        f'"{field.column}"::json' if isinstance(field, models.JSONField) else f'"{field.column}"'
        for field in Guild._meta.concrete_fields
    )
    # NO KEY: rows that refer to the guild may be written meanwhile.
    return f"SELECT {columns} FROM guilds_guild WHERE id = %(guild)s FOR NO KEY UPDATE"  # noqa: S608  # our own text


@contextmanager
def lock_guild(guild_id: int) -> Iterator[Guild]:
    """Hold the guild's row until the block's transaction ends; yield the guild as it is then.

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
    """Hold the row of the job's guild as lock_guild does; yield None where there is no such job."""
    guild_id = Job.objects.filter(pk=job_id).values_list("guild_id", flat=True).first()
    if guild_id is None:
        yield None
        return
    with lock_guild(guild_id) as guild:
        yield guild
