"""Usage counters, and what moderators may grant on top of a limit."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Case, OuterRef, QuerySet, Subquery, Value, When
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from guilds.models import QuotaRule, Usage
from jobs import moderation

from . import access, audit_log, formatting, member_names
from .action_framework import Confirmation, Result, RowAction, with_actions
from .filters import GuildFilter, SubjectFilter
from .pagination import BoundedPaginator
from .scoped_admin import ScopedAdmin


class GrantForm(BaseDialogForm):
    images = forms.IntegerField(
        label="Images", min_value=0, max_value=100_000, initial=50, required=False, widget=UnfoldAdminIntegerFieldWidget
    )
    gpu_seconds = forms.IntegerField(
        label="GPU seconds",
        min_value=0,
        max_value=10_000_000,
        initial=0,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
    )


def _grant_more(request: HttpRequest, usage: Usage, form: GrantForm) -> Result:
    images, gpu_seconds = form.cleaned_data["images"] or 0, form.cleaned_data["gpu_seconds"] or 0
    operator = access.of(request).sees_all_guilds
    moderation.grant(usage.pk, images=images, gpu_ms=gpu_seconds * 1000, operator=operator)
    granted = f"Granted {images} more images and {gpu_seconds} more GPU seconds"
    audit_log.record_action(request, usage, granted)
    return Result(text=f"{granted}.")


def _reset_counter(request: HttpRequest, usage: Usage, form: Any) -> Result:
    moderation.reset_window(usage.pk, operator=access.of(request).sees_all_guilds)
    audit_log.record_action(request, usage, "Reset the counter")
    return Result(text="The counter was reset. The full limit is available again.")


ON_ROW = (
    RowAction(
        name="grant_more",
        label="Grant more",
        icon="add",
        url_path="grant",
        permission="grant",
        confirmation=Confirmation(
            title="Grant more", text="Adds to the limit until this window ends.", button="Grant", form=GrantForm
        ),
        run=_grant_more,
        back_to="changelist",
    ),
    RowAction(
        name="reset_counter",
        label="Reset",
        icon="restart_alt",
        url_path="reset",
        permission="grant",
        confirmation=Confirmation(
            title="Reset this counter?", text="The full limit is available again in this window.", button="Reset"
        ),
        run=_reset_counter,
        back_to="changelist",
    ),
)


@admin.register(Usage)
@with_actions(on_row=ON_ROW)
class UsageAdmin(ScopedAdmin):
    operators_may = frozenset({"view"})
    list_display = ["display_subject", "display_guild", "window", "display_start", "display_images", "display_gpu"]
    list_display_links = None
    list_select_related = ["guild"]
    list_filter = [("guild", GuildFilter), SubjectFilter, ("window", ChoicesDropdownFilter)]
    list_filter_submit = True
    ordering = ["-starts_at", "-pk"]
    sortable_by = ()
    paginator = BoundedPaginator
    # Unfold passes a row's id to the permission check only for actions that are in actions_detail too (with_actions).
    actions_row = [row_action.name for row_action in ON_ROW]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Usage]:
        subject = Case(When(subject_id=0, then=Value(QuotaRule.Subject.GUILD)), default=Value(QuotaRule.Subject.MEMBER))
        rows = member_names.with_names(super().get_queryset(request), user="subject_id").annotate(subject=subject)
        rules = QuotaRule.objects.filter(
            guild_id=OuterRef("guild_id"), subject=OuterRef("subject"), window=OuterRef("window"), channel_id=None
        )
        # Those of one channel are on the member's page and in /sparkle-quota.
        rows = rows.filter(channel_id=None)
        return rows.annotate(
            limit_images=Subquery(rules.filter(metric=QuotaRule.Metric.IMAGES).values("limit")[:1]),
            limit_gpu=Subquery(rules.filter(metric=QuotaRule.Metric.GPU_SECONDS).values("limit")[:1]),
        )

    @display(description="Subject")
    def display_subject(self, usage: Usage) -> str | SafeString:
        if not usage.subject_id:
            return "Whole server"
        if usage.subject_id < 0:
            return "Erased member"
        return formatting.member(usage.subject_id, getattr(usage, "member_name", None) or "", guild_id=usage.guild_id)

    @display(description="Server")
    def display_guild(self, usage: Usage) -> str:
        return str(usage.guild)

    @display(description="Window start")
    def display_start(self, usage: Usage) -> str:
        return formatting.when(usage.starts_at)

    @display(description="Images")
    def display_images(self, usage: Usage) -> SafeString:
        return _of_limit(usage.images, getattr(usage, "limit_images", None), usage.granted_images)

    @display(description="GPU seconds")
    def display_gpu(self, usage: Usage) -> SafeString:
        return _of_limit(usage.gpu_ms / 1000, getattr(usage, "limit_gpu", None), usage.granted_gpu_ms // 1000)

    def has_grant_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not self.may_act(request, object_id):
            return False
        # The operators' own limits use the counters of the whole server.
        whole_server = object_id is not None and not self.get_or_404(request, object_id).subject_id
        return not whole_server or access.of(request).sees_all_guilds


def _of_limit(used: float, limit: int | None, granted: int) -> SafeString:
    """Return the use, of the limit for the whole server or for every member if there is one, and what was granted."""
    shown = formatting.count(used)
    if limit is not None:
        shown += f" of {formatting.count(limit + granted)}"
    more = format_html('<span class="sp-sub">{} granted</span>', formatting.count(granted)) if granted else ""
    return format_html("{}{}", shown, more)
