"""Requests: the list and a request's page."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.postgres.search import SearchQuery, SearchVector
from django.core.paginator import Paginator
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesCheckboxFilter
from unfold.decorators import action, display

from discord_api import snowflakes
from jobs.job_status import Status
from jobs.models import Job, JobImage

from . import access, csv_export, formatting, job_actions, job_page
from .action_framework import with_actions
from .filters import CreatedAtFilter, GuildFilter, MemberFilter, ModelFilter, ReasonFilter
from .pagination import BoundedPaginator, SearchPaginator
from .scoped_admin import ScopedAdmin

_WORDS = re.compile(r"\w+")
NO_IMAGE = SafeString(
    '<span class="sp-thumb sp-thumb--none" role="img" aria-label="No image">'
    '<span class="material-symbols-outlined" aria-hidden="true">image</span></span>'
)


@admin.register(Job)
@with_actions(on_row=job_actions.ON_ROW, on_list=job_actions.ON_LIST)
class JobAdmin(ScopedAdmin):
    operators_may = frozenset({"view"})
    list_display = [
        "display_image",
        "display_status",
        "display_prompt",
        "display_guild",
        "display_member",
        "display_model",
        "display_created",
        "display_total_time",
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
    search_help_text = "Words of the prompt or their beginnings, a member's name, or a request number"
    ordering = ["-id"]
    sortable_by = ()
    paginator = BoundedPaginator
    actions_list = ["export_all"]
    actions_detail_hide_default = True
    change_form_template = "admin/jobs/job/page.html"

    # The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        rows = super().get_queryset(request).select_related("guild", "model")
        if request.resolver_match and request.resolver_match.url_name == "jobs_job_changelist":
            rows = rows.defer("styled_prompt", "negative_prompt", "encrypted_token", "source_url", "detail")
            rows = rows.prefetch_related(Prefetch("images", JobImage.objects.filter(index=0), to_attr="first_images"))
        return rows

    def get_paginator(self, request: HttpRequest, *args: Any, **options: Any) -> Paginator[Job]:
        paginator = SearchPaginator if request.GET.get(SEARCH_VAR) else self.paginator
        return paginator(*args, **options)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        term = search_term.strip().lstrip("#")
        if not term:
            return queryset, False
        number = snowflakes.parse(term)
        if number is not None:
            # Snowflakes are longer than any request number.
            column = "user_id" if len(term) >= 15 else "pk"
            return queryset.filter(**{column: number}), False
        words = SearchVector("prompt", "member_name", config="simple")
        # The beginnings of words, which the index finds: "light" finds "lighthouse".
        parts = [f"'{part}':*" for part in _WORDS.findall(term)]
        if not parts:
            return queryset.none(), False
        query = SearchQuery(" & ".join(parts), config="simple", search_type="raw")
        return queryset.alias(words=words).filter(words=query), False

    @display(description="Image")
    def display_image(self, job: Job) -> SafeString:
        images: list[JobImage] = getattr(job, "first_images", [])
        if not images:
            return NO_IMAGE
        image = images[0]
        return format_html(
            '<span class="sp-thumb{}"><img src="{}" alt="{}" width="48" height="48" loading="lazy">{}</span>',
            " sp-blur" if image.blurred or job.spoiler else "",
            formatting.image_url(image, width=96),
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
        text = job.prompt or "Erased"
        reason = formatting.reason(job.reason) if job.reason and job.status != Status.COMPLETED else ""
        return format_html(
            '<span class="sp-prompt"><span class="sp-prompt__text{}">{}</span><span class="sp-sub">#{}{}</span></span>',
            "" if job.prompt else " sp-faint",
            text[:140],
            job.pk,
            f" · {reason}" if reason else "",
        )

    @display(description="Server")
    def display_guild(self, job: Job) -> str:
        return str(job.guild)

    @display(description="Member")
    def display_member(self, job: Job) -> str:
        return formatting.member(job.user_id, job.member_name, guild_id=job.guild_id)

    @display(description="Model")
    def display_model(self, job: Job) -> SafeString:
        return format_html(
            '{}<span class="sp-sub">{} × {}</span>', job.model.name, job.count, f"{job.width}×{job.height}"
        )

    @display(description="Requested")
    def display_created(self, job: Job) -> str:
        return formatting.when(job.created_at)

    @display(description="Total time")
    def display_total_time(self, job: Job) -> str:
        return formatting.between(job.created_at, job.ended_at) if job.started_at else "–"

    # The page

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Job | None = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None:
            context |= job_page.build_context(obj, viewer=access.of(request))
            context["title"] = f"Request #{obj.pk}"
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response

    @action(description="Export as CSV", icon="download", url_path="export", permissions=["view"])
    def export_all(self, request: HttpRequest) -> HttpResponseBase:
        """Export the filtered list, up to csv_export.MAX_ROWS rows."""
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            messages.error(request, "The filter is invalid, so nothing was exported.")
            return redirect("admin:jobs_job_changelist")
        return job_actions.export_csv(rows[: csv_export.MAX_ROWS])
