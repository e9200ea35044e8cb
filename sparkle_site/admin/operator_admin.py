"""Pages for operators only: platform settings and workers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from unfold.decorators import display

from guilds.models import Platform
from jobs.models import Worker

from . import formatting
from .scoped_admin import ScopedAdmin


@admin.register(Platform)
class PlatformAdmin(ScopedAdmin):
    guild_path = None
    operators_may = frozenset({"view", "change"})
    fieldsets = [
        (
            "Operation",
            {
                "fields": ["maintenance", "draining", "notice"],
                "description": "Maintenance: all requests are refused. "
                "Draining: new requests queue; workers don't start them.",
            },
        ),
        ("Cost", {"fields": [("price_per_gpu_hour", "monthly_budget")]}),
    ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        Platform.objects.get_or_create(pk=1)
        return redirect("admin:guilds_platform_change", 1)


@admin.register(Worker)
class WorkerAdmin(ScopedAdmin):
    guild_path = None
    operators_may = frozenset({"view"})
    list_display = ["id", "display_state", "device", "model_id", "jobs_done", "display_seen", "display_uptime"]
    ordering = ["-seen_at"]

    @display(
        description="State",
        label={"Ready": "success", "Busy": "primary", "Starting": "info", "Leaving": "warning", "Silent": "danger"},
    )
    def display_state(self, worker: Worker) -> str:
        silent = (timezone.now() - worker.seen_at).total_seconds() > 60
        return "Silent" if silent else str(worker.get_state_display())

    @display(description="Last seen", ordering="seen_at")
    def display_seen(self, worker: Worker) -> str:
        return formatting.when(worker.seen_at)

    @display(description="Uptime")
    def display_uptime(self, worker: Worker) -> str:
        return formatting.between(worker.started_at, worker.seen_at)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["id", "state", "device", "model_id", "started_at", "seen_at", "jobs_done", "startup"]
