"""Images: the gallery, an image's page, and the number of reports in the menu."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from unfold.decorators import display

from jobs.models import JobImage

from . import access, formatting, image_actions, member_names
from .action_framework import with_actions
from .filters import GuildFilter, ModerationStateFilter
from .pagination import BoundedPaginator
from .scoped_admin import ScopedAdmin


@admin.register(JobImage)
@with_actions(on_row=image_actions.ON_ROW, on_list=image_actions.ON_LIST)
class JobImageAdmin(ScopedAdmin):
    """The gallery, and the list of reported images."""

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
    change_list_template = "admin/jobs/jobimage/gallery.html"
    change_form_template = "admin/jobs/jobimage/page.html"
    actions_detail_hide_default = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobImage]:
        return super().get_queryset(request).select_related("job", "job__guild")

    def has_act_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.may_act(request, object_id)

    @display(description="Image")
    def display_image(self, image: JobImage) -> SafeString:
        return SafeString(  # nosec B308 B703  # the template escapes its values
            render_to_string(
                "admin/jobs/jobimage/tile.html",
                {
                    "image": image,
                    "job": image.job,
                    "src": formatting.image_url(image, width=320),
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
                "src": formatting.image_url(obj, width=768),
                "original": formatting.image_url(obj),
                "alt": formatting.alt(obj),
                "reported": formatting.when(obj.reported_at),
                "reporter": member_names.in_guilds([obj.reported_by or 0], frozenset({obj.job.guild_id})).get(
                    obj.reported_by or 0, "a member"
                ),
                "title": f"Image {obj.index + 1} of request #{obj.job_id}",
            }
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response


def reported_badge(request: HttpRequest) -> str:
    """Return how many reports are open, for the menu; "" for none. Counts to a hundred."""
    rows = JobImage.objects.filter(reported_at__isnull=False)
    guild_ids = access.of(request).guild_ids
    if guild_ids is not None:
        rows = rows.filter(job__guild_id__in=guild_ids)
    open_reports = rows[:100].count()
    return str(open_reports) if open_reports else ""
