"""What the first page tells: read in a fixed number of statements, whatever history lies behind it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, Min, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from guilds import gpu_ledger
from guilds.models import Platform
from guilds.quota_clock import QuotaClock, Window, window_start
from jobs import rollups
from jobs.lifecycle import OPEN, Status
from jobs.models import Job, JobImage, JobRollup, LatencyBucket, Worker

from . import access, formatting, initials

RANGES = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
DAYS = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}
CHARTED = (Status.COMPLETED, Status.FAILED, Status.EXPIRED, Status.CANCELLED, Status.REFUSED)
COUNT_AGAIN_AFTER = timedelta(seconds=30)
SILENT_AFTER = timedelta(seconds=60)
SHOWN_PICTURES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    status: str
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One bar of the chart. Heights in percent of the tallest."""

    title: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    columns: tuple[Column, ...]
    totals: tuple[tuple[str, str, str], ...]
    """(status, its name, how many)"""
    highest: str
    axis: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not any(column.segments for column in self.columns)


def chart(counts: Iterable[tuple[datetime, str, int]], *, start: datetime, steps: int, step: timedelta) -> Chart:
    """Stack counts (time, status, jobs) into `steps` columns from `start` on. Pure."""
    stacks: list[dict[str, int]] = [defaultdict(int) for _ in range(steps)]
    totals: dict[str, int] = defaultdict(int)
    for at, status, jobs in counts:
        place = int((at - start) / step)
        if 0 <= place < steps:
            stacks[place][status] += jobs
            totals[status] += jobs
    highest = max((sum(stack.values()) for stack in stacks), default=0)
    hours = step < timedelta(days=1)
    names = [(start + step * place).strftime("%H:%M" if hours else "%d %b") for place in range(steps)]
    return Chart(
        columns=tuple(
            Column(
                title=f"{name}: " + (", ".join(f"{jobs:,} {status}" for status, jobs in stack.items()) or "nothing"),
                segments=tuple(
                    Segment(status=status, percent=round(100 * stack[status] / highest, 2))
                    for status in CHARTED
                    if stack.get(status)
                ),
            )
            for name, stack in zip(names, stacks, strict=True)
        ),
        totals=tuple(
            (str(status), str(status.label), formatting.count(totals[status]))
            for status in CHARTED
            if totals.get(status)
        ),
        highest=formatting.count(highest) if highest else "",
        axis=(names[0], names[len(names) // 2], names[-1]) if steps > 2 else tuple(names),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaUsage:
    """A server's own limit and what is used of it now."""

    guild_id: int
    guild: str
    rule: str
    used: str
    percent: float
    resets_at: datetime

    @property
    def level(self) -> str:
        return "danger" if self.percent >= 100 else "warning" if self.percent >= 80 else ""


_RULES = """
SELECT g.id, g.name, g.time_zone, g.quota_clock::json, r.metric, r."window", r."limit", u.starts_at, u.pictures,
       u.gpu_ms, u.granted_pictures, u.granted_gpu_ms
FROM guilds_quotarule r JOIN guilds_guild g ON g.id = r.guild_id
JOIN LATERAL (SELECT * FROM guilds_usage x WHERE x.guild_id = r.guild_id AND x.subject_id = 0
              AND x."window" = r."window" ORDER BY x.starts_at DESC LIMIT 1) u ON true
WHERE r.subject = 'guild' AND g.left_at IS NULL AND (%(all)s OR g.id = ANY(%(guilds)s))
"""


def quota_usage(guild_ids: frozenset[int] | None, *, now: datetime) -> list[QuotaUsage]:
    """The servers' own quotas, the fullest first."""
    with connection.cursor() as cursor:
        cursor.execute(_RULES, {"all": guild_ids is None, "guilds": list(guild_ids or ())})
        rows = cursor.fetchall()
    # A thousand servers share a few time zones.
    bounds: dict[tuple[str, str, str], Window] = {}
    found = []
    for pk, name, zone, stored, metric, window, limit, starts_at, pictures, gpu_ms, more_pictures, more_gpu_ms in rows:
        if (key := (window, zone, str(stored))) not in bounds:
            bounds[key] = QuotaClock.load(stored, time_zone=zone).moved(zone, now).window(window, now)
        if starts_at != bounds[key].start:
            continue
        of_pictures = metric == "pictures"
        used = pictures if of_pictures else gpu_ms / 1000
        whole = limit + (more_pictures if of_pictures else more_gpu_ms / 1000)
        found.append(
            QuotaUsage(
                guild_id=pk,
                guild=name or str(pk),
                rule=f"{'pictures' if of_pictures else 'GPU seconds'} a {window}",
                used=f"{formatting.count(used)} of {formatting.count(whole)}",
                percent=min(100.0, round(100 * used / whole, 1)) if whole else 100.0,
                resets_at=bounds[key].end,
            )
        )
    return sorted(found, key=lambda each: -each.percent)


_BUSIEST = """
SELECT g.id, g.name, g.icon, u.pictures, u.gpu_ms, g.monthly_budget_gpu_seconds
FROM guilds_guild g JOIN LATERAL (
  SELECT * FROM guilds_usage x WHERE x.guild_id = g.id AND x.subject_id = 0 AND x."window" = 'month'
    AND x.starts_at > %(since)s ORDER BY x.starts_at DESC LIMIT 1) u ON true
WHERE u.pictures > 0 AND (%(all)s OR g.id = ANY(%(guilds)s)) ORDER BY u.gpu_ms DESC, u.pictures DESC LIMIT 6
"""


def busiest_guilds(guild_ids: frozenset[int] | None, *, now: datetime, price: Decimal) -> list[dict[str, Any]]:
    """The servers that used most GPU time this month."""
    since = window_start("month", now, "UTC") - timedelta(days=2)
    with connection.cursor() as cursor:
        cursor.execute(_BUSIEST, {"all": guild_ids is None, "guilds": list(guild_ids or ()), "since": since})
        rows = cursor.fetchall()
    spent = gpu_ledger.used_ms([row[0] for row in rows], now=now)
    return [
        {
            "id": pk,
            "name": name or str(pk),
            "icon": initials.icon(pk, name),
            "pictures": formatting.count(pictures),
            "cost": formatting.money(gpu_ms, price),
            "budget": f"{spent.get(pk, 0) / 10 / budget:.0f} % of its budget" if budget else "",
            "percent": min(100, round(spent.get(pk, 0) / 10 / budget)) if budget else None,
        }
        for pk, name, _, pictures, gpu_ms, budget in rows
    ]


_RECENT = """
SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM j.started_at - j.created_at)),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM j.ended_at - j.created_at))
FROM unnest(%(guilds)s::bigint[]) AS g(id), LATERAL (
  SELECT * FROM jobs_job x WHERE x.guild_id = g.id AND x.status = 'completed' AND x.started_at IS NOT NULL
  ORDER BY x.id DESC LIMIT 200) AS j
"""


def latencies(guild_ids: frozenset[int] | None, *, since: datetime) -> dict[str, tuple[float | None, float | None]]:
    """p50 and p95 in seconds of waiting and of the whole; of one server's newest requests, or of all since then."""
    if guild_ids is not None:
        with connection.cursor() as cursor:
            cursor.execute(_RECENT, {"guilds": list(guild_ids)})
            wait, total = cursor.fetchone()
        return {"wait": tuple(wait or (None, None)), "total": tuple(total or (None, None))}
    rows = LatencyBucket.objects.filter(starts_at__gte=since).values_list("kind", "bucket").annotate(Sum("jobs"))
    counts: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for kind, bucket, jobs in rows:
        counts[kind].append((bucket, jobs))
    return {
        kind: (rollups.quantile(counts[kind], 0.5), rollups.quantile(counts[kind], 0.95)) for kind in ("wait", "total")
    }


_NEWEST = """
SELECT j.id FROM unnest(%(guilds)s::bigint[]) AS g(id), LATERAL (
  SELECT id FROM jobs_job x WHERE x.guild_id = g.id AND x.status = 'completed' ORDER BY x.id DESC LIMIT %(most)s
) AS j ORDER BY j.id DESC LIMIT %(most)s
"""


def newest_pictures(guild_ids: frozenset[int] | None) -> list[JobImage]:
    """The first picture of each of the newest completed requests that still have one to show."""
    if guild_ids is None:
        ids = list(Job.objects.filter(status=Status.COMPLETED).order_by("-id").values_list("pk", flat=True)[:24])
    else:
        with connection.cursor() as cursor:
            cursor.execute(_NEWEST, {"guilds": list(guild_ids), "most": 24})
            ids = [row[0] for row in cursor.fetchall()]
    images = JobImage.objects.filter(job_id__in=ids, index=0, hidden_at=None).select_related("job")
    return list(images.order_by("-job_id")[:SHOWN_PICTURES])


def _mine(rows: QuerySet[Any], guild_ids: frozenset[int] | None) -> QuerySet[Any]:
    return rows if guild_ids is None else rows.filter(guild_id__in=guild_ids)


def _worker(worker: Worker, *, now: datetime) -> dict[str, Any]:
    silent = now - worker.seen_at > SILENT_AFTER
    good = worker.state in (Worker.State.READY, Worker.State.BUSY)
    return {
        "id": worker.pk,
        "state": "Silent" if silent else worker.get_state_display(),
        "dot": "bad" if silent else ("good" if good else "idle"),
        "device": worker.device or "unknown device",
        "model": worker.model_id.rstrip("/").rpartition("/")[2],
        "seen": formatting.when(worker.seen_at),
        "jobs": formatting.count(worker.jobs_done),
    }


def build_context(person: access.Access, chosen: str, *, now: datetime) -> dict[str, Any]:
    """All that the dashboard shows to this person."""
    guilds = person.guild_ids
    as_of = rollups.refresh_rollups(now=now, older_than=COUNT_AGAIN_AFTER)
    platform = Platform.objects.first() or Platform()
    hours = guilds is None and chosen == "24h"
    steps, step = (24, timedelta(hours=1)) if hours else (max(DAYS[chosen], 2), timedelta(days=1))
    end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    end = end + step if hours else end.replace(hour=0) + step
    start = end - step * steps

    counted = JobRollup.objects.filter(guild=None) if guilds is None else JobRollup.objects.filter(guild_id__in=guilds)
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    since = min(start, month)
    rows = list(
        counted.filter(starts_at__gte=since).values_list("starts_at", "status", "reason", "jobs", "gpu_ms", "pictures")
    )
    in_range = [row for row in rows if row[0] >= start]
    month_ms = sum(row[4] for row in rows if row[0] >= month)
    reasons: dict[str, int] = defaultdict(int)
    for _, status, reason, jobs, _, _ in in_range:
        if reason and status in (Status.FAILED, Status.EXPIRED, Status.REFUSED):
            reasons[reason] += jobs

    live = _mine(Job.objects.filter(status__in=OPEN), guilds).aggregate(
        waiting=Count("pk", filter=Q(status=Status.WAITING)),
        queued=Count("pk", filter=Q(status=Status.QUEUED)),
        running=Count("pk", filter=Q(status=Status.RUNNING)),
        oldest=Min("created_at", filter=~Q(status=Status.RUNNING)),
    )
    times = latencies(guilds, since=start)
    workers = [
        _worker(each, now=now)
        for each in Worker.objects.filter(seen_at__gt=now - timedelta(hours=1)).order_by("-seen_at")[:12]
    ]
    cost = float(platform.price_per_gpu_hour) * month_ms / 3_600_000
    budget = float(platform.monthly_budget or 0) if guilds is None else 0.0
    most = max(reasons.values(), default=0)
    return {
        "operators": guilds is None,
        "as_of": formatting.when(as_of or now),
        "now": now,
        "platform": platform,
        "chart": chart(((row[0], row[1], row[3]) for row in in_range), start=start, steps=steps, step=step),
        "range_name": RANGES[chosen].lower() if guilds is None or chosen != "24h" else "2 days",
        "live": live,
        "oldest": formatting.seconds((now - live["oldest"]).total_seconds()) if live["oldest"] else "",
        "queued": live["waiting"] + live["queued"],
        "pictures_made": formatting.count(sum(row[5] for row in in_range)),
        "completed": formatting.count(sum(row[3] for row in in_range if row[1] == Status.COMPLETED)),
        "gpu_hours": f"{month_ms / 3_600_000:,.1f}",
        "cost": formatting.money(month_ms, platform.price_per_gpu_hour),
        "budget": f"${budget:,.0f}" if budget else "",
        "budget_percent": min(100, round(100 * cost / budget)) if budget else None,
        "wait": [formatting.seconds(value) for value in times["wait"]],
        "total": [formatting.seconds(value) for value in times["total"]],
        "workers": workers,
        "alive": sum(worker["dot"] == "good" for worker in workers),
        "reasons": [
            {
                "code": code,
                "name": formatting.reason(code),
                "remedy": formatting.remedy(code),
                "jobs": formatting.count(jobs),
                "percent": round(100 * jobs / most),
            }
            for code, jobs in sorted(reasons.items(), key=lambda item: -item[1])[:6]
        ],
        "quota_usage": quota_usage(guilds, now=now)[:6],
        "busiest": busiest_guilds(guilds, now=now, price=platform.price_per_gpu_hour),
        "newest": [
            {
                "src": formatting.picture(image, width=320),
                "alt": f"{formatting.alt(image)}: {image.job.prompt[:120]}",
                "title": image.job.prompt[:200],
                "job_id": image.job_id,
                "blur": image.blurred or image.job.spoiler,
            }
            for image in newest_pictures(guilds)
        ],
    }


def chosen_range(request: HttpRequest) -> str:
    wanted = request.GET.get("range", "")
    allowed = ranges_of(access.of(request))
    return wanted if wanted in allowed else "7d"


def ranges_of(person: access.Access) -> Sequence[str]:
    # One server's requests are counted by the day.
    return list(RANGES) if person.sees_all_guilds else list(RANGES)[1:]


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold calls this for the index page."""
    chosen = chosen_range(request)
    person = access.of(request)
    address = reverse("admin:dashboard")
    return context | {
        **build_context(person, chosen, now=timezone.now()),
        "title": "Dashboard",
        "ranges": [
            {"name": RANGES[key], "address": f"?{urlencode({'range': key})}", "current": key == chosen}
            for key in ranges_of(person)
        ],
        "refresh_address": f"{address}?{urlencode({'range': chosen})}",
    }


def part(request: HttpRequest) -> HttpResponse:
    """The dashboard's body alone, fetched again and again by sparkle/dashboard.js."""
    context = build_context(access.of(request), chosen_range(request), now=timezone.now())
    response = render(request, "admin/dashboard/body.html", context)
    response.headers["Cache-Control"] = "no-store"
    return response
