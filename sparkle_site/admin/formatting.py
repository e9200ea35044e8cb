"""Display formats of the admin: times, statuses, durations, money, members. HTML is always escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.job_status import Status
from jobs.models import Job, JobImage

from . import member_names

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
# By reason: its name, and what a moderator can do about it. Members read the texts in discord_api/locales.
REASONS = {
    "banned": ("Banned", "If it was a mistake, delete the ban."),
    "budget_spent": ("Budget used up", "Raise the server's monthly budget or wait until next month."),
    "cancelled_by_member": ("Cancelled by the member", "No action needed."),
    "cancelled_by_moderator": ("Cancelled by a moderator", "No action needed."),
    "cannot_post_here": (
        "Bot can't post in the channel",
        "Give the bot View Channel, Send Messages and Attach Files in that channel.",
    ),
    "channel_unknown": ("Channel unknown", "Discord did not describe the channel. Retry."),
    "channel_not_allowed": ("Channel not allowed", "Add the channel to the server's allowed channels."),
    "cooldown": ("Cool-down", "The member has to wait, or shorten the server's cool-down."),
    "feature_off": ("Switched off", "Switch it on in the server's settings, under Members can use."),
    "discord_unavailable": ("Discord unavailable", "Retry. The images may already be stored."),
    "erased": ("Erased", "The member's data was erased on request."),
    "guild_disabled": ("Server paused", "Resume the server."),
    "queue_full": ("Queue full", "Raise the server's queue limit or wait."),
    "maintenance": ("Maintenance", "Members can try again when maintenance ends."),
    "engine_failed": ("Generation failed", "Retry. If it fails again, check the worker's log."),
    "failed": ("Failed", "Retry. If it fails again, check the worker's log."),
    "model_unavailable": ("Model not loaded", "Check that the model's path or repository exists, then retry."),
    "nsfw_not_allowed": ("Adult prompt", "The server's setting for adult prompts decides where they are allowed."),
    "out_of_memory": ("Out of GPU memory", "Retry with a smaller size or fewer images."),
    "output_blocked": ("Blocked by image check", "The image check rejected it."),
    "output_unchecked": ("Image check failed", "Check the worker's log, then retry."),
    "text_too_long": ("Prompt too long", "The member was shown the limit."),
    "parameter_out_of_range": ("Parameter out of range", "The member was shown the allowed values."),
    "image_gone": ("Source image missing", "It was deleted or hidden."),
    "quota_exceeded": ("Quota exceeded", "Grant more for this window or wait until it resets."),
    "role_required": ("Role required", "Give the member one of the allowed roles."),
    "storage_unavailable": ("Storage unavailable", "Retry."),
    "term_blocked": ("Blocked term", "See Blocked terms for the term and how often it matched."),
    "too_many_waiting": ("Too many waiting requests", "The member has to wait until some of them finish."),
    "waited_too_long": ("Expired in the queue", "Check that workers are running, then retry."),
    "worker_lost": ("Worker lost", "The worker stopped or lost its connection. Retry."),
}


def reason(code: str) -> str:
    """Return the name of a reason."""
    return REASONS[code][0] if code in REASONS else code.replace("_", " ").capitalize()


def remedy(code: str) -> str:
    """Return what a moderator can do about a reason, or ""."""
    return REASONS[code][1] if code in REASONS else ""


def when(at: datetime | None, *, empty: str = "–") -> str | SafeString:
    """Return a `<time>` that sparkle/times.js converts to the viewer's time zone; its title is in UTC."""
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
    """Return a duration in a suitable unit: 0.8 s, 12 s, 3 min, 2.5 h."""
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
    """Return the cost of GPU time in US dollars, with four decimals below 10 cents."""
    dollars = float(price_per_hour) * gpu_ms / 3_600_000
    return f"${dollars:,.2f}" if dollars >= 0.1 or dollars == 0 else f"${dollars:.4f}"


def count(value: float) -> str:
    return f"{value:,.0f}"


def counted(number: int, noun: str) -> str:
    """Return for example "1 image" or "2 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def member_address(guild_id: int, user_id: int) -> str:
    """Return the address of a member's page in a server."""
    return reverse("admin:member", args=[guild_id, user_id])


def member(user_id: int, name: str = "", *, guild_id: int | None = None) -> SafeString:
    """Return a member's name, linked to their page in the server if `guild_id` is given; it says if it is unknown."""
    shown = name or member_names.UNKNOWN
    if guild_id is not None:
        return format_html('<a class="sp-link" href="{}">{}</a>', member_address(guild_id, user_id), shown)
    return format_html("<span{}>{}</span>", "" if name else SafeString(' class="sp-faint"'), shown)


def message_link(job: Job) -> str:
    """Return the URL of the job's message on Discord, or ""."""
    if not job.message_id or job.delivered_via in (Job.Via.DM, Job.Via.GALLERY, "") or job.ephemeral:
        return ""
    return f"https://discord.com/channels/{job.guild_id}/{job.channel_id}/{job.message_id}"


def image_url(image: JobImage, *, width: int = 0) -> str:
    """Return the URL of an image in the admin, at most `width` pixels wide (0: the original)."""
    address = reverse("admin:image", args=[image.pk])
    return f"{address}?w={width}" if width else address


def alt(image: JobImage) -> str:
    """Return the start of an image's alternative text. Templates add the prompt."""
    return f"Image {image.index + 1} of request {image.job_id}"


def name_with_preview(name: str, slug: str, preview: str, kind: str, pk: int) -> SafeString:
    """Return a name with its slug below it and its preview image, if there is one."""
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
