"""What moderators can do to requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from unfold.enums import ActionVariant

from guilds.models import Platform
from guilds.policy import Refusal
from jobs import moderation
from jobs.job_status import ENDED, OPEN, Status
from jobs.models import Job, JobImage
from jobs.submission import Accepted

from . import csv_export, formatting
from .action_framework import Confirmation, ListAction, Result, RowAction, actor_name

MAX_RETRIES = 200
MAX_ROWS = 1000

CSV_COLUMNS: dict[str, Callable[[Job], Any]] = {
    "id": lambda job: job.pk,
    "server": lambda job: job.guild_id,
    "server name": lambda job: job.guild.name,
    "member": lambda job: job.user_id,
    "member name": lambda job: job.member_name,
    "requested": lambda job: job.created_at.isoformat(),
    "ended": lambda job: job.ended_at.isoformat() if job.ended_at else "",
    "status": lambda job: job.status,
    "reason": lambda job: job.reason,
    "kind": lambda job: job.kind,
    "prompt": lambda job: job.prompt,
    "negative prompt": lambda job: job.negative_prompt,
    "style": lambda job: job.style,
    "model": lambda job: job.model.slug,
    "seed": lambda job: job.seed,
    "steps": lambda job: job.steps,
    "sampler": lambda job: job.sampler,
    "size": lambda job: f"{job.width}x{job.height}",
    "guidance": lambda job: job.guidance,
    "images": lambda job: job.count,
    "gpu seconds": lambda job: job.gpu_ms / 1000,
}


def export_csv(rows: QuerySet[Job]) -> HttpResponseBase:
    """Return the rows as a CSV file."""
    return csv_export.csv_response("requests", CSV_COLUMNS, rows.select_related("guild", "model").iterator(2000))


def _retry(request: HttpRequest, job: Job, form: Any) -> Result:
    outcome = moderation.retry(job.pk, by=actor_name(request), now=timezone.now())
    if isinstance(outcome, Refusal):
        text = f"Refused: {formatting.reason(outcome.code)}. {formatting.remedy(outcome.code)}"
        return Result(text=text, level=messages.ERROR)
    if outcome is None:
        return Result(text="It hasn't ended yet, or its prompt was erased.", level=messages.WARNING)
    return Result(
        text=f"Retried as request #{outcome.job.pk}.", address=reverse("admin:jobs_job_change", args=[outcome.job.pk])
    )


def _cancel(request: HttpRequest, job: Job, form: Any) -> Result:
    if moderation.cancel(job.pk, by=actor_name(request), now=timezone.now()):
        return Result(text="The request is cancelled. If it is running, its worker stops at the next step.")
    return Result(text="It had already ended.", level=messages.WARNING)


def _refund(request: HttpRequest, job: Job, form: Any) -> Result:
    if moderation.refund(job.pk, by=actor_name(request), now=timezone.now()):
        return Result(text="The quota was refunded.")
    return Result(text="There was nothing to refund.", level=messages.WARNING)


def _delete_images(request: HttpRequest, job: Job, form: Any) -> Result:
    deleted = moderation.delete_everywhere(job.pk, by=actor_name(request), now=timezone.now())
    if deleted is None:
        return Result(text="It is still running.", level=messages.WARNING)
    images = formatting.counted(deleted.images, "image")
    if deleted.message_gone:
        return Result(text=f"Deleted {images} and the message.")
    text = f"Deleted {images}. The message on Discord could not be deleted: delete it there."
    return Result(text=text, level=messages.WARNING)


ON_ROW = (
    RowAction(
        name="retry_one",
        label="Retry",
        icon="replay",
        url_path="retry",
        permission="retry",
        confirmation=Confirmation(
            title="Retry this request?",
            text="Creates a new request with the same prompt and seed for the same member. It counts towards their "
            "quota, and the result is a new message in the channel.",
            button="Retry",
        ),
        run=_retry,
        applies_to=lambda job: job.status in ENDED and bool(job.prompt),
        variant=ActionVariant.PRIMARY,
    ),
    RowAction(
        name="cancel_one",
        label="Cancel",
        icon="cancel",
        url_path="cancel",
        permission="cancel",
        confirmation=Confirmation(
            title="Cancel this request?",
            text="The member is notified and their quota is refunded.",
            button="Cancel the request",
        ),
        run=_cancel,
        applies_to=lambda job: job.status in OPEN,
        variant=ActionVariant.WARNING,
    ),
    RowAction(
        name="refund_one",
        label="Refund",
        icon="undo",
        url_path="refund",
        permission="refund",
        confirmation=Confirmation(
            title="Refund this request?", text="The member can use this quota again.", button="Refund"
        ),
        run=_refund,
        applies_to=lambda job: job.status == Status.COMPLETED and job.refunded_at is None,
    ),
    RowAction(
        name="delete_images",
        label="Delete images",
        icon="delete",
        url_path="erase",
        permission="erase",
        confirmation=Confirmation(
            title="Delete these images everywhere?",
            text="Deletes them from storage and the gallery, and the message from Discord. This cannot be undone.",
            button="Delete everywhere",
        ),
        run=_delete_images,
        applies_to=lambda job: job.status in ENDED and bool(job.grid_key),
        variant=ActionVariant.DANGER,
    ),
)


def _retry_all(request: HttpRequest, rows: QuerySet[Job]) -> Result | HttpResponseBase:
    """Ask first, naming the cost; then retry. What the rules refused stays refused."""
    chosen = rows.filter(status__in=ENDED).exclude(status=Status.REFUSED).exclude(prompt="")
    ids = list(chosen.values_list("pk", flat=True)[:MAX_RETRIES])
    skipped = rows.count() - len(ids)
    if not ids:
        return Result(
            text="None of them can be retried: they run, were refused or were erased.", level=messages.WARNING
        )
    if request.POST.get("sure") != "yes":
        return _ask_to_retry(request, ids, skipped=skipped)
    by, now = actor_name(request), timezone.now()
    outcomes = [moderation.retry(pk, by=by, now=now) for pk in ids]
    retried = sum(isinstance(outcome, Accepted) for outcome in outcomes)
    text = f"Retried {retried} of {formatting.counted(len(ids), 'request')}."
    if retried < len(ids):
        text += " The others are refused now: see them in the list for the reason."
    return Result(text=text, level=messages.INFO)


def _ask_to_retry(request: HttpRequest, ids: list[int], *, skipped: int) -> HttpResponseBase:
    """Return the page that says what retrying costs."""
    cost = Job.objects.filter(pk__in=ids).aggregate(images=Sum("count"), gpu_ms=Sum("reserved_gpu_ms"))
    platform = Platform.objects.first() or Platform()
    context = {
        **admin.site.each_context(request),
        "title": f"Retry {formatting.counted(len(ids), 'request')}?",
        "opts": Job._meta,
        "ids": ids,
        "images": formatting.counted(cost["images"] or 0, "image"),
        "seconds": formatting.seconds((cost["gpu_ms"] or 0) / 1000),
        "cost": formatting.money(cost["gpu_ms"] or 0, platform.price_per_gpu_hour),
        "skipped": formatting.counted(skipped, "request") if skipped else "",
    }
    return render(request, "admin/jobs/job/retry.html", context)


def _cancel_all(request: HttpRequest, rows: QuerySet[Job]) -> Result:
    by, now = actor_name(request), timezone.now()
    ids = list(rows.filter(status__in=OPEN).values_list("pk", flat=True)[:MAX_ROWS])
    cancelled = sum(moderation.cancel(pk, by=by, now=now) for pk in ids)
    return Result(text=f"Cancelled {formatting.counted(cancelled, 'request')}.", level=messages.INFO)


def _refund_all(request: HttpRequest, rows: QuerySet[Job]) -> Result:
    by, now = actor_name(request), timezone.now()
    ids = list(rows.filter(status=Status.COMPLETED).values_list("pk", flat=True)[:MAX_ROWS])
    refunded = sum(moderation.refund(pk, by=by, now=now) for pk in ids)
    return Result(text=f"Refunded {formatting.counted(refunded, 'request')}.", level=messages.INFO)


def _hide_all(request: HttpRequest, rows: QuerySet[Job]) -> Result:
    ids = list(JobImage.objects.filter(job__in=rows[:MAX_ROWS].values("pk")).values_list("pk", flat=True))
    hidden = moderation.hide(ids, by=actor_name(request), now=timezone.now())
    return Result(text=f"Hid {formatting.counted(hidden, 'image')}.", level=messages.INFO)


ON_LIST = (
    ListAction(name="retry_all", label="Retry", permission="retry", run=_retry_all),
    ListAction(name="cancel_all", label="Cancel", permission="cancel", run=_cancel_all),
    ListAction(name="refund_all", label="Refund", permission="refund", run=_refund_all),
    ListAction(name="hide_all", label="Hide the images", permission="cancel", run=_hide_all),
    ListAction(
        name="export_chosen", label="Export as CSV", permission="view", run=lambda request, rows: export_csv(rows)
    ),
)
