"""`/metrics`: the platform's figures in Prometheus' text format, for those who do not use CloudWatch.

All figures are read from the database at each scrape, so every web process answers with the same ones.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, Q, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from jobs import rollups
from jobs.api_models import ApiRequest
from jobs.job_status import OPEN, Status
from jobs.models import Job, JobRollup, Worker
from sparkle_site.admin import statistics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SILENT_AFTER = timedelta(seconds=60)
MAX_ROLLUP_AGE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric family: its samples are pairs of labels and a value."""

    name: str
    kind: str
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def text(metrics: Iterable[Metric]) -> str:
    """Return the metrics in Prometheus' text format. Pure."""
    lines = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
        for labels, value in metric.samples:
            named = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels.items())
            lines.append(f"{metric.name}{{{named}}} {value:.15g}" if named else f"{metric.name} {value:.15g}")
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def collect(*, now: datetime) -> tuple[Metric, ...]:
    """Read the figures. The counters start at zero in each UTC month, as Prometheus allows."""
    rollups.refresh_rollups(now=now, older_than=MAX_ROLLUP_AGE)
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (*_queue(now=now), *_ended(since=month), *_workers(now=now), *_latencies(now=now), _webhooks(now=now))


def _queue(*, now: datetime) -> tuple[Metric, ...]:
    rows = dict(Job.objects.filter(status__in=OPEN).values_list("status").annotate(Count("pk")))
    oldest = Job.objects.filter(status__in=(Status.WAITING, Status.QUEUED)).aggregate(at=Min("created_at"))["at"]
    waited = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    return (
        Metric(
            name="sparkle_open_requests",
            kind="gauge",
            help="Requests that have not ended.",
            samples=tuple(({"status": str(status)}, rows.get(str(status), 0)) for status in OPEN),
        ),
        Metric(
            name="sparkle_oldest_wait_seconds",
            kind="gauge",
            help="How long the oldest request that has not started has waited.",
            samples=(({}, waited),),
        ),
    )


def _ended(*, since: datetime) -> tuple[Metric, ...]:
    month = JobRollup.objects.filter(guild=None, starts_at__gte=since)
    rows = month.values("status", "reason").annotate(total=Sum("jobs")).order_by("status", "reason")
    sums = month.aggregate(images=Sum("images"), gpu_ms=Sum("gpu_ms"))
    return (
        Metric(
            name="sparkle_requests_total",
            kind="counter",
            help="Requests that ended, by status and reason.",
            samples=tuple(({"status": row["status"], "reason": row["reason"]}, row["total"]) for row in rows),
        ),
        Metric(
            name="sparkle_images_total",
            kind="counter",
            help="Images that were made.",
            samples=(({}, sums["images"] or 0),),
        ),
        Metric(
            name="sparkle_gpu_seconds_total",
            kind="counter",
            help="GPU time that was used.",
            samples=(({}, (sums["gpu_ms"] or 0) / 1000),),
        ),
    )


def _workers(*, now: datetime) -> tuple[Metric, ...]:
    alive = Worker.objects.filter(seen_at__gt=now - SILENT_AFTER)
    states = dict(alive.values_list("state").annotate(Count("pk")))
    return (
        Metric(
            name="sparkle_workers",
            kind="gauge",
            help="Workers that reported within the last minute.",
            samples=tuple(({"state": state}, states.get(state, 0)) for state in Worker.State.values),
        ),
    )


def _latencies(*, now: datetime) -> tuple[Metric, ...]:
    by_kind = statistics.latencies(None, since=now - timedelta(hours=1))
    samples = [
        ({"until": kind, "quantile": quantile}, value)
        for kind, values in by_kind.items()
        for quantile, value in zip(("0.5", "0.95"), values, strict=True)
        if value is not None
    ]
    return (
        Metric(
            name="sparkle_latency_seconds",
            kind="gauge",
            help="Quantiles of the last hour: until a request started (wait) and until its images were there (total).",
            samples=tuple(samples),
        ),
    )


def _webhooks(*, now: datetime) -> Metric:
    due = ApiRequest.objects.filter(webhook_after__lte=now).filter(~Q(job__status__in=OPEN)).count()
    return Metric(
        name="sparkle_webhooks_due", kind="gauge", help="Webhooks that upkeep has yet to call.", samples=(({}, due),)
    )


@require_safe
def serve(request: HttpRequest) -> HttpResponse:
    """Return the metrics to a caller with METRICS_TOKEN as bearer token. 404 otherwise, and without a token."""
    token = settings.METRICS_TOKEN
    sent = request.headers.get("Authorization", "").encode()
    if not token or not hmac.compare_digest(sent, f"Bearer {token}".encode()):
        raise Http404
    return HttpResponse(text(collect(now=timezone.now())), content_type=CONTENT_TYPE)
