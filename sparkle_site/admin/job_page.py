"""What a request's page shows: its parameters, its outcome, its images and its timeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from guilds.models import Platform
from jobs.job_status import Status
from jobs.models import Job, JobEvent

from . import actor_names, formatting
from .access import Access

MAX_EVENTS = 200
# By kind of event (jobs.models.JobEvent): its title and its icon.
EVENTS = {
    "waiting": ("Requested", "add_circle"),
    "queued": ("Queued", "schedule"),
    "running": ("Started by a worker", "play_circle"),
    "made": ("Images stored", "image"),
    "completed": ("Delivered", "check_circle"),
    "failed": ("Failed", "error"),
    "cancelled": ("Cancelled", "cancel"),
    "cancel_requested": ("Stop requested", "pan_tool"),
    "cancelled_by": ("Cancelled in the admin", "cancel"),
    "expired": ("Expired", "timer_off"),
    "refused": ("Refused", "block"),
    "retried": ("Retried", "replay"),
    "refunded": ("Refunded", "undo"),
    "hidden": ("Image hidden", "visibility_off"),
    "shown": ("Image shown again", "visibility"),
    "blurred": ("Image blurred", "blur_on"),
    "unblurred": ("Blur removed", "blur_off"),
    "reported": ("Reported", "flag"),
    "report_dismissed": ("Report dismissed", "flag"),
    "deleted": ("Images deleted", "delete"),
    "removed": ("Images removed", "delete"),
}
_DETAIL_NAMES = {"gpu_ms": "GPU ms", "as_job": "as request", "delivered_via": "via"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A line of a job's timeline. `after` is the time since the line before."""

    title: str
    icon: str
    at: datetime
    after: str
    detail: str


def timeline(events: list[JobEvent], *, viewer: Access) -> Iterator[Step]:
    """Yield a job's events as lines that `viewer` may read, oldest first."""
    previous: datetime | None = None
    for event in events:
        title, icon = EVENTS.get(event.kind, (event.kind.replace("_", " ").capitalize(), "circle"))
        if event.kind == Status.QUEUED and event.old_status == Status.RUNNING:
            title, icon = "Queued again", "replay"
        yield Step(
            title=title,
            icon=icon,
            at=event.at,
            after=f"+{formatting.between(previous, event.at)}" if previous else "",
            detail=_detail(event, viewer=viewer),
        )
        previous = event.at


def _detail(event: JobEvent, *, viewer: Access) -> str:
    return ", ".join(
        f"{_DETAIL_NAMES.get(key, key.replace('_', ' '))} "
        f"{actor_names.display_stored_name(viewer, value) if key == 'by' else value}"
        for key, value in event.detail.items()
        if value not in (None, "")
    )


def build_context(job: Job, *, viewer: Access) -> dict[str, Any]:
    """Return the template's variables."""
    price = Platform.objects.values_list("price_per_gpu_hour", flat=True).first() or Platform().price_per_gpu_hour
    return {
        "job": job,
        "status_colour": formatting.STATUS_COLOURS[Status(job.status)],
        "images": [
            {
                "image": image,
                "alt": formatting.alt(image),
                "src": formatting.image_url(image, width=768),
                "original": formatting.image_url(image),
                "blur": image.blurred or job.spoiler,
            }
            for image in job.images.all()
        ],
        "parameters": _parameters(job),
        "outcome": _outcome(job, price),
        "steps": list(timeline(list(job.events.all()[:MAX_EVENTS]), viewer=viewer)),
        "member": formatting.member(job.user_id, job.member_name, guild_id=job.guild_id),
        "requested_at": formatting.when(job.created_at),
        "reason": formatting.reason(job.reason) if job.reason else "",
        "remedy": formatting.remedy(job.reason),
        "message_link": formatting.message_link(job),
        "percent": round(100 * job.progress_step / job.progress_total) if job.progress_total else 0,
    }


def _parameters(job: Job) -> list[tuple[str, Any]]:
    if not job.steps:
        # A refused request has no parameters: its row holds zeros.
        return []
    parameters = [
        ("Model", job.model.name),
        ("Size", f"{job.width} × {job.height}"),
        ("Images", job.count),
        ("Steps", job.steps),
        ("Sampler", job.sampler),
        ("Guidance", f"{job.guidance:g}"),
        ("Seed", job.seed if job.count == 1 else f"{job.seed} … {job.seeds[-1]}"),
        ("Style", job.style),
        ("LoRAs", job.loras),
        ("Strength", f"{job.strength:g}" if job.strength is not None else ""),
        ("Kind", job.get_kind_display()),
    ]
    return [(name, value) for name, value in parameters if value not in ("", None)]


def _outcome(job: Job, price: Decimal) -> list[tuple[str, Any]]:
    return [
        ("Wait", formatting.between(job.created_at, job.started_at)),
        ("Total time", formatting.between(job.created_at, job.ended_at)),
        ("GPU time", formatting.seconds(job.gpu_ms / 1000) if job.gpu_ms else "–"),
        ("Cost", formatting.money(job.gpu_ms, price) if job.gpu_ms else "–"),
        ("Attempts", job.attempts),
        ("Worker", job.worker_id or "–"),
        ("Delivered", job.get_delivered_via_display() or "–"),
        ("Quota", "Refunded" if job.refunded_at else ("Settled" if job.settled_at else "Reserved")),
    ]
