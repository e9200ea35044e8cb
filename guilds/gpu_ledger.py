"""The GPU time that each guild actually used in each UTC month, for the operators' budget.

No grant, refund, erasure or setting changes it. Rows identify a guild by a pseudonym, so they outlive its erasure and
apply again after a reinstallation.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from django.db import connection

from .pseudonyms import guild_pseudonym

# A day of one GPU, more than any attempt can take.
MAX_GPU_MS = 24 * 60 * 60 * 1000

_CHARGE = """
INSERT INTO guilds_gpuledger AS entry (guild_key, month, used_ms) VALUES (%(key)s, %(month)s, %(used_ms)s)
ON CONFLICT (guild_key, month) DO UPDATE SET used_ms = entry.used_ms + excluded.used_ms
"""


def month_of(now: datetime) -> date:
    """Return the first day of the UTC month of `now`."""
    return now.astimezone(UTC).date().replace(day=1)


def month_end(now: datetime) -> datetime:
    """Return when the UTC month of `now` ends."""
    following = (month_of(now) + timedelta(days=32)).replace(day=1)
    return datetime(following.year, following.month, following.day, tzinfo=UTC)


def charge(guild_id: int, gpu_ms: int, *, now: datetime) -> None:
    """Add used GPU milliseconds to the guild's entry of this month. The caller holds the lock of the guild's row."""
    if gpu_ms <= 0:
        return
    with connection.cursor() as cursor:
        cursor.execute(_CHARGE, {"key": guild_pseudonym(guild_id), "month": month_of(now), "used_ms": gpu_ms})


def used_ms(guild_ids: Iterable[int], *, now: datetime) -> dict[int, int]:
    """Return the GPU milliseconds that guilds used in this UTC month, without guilds that used none."""
    from .models import GpuLedger

    keys = {guild_pseudonym(guild_id): guild_id for guild_id in guild_ids}
    rows = GpuLedger.objects.filter(guild_key__in=list(keys), month=month_of(now))
    return {keys[key]: used for key, used in rows.values_list("guild_key", "used_ms")}
