"""The dashboard on the admin's first page. The number of statements does not depend on the number of rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Min, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from guilds.models import Platform
from jobs import rollups
from jobs.job_status import OPEN, Status
from jobs.models import Job, JobImage, JobRollup, Worker

from . import access, charts, formatting, statistics

RANGES = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
DAYS = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}
DEFAULT_RANGE = "7d"
MAX_ROLLUP_AGE = timedelta(seconds=30)
SILENT_AFTER = timedelta(seconds=60)
MAX_WORKERS = 12
MAX_REASONS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The time that the chart covers, as `steps` columns of `step` each."""

    start: datetime
    steps: int
    step: timedelta


@dataclass(frozen=True, slots=True)
class Ended:
    """A row of the rollups: jobs that ended in one period with one status and reason."""

    starts_at: datetime
    status: str
    reason: str
    jobs: int
    gpu_ms: int
    images: int


def period_of(name: str, *, hourly: bool, now: datetime) -> Period:
    """Return the period of a range, in UTC; it ends with the current hour (`hourly`) or day. Pure."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if hourly:
        step = timedelta(hours=1)
        steps, end = 24, hour + step
    else:
        step = timedelta(days=1)
        steps, end = max(DAYS[name], 2), hour.replace(hour=0) + step
    return Period(start=end - step * steps, steps=steps, step=step)


def build_context(viewer: access.Access, chosen: str, *, now: datetime) -> dict[str, Any]:
    """Return the template's variables: the numbers of the servers that the viewer may see."""
    guild_ids = viewer.guild_ids
    as_of = rollups.refresh_rollups(now=now, older_than=MAX_ROLLUP_AGE)
    platform = Platform.objects.first() or Platform()
    period = period_of(chosen, hourly=guild_ids is None and chosen == "24h", now=now)
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    ended = _ended(guild_ids, since=min(period.start, month))
    in_period = [row for row in ended if row.starts_at >= period.start]
    counts = ((row.starts_at, row.status, row.jobs) for row in in_period)
    return {
        "operators": guild_ids is None,
        "as_of": formatting.when(as_of or now),
        "now": now,
        "platform": platform,
        "chart": charts.chart(counts, start=period.start, steps=period.steps, step=period.step),
        "range_name": RANGES[chosen].lower() if guild_ids is None or chosen != "24h" else "2 days",
        "images_made": formatting.count(sum(row.images for row in in_period)),
        "completed": formatting.count(sum(row.jobs for row in in_period if row.status == Status.COMPLETED)),
        "reasons": _reasons(in_period),
        "quota_usage": statistics.quota_usage(guild_ids, now=now)[:6],
        "busiest": statistics.busiest_guilds(guild_ids, now=now, price=platform.price_per_gpu_hour),
        "newest": [_image(image) for image in statistics.newest_images(guild_ids)],
        **_open_jobs(guild_ids, now=now),
        **_cost(platform, sum(row.gpu_ms for row in ended if row.starts_at >= month), for_all=guild_ids is None),
        **_times(guild_ids, since=period.start),
        **_workers(now=now),
    }


def _ended(guild_ids: frozenset[int] | None, *, since: datetime) -> list[Ended]:
    rows = (
        JobRollup.objects.filter(guild=None) if guild_ids is None else JobRollup.objects.filter(guild_id__in=guild_ids)
    )
    columns = ("starts_at", "status", "reason", "jobs", "gpu_ms", "images")
    return [Ended(*row) for row in rows.filter(starts_at__gte=since).values_list(*columns)]


def _open_jobs(guild_ids: frozenset[int] | None, *, now: datetime) -> dict[str, Any]:
    jobs = Job.objects.filter(status__in=OPEN)
    if guild_ids is not None:
        jobs = jobs.filter(guild_id__in=guild_ids)
    live = jobs.aggregate(
        waiting=Count("pk", filter=Q(status=Status.WAITING)),
        queued=Count("pk", filter=Q(status=Status.QUEUED)),
        running=Count("pk", filter=Q(status=Status.RUNNING)),
        oldest=Min("created_at", filter=~Q(status=Status.RUNNING)),
    )
    oldest = formatting.seconds((now - live["oldest"]).total_seconds()) if live["oldest"] else ""
    return {"live": live, "oldest": oldest, "queued": live["waiting"] + live["queued"]}


