"""How values look in the admin: times, statuses, durations, money, members. HTML where it must be, always escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.lifecycle import Status
from jobs.models import Job, JobImage

STATUS_COLOURS = {
    Status.WAITING: "warning",
    Status.QUEUED: "info",
    Status.RUNNING: "primary",
    Status.COMPLETED: "success",
    Status.FAILED: "danger",
    Status.CANCELLED: "default",
    Status.EXPIRED: "warning",
    Status.REFUSED: "default",
}
# What to do about it, for a moderator. Members read their own words in discord_api/locales.
REASONS = {
    "banned": ("Banned", "Lift the ban on the server's page if it was a mistake."),
    "budget_spent": ("Budget spent", "Raise the server's monthly budget, or wait for the next month."),
    "cancelled_by_member": ("Cancelled by the member", "Nothing to do."),
    "cancelled_by_moderator": ("Cancelled by a moderator", "Nothing to do."),
    "cannot_post_here": ("Bot may not post there", "Give the bot View Channel, Send Messages and Attach Files there."),
    "channel_not_allowed": ("Channel not allowed", "Add the channel to the server's allowed channels."),
    "discord_unavailable": ("Discord was away", "Retry it: the pictures may already be in storage."),
    "erased": ("Erased", "The member's data was erased on request."),
    "guild_disabled": ("Server switched off", "Enable the server again."),
    "line_full": ("Line full", "Raise the server's limit of waiting requests or wait."),
    "maintenance": ("Maintenance", "Requests come back when maintenance ends."),
    "model_failed": ("The model failed", "Retry; if it fails again, look at the worker's log."),
    "nsfw_not_allowed": ("Adult words", "The server's NSFW rule decides where these may stand."),
    "out_of_memory": ("Out of GPU memory", "Retry at a smaller size or with fewer pictures."),
    "output_blocked": ("Picture held back", "The output check found something. Look before releasing it."),
    "parameter_out_of_range": ("Parameter out of range", "The member was told the range."),
    "picture_gone": ("Source picture gone", "It was deleted or hidden; nothing can be made from it."),
    "quota_exceeded": ("Quota exceeded", "Grant more for this window, or wait for its reset."),
    "role_required": ("Role required", "Give the member one of the allowed roles."),
    "storage_unavailable": ("Storage was away", "Retry it."),
    "term_blocked": ("Blocked term", "The blocked terms' page shows which, and how often."),
    "too_many_waiting": ("Too many waiting", "The member has to let some requests finish first."),
    "waited_too_long": ("Waited too long", "Check that workers are running, then retry."),
    "worker_lost": ("Worker lost", "Its worker died or lost its connection. Retry it."),
}


def reason(code: str) -> str:
    """A reason's name in words."""
    return REASONS[code][0] if code in REASONS else code.replace("_", " ").capitalize()


def remedy(code: str) -> str:
    """What to do about a reason."""
    return REASONS[code][1] if code in REASONS else ""


def when(at: datetime | None, *, empty: str = "–") -> str | SafeString:
    """A time for the browser to put into the viewer's own zone; UTC is in the title (see sparkle/times.js)."""
    if at is None:
        return empty
    at = at.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC" data-local class="whitespace-nowrap">{}</time>',
        at.isoformat(timespec="seconds"),
        at.strftime("%Y-%m-%d %H:%M:%S"),
        at.strftime("%d %b %H:%M"),
    )


def seconds(value: float | None) -> str:
    """A duration, no finer than it matters: 0.8 s, 12 s, 3 min, 2.5 h."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.1f} s"
    if value < 90:
        return f"{value:.0f} s"
    if value < 90 * 60:
        return f"{value / 60:.0f} min"
    if value < 48 * 3600:
        return f"{value / 3600:.1f} h"
    return f"{value / 86400:.0f} days"


def between(start: datetime | None, end: datetime | None) -> str:
    return seconds((end - start).total_seconds()) if start and end else "–"


def money(gpu_ms: float, price_per_hour: Decimal) -> str:
    """US dollars of so much GPU time; cents, and finer below ten of them."""
    dollars = float(price_per_hour) * gpu_ms / 3_600_000
    return f"${dollars:,.2f}" if dollars >= 0.1 or dollars == 0 else f"${dollars:.4f}"


def count(value: float) -> str:
    return f"{value:,.0f}"


def counted(number: int, thing: str) -> str:
    """1 picture, 2 pictures."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def member(user_id: int, name: str = "") -> SafeString:
    """A member: the name where it is known, with the snowflake behind it."""
    if name:
        return format_html('<span title="{}">{}</span>', user_id, name)
    return format_html('<code class="text-xs">{}</code>', user_id)


def message_link(job: Job) -> str:
    """The address of the job's message on Discord, or ""."""
    if not job.message_id or job.delivered_via in (Job.Via.DM, Job.Via.GALLERY, "") or job.ephemeral:
        return ""
    return f"https://discord.com/channels/{job.guild_id}/{job.channel_id}/{job.message_id}"


def picture(image: JobImage, *, width: int = 0) -> str:
    """The address under which the admin shows a picture, at most `width` pixels wide."""
    address = reverse("admin:picture", args=[image.pk])
    return f"{address}?w={width}" if width else address


def alt(image: JobImage) -> str:
    """What a picture shows, in words: its prompt is the best that is known."""
    return f"Picture {image.index + 1} of request {image.job_id}"


def named(name: str, slug: str, preview: str, kind: str, pk: int) -> SafeString:
    """A name with its slug below, and its preview picture before it where there is one."""
    display_image = (
        format_html(
            '<span class="sp-thumb"><img src="{}" alt="" width="48" height="48" loading="lazy"></span>',
            reverse("admin:preview", args=[kind, pk]),
        )
        if preview
        else format_html("{}", "")
    )
    return format_html(
        '<span class="sp-guild">{}<span>{}<span class="sp-sub">{}</span></span></span>', display_image, name, slug
    )
