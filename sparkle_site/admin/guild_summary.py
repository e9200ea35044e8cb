"""What a server's page shows above its settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import reverse

from guilds.models import Guild, Platform, Usage
from guilds.quota import load_clock
from guilds.quota_clock import current_month_starts
from jobs.job_status import OPEN
from jobs.models import Job, JobImage

from . import formatting, initials, member_names, statistics


def with_month(rows: QuerySet[Guild], *, now: datetime) -> QuerySet[Guild]:
    """Add this month's number of images to each server."""
    # A server's month starts and ends in its own time zone.
    starts = current_month_starts(now)
    month = Usage.objects.filter(guild=OuterRef("pk"), subject_id=0, window="month", starts_at__in=starts)
    return rows.annotate(month_images=Subquery(month.order_by("-starts_at").values("images")[:1]))


# The name is the one in the member's newest request.
_MEMBERS = """
SELECT month.id, month.subject_id, named.member_name, month.images, month.gpu_ms, day.id, day.images,
       day.granted_images
FROM guilds_usage month
LEFT JOIN guilds_usage day ON day.guild_id = month.guild_id AND day.subject_id = month.subject_id
  AND day."window" = 'day' AND day.starts_at = %(day)s
LEFT JOIN LATERAL (SELECT member_name FROM jobs_job j WHERE j.guild_id = month.guild_id
  AND j.user_id = month.subject_id ORDER BY j.id DESC LIMIT 1) named ON true
WHERE month.guild_id = %(guild)s AND month."window" = 'month' AND month.starts_at = %(month)s AND month.subject_id > 0
ORDER BY month.images DESC LIMIT 10
"""


def members(guild: Guild, *, now: datetime) -> list[dict[str, Any]]:
    """Return the ten members with the most images this month."""
    price = Platform.objects.values_list("price_per_gpu_hour", flat=True).first() or Platform().price_per_gpu_hour
    windows = load_clock(guild, now).windows(now)
    with connection.cursor() as cursor:
        cursor.execute(_MEMBERS, {"guild": guild.pk, "day": windows["day"].start, "month": windows["month"].start})
        rows = cursor.fetchall()
    highest = max((row[3] for row in rows), default=0)
    return [
        {
            "user_id": user_id,
            "name": name or member_names.UNKNOWN,
            "month": formatting.count(images),
            "today": formatting.count(today or 0),
            "granted": granted or 0,
            "cost": formatting.money(gpu_ms, price),
            "percent": round(100 * images / highest) if highest else 0,
            "day_usage": day_id,
        }
        for _, user_id, name, images, gpu_ms, day_id, today, granted in rows
    ]


def build_context(guild: Guild, *, now: datetime) -> dict[str, Any]:
    """Return the template's variables for one server."""
    only = frozenset({guild.pk})
    requests = reverse("admin:jobs_job_changelist")
    price = Platform.objects.values_list("price_per_gpu_hour", flat=True).first() or Platform().price_per_gpu_hour
    busiest = statistics.busiest_guilds(only, now=now, price=price)
    times = statistics.latencies(only, since=now)
    open_jobs = Job.objects.filter(guild=guild, status__in=OPEN).count()
    reported = JobImage.objects.filter(job__guild=guild, reported_at__isnull=False).count()
    return {
        "guild": guild,
        "icon": initials.icon(guild.pk, guild.name, large=True),
        "quota_usage": statistics.quota_usage(only, now=now),
        "month": busiest[0] if busiest else None,
        "members": members(guild, now=now),
        "open_jobs": open_jobs,
        "reported": reported,
        "wait": [formatting.seconds(value) for value in times["wait"]],
        "requests_address": f"{requests}?guild__id__exact={guild.pk}",
        "images": [
            {
                "src": formatting.image_url(image, width=320),
                "alt": formatting.alt(image),
                "job_id": image.job_id,
                "blur": image.blurred or image.job.spoiler,
                "title": image.job.prompt[:200],
            }
            for image in statistics.newest_images(only)[:8]
        ],
    }
