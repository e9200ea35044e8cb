"""Counts of ended requests made ahead, so that a chart costs the same whatever history lies behind it.

A count is made again, whole, for the hours that may still change; nothing is added up twice, and a run that dies midway
leaves what was there before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from discord_api import snowflakes

from .models import RollupCursor
from .named_queries import load

# A transaction that ends a job commits within seconds of the time it writes.
OVERLAP = timedelta(hours=1)
FIRST_S = 0.25
FACTOR = 1.25
BUCKETS = 60


def bucket_bound(bucket: int) -> float:
    """The longest time, in seconds, that falls into the bucket."""
    return float(FIRST_S * FACTOR**bucket)


def quantile(counts: Sequence[tuple[int, int]], share: float) -> float | None:
    """The time in seconds that `share` (0..1) of the requests stayed below, to a quarter; None without requests.

    `counts` are (bucket, requests), in any order. Within a bucket the middle of its ratio is taken.
    """
    total = sum(jobs for _, jobs in counts)
    if not total:
        return None
    reached = 0
    for bucket, jobs in sorted(counts):
        reached += jobs
        if reached >= share * total:
            return bucket_bound(bucket) / math.sqrt(FACTOR)
    return None


def refresh_rollups(*, now: datetime, older_than: timedelta = timedelta(0)) -> datetime | None:
    """Count what has ended since the last time, if that was `older_than` ago; return up to when all is counted.

    While another process counts, what it counted before stands.
    """
    with transaction.atomic():
        mark = RollupCursor.objects.select_for_update(skip_locked=True).filter(pk=1).first()
        if mark is None:
            known, made = RollupCursor.objects.get_or_create(pk=1)
            if not made:
                return known.counted_to
            mark = RollupCursor.objects.select_for_update().get(pk=1)
        if mark.counted_to and now - mark.counted_to < older_than:
            return mark.counted_to
        since = (mark.counted_to - OVERLAP if mark.counted_to else snowflakes.EPOCH).astimezone(UTC)
        hour = since.replace(minute=0, second=0, microsecond=0)
        starts = {"hour": hour, "day": hour.replace(hour=0)}
        with connection.cursor() as cursor:
            cursor.execute(load("delete_stale_rollups"), starts)
            cursor.execute(load("delete_stale_latencies"), {"hour": hour})
            cursor.execute(load("count_ended_jobs"), starts)
            cursor.execute(
                load("measure_latencies"), {"hour": hour, "first": FIRST_S, "factor": FACTOR, "last": BUCKETS - 1}
            )
        mark.counted_to = now
        mark.save(update_fields=["counted_to"])
    return now
