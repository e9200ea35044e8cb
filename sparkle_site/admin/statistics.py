"""What the dashboard and a server's page read: quota use, busiest servers, latencies, newest images.

The number of statements does not depend on the number of rows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Sum

from guilds import gpu_ledger
from guilds.quota_clock import QuotaClock, Window, current_month_starts
from jobs import rollups
from jobs.job_status import Status
from jobs.models import Job, JobImage, LatencyBucket

from . import formatting, initials

MAX_IMAGES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaUsage:
    """A limit for a whole server and its current use."""

    guild_id: int
    guild: str
    rule: str
    used: str
    percent: float
    resets_at: datetime

    @property
    def level(self) -> str:
        return "danger" if self.percent >= 100 else "warning" if self.percent >= 80 else ""


_QUOTA_USAGE = """
SELECT g.id, g.name, g.time_zone, g.quota_clock::json, r.metric, r."window", r."limit", u.starts_at, u.images,
       u.gpu_ms, u.granted_images, u.granted_gpu_ms
FROM guilds_quotarule r JOIN guilds_guild g ON g.id = r.guild_id
JOIN LATERAL (SELECT * FROM guilds_usage x WHERE x.guild_id = r.guild_id AND x.subject_id = 0
              AND x."window" = r."window" ORDER BY x.starts_at DESC LIMIT 1) u ON true
WHERE r.subject = 'guild' AND g.left_at IS NULL AND (%(all)s OR g.id = ANY(%(guilds)s))
"""


def quota_usage(guild_ids: frozenset[int] | None, *, now: datetime) -> list[QuotaUsage]:
    """Return the limits for whole servers with their use, the fullest first."""
    with connection.cursor() as cursor:
        cursor.execute(_QUOTA_USAGE, {"all": guild_ids is None, "guilds": list(guild_ids or ())})
        rows = cursor.fetchall()
    # Cached, because many servers share a time zone.
    bounds: dict[tuple[str, str, str], Window] = {}
    usages = []
    for (
        pk,
        name,
        zone,
        stored,
        metric,
        window,
        limit,
        starts_at,
        images,
        gpu_ms,
        granted_images,
        granted_gpu_ms,
    ) in rows:
        if (key := (window, zone, str(stored))) not in bounds:
            bounds[key] = QuotaClock.load(stored, time_zone=zone).moved(zone, now).window(window, now)
        if starts_at != bounds[key].start:
            continue
        counts_images = metric == "images"
        used = images if counts_images else gpu_ms / 1000
        total = limit + (granted_images if counts_images else granted_gpu_ms / 1000)
        usages.append(
            QuotaUsage(
                guild_id=pk,
                guild=name or str(pk),
                rule=f"{'images' if counts_images else 'GPU seconds'} per {window}",
                used=f"{formatting.count(used)} of {formatting.count(total)}",
                percent=min(100.0, round(100 * used / total, 1)) if total else 100.0,
                resets_at=bounds[key].end,
            )
        )
    return sorted(usages, key=lambda usage: -usage.percent)


_BUSIEST = """
SELECT g.id, g.name, g.icon, u.images, u.gpu_ms, g.monthly_budget_gpu_seconds
FROM guilds_guild g JOIN LATERAL (
  SELECT * FROM guilds_usage x WHERE x.guild_id = g.id AND x.subject_id = 0 AND x."window" = 'month'
    AND x.starts_at = ANY(%(starts)s) ORDER BY x.starts_at DESC LIMIT 1) u ON true
WHERE u.images > 0 AND (%(all)s OR g.id = ANY(%(guilds)s)) ORDER BY u.gpu_ms DESC, u.images DESC LIMIT 6
"""


def busiest_guilds(guild_ids: frozenset[int] | None, *, now: datetime, price: Decimal) -> list[dict[str, Any]]:
    """Return the servers that used the most GPU time this month."""
    starts = current_month_starts(now)
    with connection.cursor() as cursor:
        cursor.execute(_BUSIEST, {"all": guild_ids is None, "guilds": list(guild_ids or ()), "starts": starts})
        rows = cursor.fetchall()
    spent = gpu_ledger.used_ms([row[0] for row in rows], now=now)
    return [
        {
            "id": pk,
            "name": name or str(pk),
            "icon": initials.icon(pk, name),
            "images": formatting.counted(images, "image"),
            "cost": formatting.money(gpu_ms, price),
            "budget": f"{spent.get(pk, 0) / 10 / budget:.0f} % of budget" if budget else "",
            "percent": min(100, round(spent.get(pk, 0) / 10 / budget)) if budget else None,
        }
        for pk, name, _, images, gpu_ms, budget in rows
    ]


_RECENT_LATENCIES = """
SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM j.started_at - j.created_at)),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM j.ended_at - j.created_at))
FROM unnest(%(guilds)s::bigint[]) AS g(id), LATERAL (
  SELECT * FROM jobs_job x WHERE x.guild_id = g.id AND x.status = 'completed' AND x.started_at IS NOT NULL
  ORDER BY x.id DESC LIMIT 200) AS j
"""


def latencies(guild_ids: frozenset[int] | None, *, since: datetime) -> dict[str, tuple[float | None, float | None]]:
    """Return p50 and p95 in seconds of the wait and of the total time.

    For `guild_ids` they are of each server's newest 200 completed requests, for None of all requests since `since`.
    """
    if guild_ids is not None:
        with connection.cursor() as cursor:
            cursor.execute(_RECENT_LATENCIES, {"guilds": list(guild_ids)})
            wait, total = cursor.fetchone()
        return {"wait": tuple(wait or (None, None)), "total": tuple(total or (None, None))}
    rows = LatencyBucket.objects.filter(starts_at__gte=since).values_list("kind", "bucket").annotate(Sum("jobs"))
    counts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for kind, bucket, jobs in rows:
        counts[kind].append((bucket, jobs))
    return {
        kind: (rollups.quantile(counts[kind], 0.5), rollups.quantile(counts[kind], 0.95)) for kind in ("wait", "total")
    }


_NEWEST_JOBS = """
SELECT j.id FROM unnest(%(guilds)s::bigint[]) AS g(id), LATERAL (
  SELECT id FROM jobs_job x WHERE x.guild_id = g.id AND x.status = 'completed' ORDER BY x.id DESC LIMIT %(most)s
) AS j ORDER BY j.id DESC LIMIT %(most)s
"""


def newest_images(guild_ids: frozenset[int] | None) -> list[JobImage]:
    """Return the first image of each of the newest completed requests, without deleted and hidden ones."""
    if guild_ids is None:
        ids = list(Job.objects.filter(status=Status.COMPLETED).order_by("-id").values_list("pk", flat=True)[:24])
    else:
        with connection.cursor() as cursor:
            cursor.execute(_NEWEST_JOBS, {"guilds": list(guild_ids), "most": 24})
            ids = [row[0] for row in cursor.fetchall()]
    images = JobImage.objects.filter(job_id__in=ids, index=0, hidden_at=None).select_related("job")
    return list(images.order_by("-job_id")[:MAX_IMAGES])
