"""Requests and their pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.postgres.search import SearchQuery, SearchVector
from django.core.paginator import Paginator
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesCheckboxFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from discord_api import snowflakes
from guilds.models import Platform
from guilds.policy import Refusal
from jobs import moderation
from jobs.lifecycle import ENDED, OPEN, Status
from jobs.models import Job, JobEvent, JobImage

from . import access, actor_names, csv_export, dialogs, formatting
from .access import Access
from .filters import CreatedAtFilter, GuildFilter, MemberFilter, ModelFilter, ModerationStateFilter, ReasonFilter
from .pagination import BoundedPaginator, FoundPaginator
from .scoped_admin import ScopedAdmin

EVENTS = {
    "waiting": ("Asked", "add_circle"),
    "queued": ("Next in line", "schedule"),
    "running": ("A worker took it", "play_circle"),
    "made": ("Pictures are in storage", "image"),
    "completed": ("Delivered", "check_circle"),
    "failed": ("Failed", "error"),
    "cancelled": ("Cancelled", "cancel"),
    "cancel_requested": ("Asked to stop", "pan_tool"),
    "cancelled_by": ("Cancelled in the admin", "cancel"),
    "expired": ("Expired", "timer_off"),
    "refused": ("Refused", "block"),
    "retried": ("Asked again", "replay"),
    "refunded": ("Refunded", "undo"),
    "hidden": ("Picture hidden", "visibility_off"),
    "shown": ("Picture shown again", "visibility"),
    "blurred": ("Picture blurred", "blur_on"),
    "unblurred": ("Picture no longer blurred", "blur_off"),
    "reported": ("Reported", "flag"),
    "report_dismissed": ("Report dismissed", "flag"),
    "deleted": ("Pictures deleted", "delete"),
}
COLUMNS: dict[str, Callable[[Job], Any]] = {
    "id": lambda job: job.pk,
    "server": lambda job: job.guild_id,
    "server name": lambda job: job.guild.name,
    "member": lambda job: job.user_id,
    "member name": lambda job: job.member_name,
    "asked": lambda job: job.created_at.isoformat(),
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
    "pictures": lambda job: job.count,
    "gpu seconds": lambda job: job.gpu_ms / 1000,
}

NO_PICTURE = SafeString(
    '<span class="sp-thumb sp-thumb--none" role="img" aria-label="No picture">'
    '<span class="material-symbols-outlined" aria-hidden="true">image</span></span>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A line of a job's timeline."""

    title: str
    icon: str
    at: datetime
    after: str
    detail: str


def timeline(events: list[JobEvent], *, viewer: Access) -> Iterator[Step]:
    """A job's events in words as `viewer` may read them, each with the time since the one before."""
    before: datetime | None = None
    for event in events:
        title, icon = EVENTS.get(event.kind, (event.kind.replace("_", " ").capitalize(), "circle"))
        if event.kind == Status.QUEUED and event.old_status == Status.RUNNING:
            title, icon = "Back in line", "replay"
        yield Step(
            title=title,
            icon=icon,
            at=event.at,
            after=f"+{formatting.between(before, event.at)}" if before else "",
            detail=", ".join(
                f"{_words(key)} {actor_names.display_stored_name(viewer, value) if key == 'by' else value}"
                for key, value in event.detail.items()
                if value not in (None, "")
            ),
        )
        before = event.at


def _words(key: str) -> str:
    return {"gpu_ms": "GPU ms", "as_job": "as request", "delivered_via": "via"}.get(key, key.replace("_", " "))


class JobActionsMixin(ScopedAdmin):
    """What may be done to one request, by its state."""

    def _job(self, request: HttpRequest, object_id: Any) -> Job | None:
        return self.get_or_404(request, object_id) if object_id is not None else None

    def _may_while(self, request: HttpRequest, object_id: Any, fits: Callable[[Job], bool]) -> bool:
        if not self.may_act(request, object_id):
            return False
        job = self._job(request, object_id)
        return job is None or fits(job)

    def has_cancel_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_while(request, object_id, lambda job: job.status in OPEN)

    def has_retry_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_while(request, object_id, lambda job: job.status in ENDED and bool(job.prompt))

    def has_refund_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_while(
            request, object_id, lambda job: job.status == Status.COMPLETED and job.refunded_at is None
        )

    def has_erase_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_while(request, object_id, lambda job: job.status in ENDED and bool(job.grid_key))


