"""Requests and their pictures."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from jobs.models import Job, JobImage

from . import shown
from .paging import BoundedPaginator
from .scope import ScopedAdmin


@admin.register(Job)
class JobAdmin(ScopedAdmin):
    operators_may = frozenset({"view"})
    list_display = ["id", "shown_status", "prompt", "guild", "shown_member", "shown_created"]
    list_select_related = ["guild", "model"]
    list_per_page = 50
    ordering = ["-id"]
    paginator = BoundedPaginator

    @display(description="Status", label={str(key.label): value for key, value in shown.STATUS_COLOURS.items()})
    def shown_status(self, job: Job) -> str:
        return str(job.get_status_display())

    @display(description="Member")
    def shown_member(self, job: Job) -> str:
        return shown.member(job.user_id, job.member_name)

    @display(description="Asked")
    def shown_created(self, job: Job) -> str:
        return shown.when(job.created_at)


@admin.register(JobImage)
class JobImageAdmin(ScopedAdmin):
    guild_path = "job__guild_id"
    operators_may = frozenset({"view"})
    list_display = ["__str__", "seed", "reported_at", "hidden_at"]
    list_select_related = ["job"]
    ordering = ["-id"]
    paginator = BoundedPaginator

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobImage]:
        return super().get_queryset(request).select_related("job")
