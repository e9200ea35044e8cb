"""Counts of ended jobs for charts, which then cost the same for any length of history.

Each run deletes and recomputes the hours that may still change, in one transaction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from discord_api import snowflakes

from .models import RollupCursor
from .named_queries import load

# A transaction that ends a job commits within seconds of its `ended_at`.
OVERLAP = timedelta(hours=1)
FIRST_S = 0.25
FACTOR = 1.25
BUCKETS = 60


def bucket_bound(bucket: int) -> float:
    """Return the bucket's upper bound in seconds."""
    return float(FIRST_S * FACTOR**bucket)


def quantile(counts: Sequence[tuple[int, int]], share: float) -> float | None:
    """Return the quantile `share` (0..1) in seconds, accurate to 25 %; None without requests.

    `counts` are (bucket, requests) in any order. The result is the geometric middle of a bucket.
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
    """Count the jobs that ended since the last run, if it was `older_than` ago. Return until when all are counted.

    While another process counts, return its previous result.
    """
    with transaction.atomic():
        cursor_row = RollupCursor.objects.select_for_update(skip_locked=True).filter(pk=1).first()
        if cursor_row is None:
            existing, created = RollupCursor.objects.get_or_create(pk=1)
            if not created:
                return existing.counted_to
            cursor_row = RollupCursor.objects.select_for_update().get(pk=1)
        if cursor_row.counted_to and now - cursor_row.counted_to < older_than:
            return cursor_row.counted_to
        since = (cursor_row.counted_to - OVERLAP if cursor_row.counted_to else snowflakes.EPOCH).astimezone(UTC)
        hour = since.replace(minute=0, second=0, microsecond=0)
        starts = {"hour": hour, "day": hour.replace(hour=0)}
        with connection.cursor() as cursor:
            cursor.execute(load("delete_stale_rollups"), starts)
            cursor.execute(load("delete_stale_latencies"), {"hour": hour})
            cursor.execute(load("count_ended_jobs"), starts)
            cursor.execute(
                load("measure_latencies"), {"hour": hour, "first": FIRST_S, "factor": FACTOR, "last": BUCKETS - 1}
            )
        cursor_row.counted_to = now
        cursor_row.save(update_fields=["counted_to"])
    return now