@admin.register(Job)
class JobAdmin(JobActionsMixin):
    operators_may = frozenset({"view"})
    list_display = [
        "display_image",
        "display_status",
        "display_prompt",
        "display_guild",
        "display_member",
        "display_model",
        "display_created",
        "display_took",
    ]
    list_display_links = ["display_image", "display_prompt"]
    list_select_related = ["guild", "model"]
    list_per_page = 50
    list_filter = [
        ("status", ChoicesCheckboxFilter),
        ("guild", GuildFilter),
        MemberFilter,
        ReasonFilter,
        ModelFilter,
        ("created_at", CreatedAtFilter),
    ]
    list_filter_submit = True
    search_fields = ["prompt"]
    search_help_text = "Words of the prompt, a member's name or ID, or a request's number"
    ordering = ["-id"]
    sortable_by = ()
    paginator = BoundedPaginator
    actions = ["retry_all", "cancel_all", "refund_all", "hide_all", "export_chosen"]
    actions_list = ["export_all"]
    actions_detail_hide_default = True
    actions_detail = ["retry_one", "cancel_one", "refund_one", "delete_pictures"]
    change_form_template = "admin/jobs/job/page.html"

    # The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        rows = super().get_queryset(request).select_related("guild", "model")
        if request.resolver_match and request.resolver_match.url_name == "jobs_job_changelist":
            rows = rows.defer("styled_prompt", "negative_prompt", "encrypted_token", "source_url", "detail")
            rows = rows.prefetch_related(Prefetch("images", JobImage.objects.filter(index=0), to_attr="first_images"))
        return rows

    def get_paginator(self, request: HttpRequest, *args: Any, **options: Any) -> Paginator[Job]:
        chosen = FoundPaginator if request.GET.get(SEARCH_VAR) else self.paginator
        return chosen(*args, **options)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        term = search_term.strip().lstrip("#")
        if not term:
            return queryset, False
        number = snowflakes.parse(term)
        if number is not None:
            # Snowflakes are longer than any number of a request.
            column = "user_id" if len(term) >= 15 else "pk"
            return queryset.filter(**{column: number}), False
        words = SearchVector("prompt", "member_name", config="simple")
        query = SearchQuery(term, config="simple", search_type="websearch")
        return queryset.alias(words=words).filter(words=query), False

    @display(description="")
    def display_image(self, job: Job) -> SafeString:
        images: list[JobImage] = getattr(job, "first_images", [])
        if not images:
            return NO_PICTURE
        image = images[0]
        return format_html(
            '<span class="sp-thumb{}"><img src="{}" alt="{}" width="48" height="48" loading="lazy">{}</span>',
            " sp-blur" if image.blurred or job.spoiler else "",
            formatting.picture(image, width=96),
            formatting.alt(image),
            format_html('<span class="sp-thumb__count">{}</span>', job.count) if job.count > 1 else "",
        )

    @display(
        description="Status",
        label={str(status.label): colour for status, colour in formatting.STATUS_COLOURS.items()},
    )
    def display_status(self, job: Job) -> str:
        return str(job.get_status_display())

    @display(description="Prompt")
    def display_prompt(self, job: Job) -> SafeString:
        text = job.prompt or "erased"
        why = formatting.reason(job.reason) if job.reason and job.status != Status.COMPLETED else ""
        return format_html(
            '<span class="sp-prompt"><span class="sp-prompt__text{}">{}</span><span class="sp-sub">#{}{}</span></span>',
            "" if job.prompt else " sp-faint",
            text[:140],
            job.pk,
            f" · {why}" if why else "",
        )

    @display(description="Server")
    def display_guild(self, job: Job) -> str:
        return str(job.guild)

    @display(description="Member")
    def display_member(self, job: Job) -> str:
        return formatting.member(job.user_id, job.member_name)

    @display(description="Model")
    def display_model(self, job: Job) -> SafeString:
        return format_html(
            '{}<span class="sp-sub">{} × {}</span>', job.model.name, job.count, f"{job.width}×{job.height}"
        )

    @display(description="Asked")
    def display_created(self, job: Job) -> str:
        return formatting.when(job.created_at)

    @display(description="Took")
    def display_took(self, job: Job) -> str:
        return formatting.between(job.created_at, job.ended_at) if job.started_at else "–"

    # The page

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Job | None = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None:
            context |= page_of(obj, viewer=access.of(request))
            context["title"] = f"Request #{obj.pk}"
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response

    # What can be done to one

    @action(
        description="Retry",
        icon="replay",
        url_path="retry",
        permissions=["retry"],
        variant=ActionVariant.PRIMARY,
        dialog=dialogs.dialog(
            "Ask for it again?",
            "A new request with the same words and seed, in the member's name. It counts against their quota, and the "
            "answer comes as a new message in the channel.",
            "Retry",
        ),
    )
    def retry_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        job = self.get_or_404(request, object_id)
        found = moderation.retry(job.pk, by=dialogs.name_of(request), now=timezone.now())
        if isinstance(found, Refusal):
            messages.error(request, f"Refused: {formatting.reason(found.code)}. {formatting.remedy(found.code)}")
        elif found is None:
            messages.warning(request, "It has not ended yet, or its words are erased.")
        else:
            messages.success(request, f"Asked again as request #{found.job.pk}.")
            return dialogs.done(request, reverse("admin:jobs_job_change", args=[found.job.pk]))
        return self._back(request, job)

    @action(
        description="Cancel",
        icon="cancel",
        url_path="cancel",
        permissions=["cancel"],
        variant=ActionVariant.WARNING,
        dialog=dialogs.dialog(
            "Cancel this request?", "The member is told, and gets the quota back.", "Cancel the request"
        ),
    )
    def cancel_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        job = self.get_or_404(request, object_id)
        if moderation.cancel(job.pk, by=dialogs.name_of(request), now=timezone.now()):
            messages.success(request, "It is cancelled, or its worker stops at the next step.")
        else:
            messages.warning(request, "It had ended already.")
        return self._back(request, job)

    @action(
        description="Refund",
        icon="undo",
        url_path="refund",
        permissions=["refund"],
        dialog=dialogs.dialog("Give the quota back?", "The member may use again what this request used.", "Refund"),
    )
    def refund_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        job = self.get_or_404(request, object_id)
        if moderation.refund(job.pk, by=dialogs.name_of(request), now=timezone.now()):
            messages.success(request, "Refunded.")
        else:
            messages.warning(request, "There was nothing to give back.")
        return self._back(request, job)

    @action(
        description="Delete pictures",
        icon="delete",
        url_path="erase",
        permissions=["erase"],
        variant=ActionVariant.DANGER,
        dialog=dialogs.dialog(
            "Delete its pictures everywhere?",
            "From storage, from the gallery, and the message on Discord. This cannot be undone.",
            "Delete everywhere",
        ),
    )
    def delete_pictures(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        job = self.get_or_404(request, object_id)
        gone = moderation.delete_everywhere(job.pk, by=dialogs.name_of(request), now=timezone.now())
        if gone is None:
            messages.warning(request, "It is still running.")
        elif gone.message_gone:
            messages.success(request, f"Deleted {gone.pictures} pictures and the message.")
        else:
            messages.warning(
                request, f"Deleted {gone.pictures} pictures. The message on Discord could not be deleted: do it there."
            )
        return self._back(request, job)

    def _back(self, request: HttpRequest, job: Job) -> HttpResponse:
        return dialogs.done(request, reverse("admin:jobs_job_change", args=[job.pk]))

    # What can be done to many

    @admin.action(description="Retry", permissions=["retry"])
    def retry_all(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        now, by = timezone.now(), dialogs.name_of(request)
        found = [moderation.retry(pk, by=by, now=now) for pk in queryset.values_list("pk", flat=True)[:200]]
        done = sum(each is not None and not isinstance(each, Refusal) for each in found)
        messages.info(request, f"Asked for {done} of {len(found)} again.")

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel_all(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        now, by = timezone.now(), dialogs.name_of(request)
        ids = list(queryset.filter(status__in=OPEN).values_list("pk", flat=True)[:1000])
        messages.info(request, f"Cancelled {sum(moderation.cancel(pk, by=by, now=now) for pk in ids)}.")

    @admin.action(description="Refund", permissions=["refund"])
    def refund_all(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        now, by = timezone.now(), dialogs.name_of(request)
        ids = list(queryset.filter(status=Status.COMPLETED).values_list("pk", flat=True)[:1000])
        messages.info(request, f"Refunded {sum(moderation.refund(pk, by=by, now=now) for pk in ids)}.")

    @admin.action(description="Hide the pictures", permissions=["cancel"])
    def hide_all(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        ids = list(JobImage.objects.filter(job__in=queryset[:1000].values("pk")).values_list("pk", flat=True))
        hidden = moderation.hide(ids, by=dialogs.name_of(request), now=timezone.now())
        messages.info(request, f"Hid {hidden} pictures.")

    @admin.action(description="Export as CSV", permissions=["view"])
    def export_chosen(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponseBase:
        return csv_export.csv_response("requests", COLUMNS, queryset.select_related("guild", "model").iterator(2000))

    @action(description="Export as CSV", icon="download", url_path="export", permissions=["view"])
    def export_all(self, request: HttpRequest) -> HttpResponseBase:
        """All rows of the list as it is filtered, up to a hundred thousand."""
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            messages.error(request, "The filter was not understood, so nothing was exported.")
            return redirect("admin:jobs_job_changelist")
        return csv_export.csv_response("requests", COLUMNS, rows[: csv_export.MOST].iterator(2000))


def page_of(job: Job, *, viewer: Access) -> dict[str, Any]:
    """What a request's page shows."""
    images = list(job.images.all())
    price = Platform.objects.values_list("price_per_gpu_hour", flat=True).first() or Platform().price_per_gpu_hour
    facts = [
        ("Model", job.model.name),
        ("Size", f"{job.width} × {job.height}"),
        ("Pictures", job.count),
        ("Steps", job.steps),
        ("Sampler", job.sampler),
        ("Guidance", f"{job.guidance:g}"),
        ("Seed", job.seed if job.count == 1 else f"{job.seed} … {job.seeds[-1]}"),
        ("Style", job.style),
        ("Strength", f"{job.strength:g}" if job.strength is not None else ""),
        ("Kind", job.get_kind_display()),
    ]
    outcome = [
        ("Waited", formatting.between(job.created_at, job.started_at)),
        ("Took in all", formatting.between(job.created_at, job.ended_at)),
        ("GPU time", formatting.seconds(job.gpu_ms / 1000) if job.gpu_ms else "–"),
        ("Cost", formatting.money(job.gpu_ms, price) if job.gpu_ms else "–"),
        ("Attempts", job.attempts),
        ("Worker", job.worker_id or "–"),
        ("Delivered", job.get_delivered_via_display() or "–"),
        ("Quota", "Refunded" if job.refunded_at else ("Settled" if job.settled_at else "Reserved")),
    ]
    return {
        "job": job,
        "status_colour": formatting.STATUS_COLOURS[Status(job.status)],
        "images": [
            {
                "image": image,
                "alt": formatting.alt(image),
                "src": formatting.picture(image, width=768),
                "original": formatting.picture(image),
                "blur": image.blurred or job.spoiler,
            }
            for image in images
        ],
        "parameters": [(name, value) for name, value in facts if value not in ("", None)] if job.steps else [],
        "outcome": outcome,
        "steps": list(timeline(list(job.events.all()[:200]), viewer=viewer)),
        "member": formatting.member(job.user_id, job.member_name),
        "requested_at": formatting.when(job.created_at),
        "reason": formatting.reason(job.reason) if job.reason else "",
        "remedy": formatting.remedy(job.reason),
        "message_link": formatting.message_link(job),
        "percent": round(100 * job.progress_step / job.progress_total) if job.progress_total else 0,
    }


@admin.register(JobImage)
class JobImageAdmin(ScopedAdmin):
    """The gallery and the inbox of reports."""

    guild_path = "job__guild_id"
    operators_may = frozenset({"view"})
    list_display = ["display_image"]
    list_display_links = None
    list_filter = [ModerationStateFilter, ("job__guild", GuildFilter)]
    list_filter_submit = True
    list_per_page = 48
    ordering = ["-id"]
    sortable_by = ()
    paginator = BoundedPaginator
    actions = ["hide_chosen", "show_chosen", "blur_chosen", "unblur_chosen", "dismiss_chosen", "delete_chosen"]
    change_list_template = "admin/jobs/jobimage/gallery.html"
    change_form_template = "admin/jobs/jobimage/page.html"
    actions_detail_hide_default = True
    actions_detail = ["hide_one", "show_one", "blur_one", "unblur_one", "dismiss_one"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobImage]:
        return super().get_queryset(request).select_related("job", "job__guild")

    def has_act_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.may_act(request, object_id)

    @display(description="Picture")
    def display_image(self, image: JobImage) -> SafeString:
        return SafeString(  # nosec B308 B703  # a template has escaped it
            render_to_string(
                "admin/jobs/jobimage/tile.html",
                {
                    "image": image,
                    "job": image.job,
                    "src": formatting.picture(image, width=320),
                    "alt": formatting.alt(image),
                    "requested_at": formatting.when(image.created_at),
                    "reported": formatting.when(image.reported_at) if image.reported_at else "",
                },
            )
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: JobImage | None = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None:
            context |= {
                "image": obj,
                "job": obj.job,
                "src": formatting.picture(obj, width=768),
                "original": formatting.picture(obj),
                "alt": formatting.alt(obj),
                "reported": formatting.when(obj.reported_at),
                "title": f"Picture {obj.index + 1} of request #{obj.job_id}",
            }
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response

    def _may_while(self, request: HttpRequest, object_id: Any, fits: Callable[[JobImage], bool]) -> bool:
        if not self.may_act(request, object_id):
            return False
        return object_id is None or fits(self.get_or_404(request, object_id))

    def has_hide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_while(request, object_id, lambda image: image.hidden_at is None)

    def has_show_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_while(request, object_id, lambda image: image.hidden_at is not None)

    def has_blur_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_while(request, object_id, lambda image: not image.blurred)

    def has_unblur_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_while(request, object_id, lambda image: image.blurred)

    def has_dismiss_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may_while(request, object_id, lambda image: image.reported_at is not None)

    @action(
        description="Hide",
        icon="visibility_off",
        url_path="hide",
        permissions=["hide"],
        variant=ActionVariant.WARNING,
        dialog=dialogs.dialog(
            "Hide this picture?", "From galleries, histories and new requests. It can be undone.", "Hide"
        ),
    )
    def hide_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._one(request, object_id, moderation.hide, "It is hidden.")

    @action(
        description="Show again",
        icon="visibility",
        url_path="show",
        permissions=["show"],
        dialog=dialogs.dialog("Show this picture again?", "It comes back to galleries and histories.", "Show it"),
    )
    def show_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._one(request, object_id, moderation.unhide, "It can be seen again.")

    @action(
        description="Blur",
        icon="blur_on",
        url_path="blur",
        permissions=["blur"],
        dialog=dialogs.dialog("Blur this picture?", "Galleries show it only when one points at it.", "Blur"),
    )
    def blur_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._one(request, object_id, partial(moderation.blur, blurred=True), "It is blurred.")

    @action(
        description="Stop blurring",
        icon="blur_off",
        url_path="unblur",
        permissions=["unblur"],
        dialog=dialogs.dialog("Stop blurring this picture?", "Galleries show it as it is.", "Stop blurring"),
    )
    def unblur_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._one(request, object_id, partial(moderation.blur, blurred=False), "It is no longer blurred.")

    @action(
        description="Dismiss the report",
        icon="flag",
        url_path="dismiss",
        permissions=["dismiss"],
        dialog=dialogs.dialog("Dismiss the report?", "The picture stays, and leaves the inbox.", "Dismiss"),
    )
    def dismiss_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._one(request, object_id, moderation.dismiss_reports, "The report is dismissed.")

    def _one(self, request: HttpRequest, object_id: str, act: Callable[..., int], told: str) -> HttpResponse:
        image = self.get_or_404(request, object_id)
        if act([image.pk], by=dialogs.name_of(request), now=timezone.now()):
            messages.success(request, told)
        else:
            messages.warning(request, "Someone was faster.")
        return dialogs.done(request, reverse("admin:jobs_jobimage_change", args=[image.pk]))

    def _ids(self, queryset: QuerySet[JobImage]) -> list[int]:
        return list(queryset.values_list("pk", flat=True)[:1000])

    @admin.action(description="Hide", permissions=["act"])
    def hide_chosen(self, request: HttpRequest, queryset: QuerySet[JobImage]) -> None:
        hidden = moderation.hide(self._ids(queryset), by=dialogs.name_of(request), now=timezone.now())
        messages.success(request, f"Hid {hidden}.")

    @admin.action(description="Show again", permissions=["act"])
    def show_chosen(self, request: HttpRequest, queryset: QuerySet[JobImage]) -> None:
        found = moderation.unhide(self._ids(queryset), by=dialogs.name_of(request), now=timezone.now())
        messages.success(request, f"{found} can be seen again.")

    @admin.action(description="Blur", permissions=["act"])
    def blur_chosen(self, request: HttpRequest, queryset: QuerySet[JobImage]) -> None:
        found = moderation.blur(self._ids(queryset), blurred=True, by=dialogs.name_of(request), now=timezone.now())
        messages.success(request, f"Blurred {found}.")

    @admin.action(description="Stop blurring", permissions=["act"])
    def unblur_chosen(self, request: HttpRequest, queryset: QuerySet[JobImage]) -> None:
        found = moderation.blur(self._ids(queryset), blurred=False, by=dialogs.name_of(request), now=timezone.now())
        messages.success(request, f"{found} are no longer blurred.")

    @admin.action(description="Dismiss the reports", permissions=["act"])
    def dismiss_chosen(self, request: HttpRequest, queryset: QuerySet[JobImage]) -> None:
        found = moderation.dismiss_reports(self._ids(queryset), by=dialogs.name_of(request), now=timezone.now())
        messages.success(request, f"Dismissed {found} reports.")

    @admin.action(description="Delete everywhere (the whole request's pictures)", permissions=["act"])
    def delete_chosen(self, request: HttpRequest, queryset: QuerySet[JobImage]) -> None:
        jobs = sorted(set(queryset.values_list("job_id", flat=True)[:1000]))
        now, by = timezone.now(), dialogs.name_of(request)
        gone = [moderation.delete_everywhere(pk, by=by, now=now) for pk in jobs]
        left = sum(each is not None and not each.message_gone for each in gone)
        messages.success(request, f"Deleted the pictures of {len(gone)} requests.")
        if left:
            messages.warning(request, f"{left} messages on Discord could not be deleted: do it there.")


def reported_badge(request: HttpRequest) -> str:
    """How many reports wait, for the menu; nothing when none do."""
    rows = JobImage.objects.filter(Q(reported_at__isnull=False))
    ids = access.of(request).guild_ids
    if ids is not None:
        rows = rows.filter(job__guild_id__in=ids)
    waiting = rows[:100].count()
    return str(waiting) if waiting else ""