def _cost(platform: Platform, gpu_ms: int, *, for_all: bool) -> dict[str, Any]:
    """The month's GPU time and cost. The platform's budget is compared only with the cost of all servers."""
    price: Decimal = platform.price_per_gpu_hour
    cost = float(price) * gpu_ms / 3_600_000
    budget = float(platform.monthly_budget or 0) if for_all else 0.0
    return {
        "gpu_hours": f"{gpu_ms / 3_600_000:,.1f}",
        "cost": formatting.money(gpu_ms, price),
        "budget": f"${budget:,.0f}" if budget else "",
        "budget_percent": min(100, round(100 * cost / budget)) if budget else None,
    }


def _times(guild_ids: frozenset[int] | None, *, since: datetime) -> dict[str, list[str]]:
    latencies = statistics.latencies(guild_ids, since=since)
    return {kind: [formatting.seconds(value) for value in latencies[kind]] for kind in ("wait", "total")}


def _reasons(rows: Iterable[Ended]) -> list[dict[str, Any]]:
    jobs_by_reason: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.reason and row.status in (Status.FAILED, Status.EXPIRED, Status.REFUSED):
            jobs_by_reason[row.reason] += row.jobs
    highest = max(jobs_by_reason.values(), default=0)
    return [
        {
            "code": code,
            "name": formatting.reason(code),
            "remedy": formatting.remedy(code),
            "jobs": formatting.count(jobs),
            "percent": round(100 * jobs / highest),
        }
        for code, jobs in sorted(jobs_by_reason.items(), key=lambda item: -item[1])[:MAX_REASONS]
    ]


def _image(image: JobImage) -> dict[str, Any]:
    return {
        "src": formatting.image_url(image, width=320),
        "alt": f"{formatting.alt(image)}: {image.job.prompt[:120]}",
        "title": image.job.prompt[:200],
        "job_id": image.job_id,
        "blur": image.blurred or image.job.spoiler,
    }


def _workers(*, now: datetime) -> dict[str, Any]:
    rows = Worker.objects.filter(seen_at__gt=now - timedelta(hours=1)).order_by("-seen_at")[:MAX_WORKERS]
    workers = [_worker(row, now=now) for row in rows]
    return {"workers": workers, "alive": sum(worker["dot"] == "good" for worker in workers)}


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


def chosen_range(request: HttpRequest) -> str:
    """Return the range in the address, or the default where it is missing or not allowed."""
    name = request.GET.get("range", "")
    return name if name in allowed_ranges(access.of(request)) else DEFAULT_RANGE


def allowed_ranges(viewer: access.Access) -> Sequence[str]:
    # The rollups of one server have one row per day.
    return list(RANGES) if viewer.sees_all_guilds else list(RANGES)[1:]


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard to the context of the index page. Unfold calls this (DASHBOARD_CALLBACK)."""
    chosen = chosen_range(request)
    viewer = access.of(request)
    address = reverse("admin:dashboard")
    return context | {
        **build_context(viewer, chosen, now=timezone.now()),
        "title": "Dashboard",
        "ranges": [
            {"name": RANGES[key], "address": f"?{urlencode({'range': key})}", "current": key == chosen}
            for key in allowed_ranges(viewer)
        ],
        "refresh_address": f"{address}?{urlencode({'range': chosen})}",
    }


def part(request: HttpRequest) -> HttpResponse:
    """Return the dashboard's body alone. sparkle/dashboard.js fetches it to refresh the page."""
    context = build_context(access.of(request), chosen_range(request), now=timezone.now())
    response = render(request, "admin/dashboard/body.html", context)
    response.headers["Cache-Control"] = "no-store"
    return response
