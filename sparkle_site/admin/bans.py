"""Bans: who may not use Sparkle, where and until when."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from guilds.models import Ban
from jobs import moderation

from . import access, actor_names, formatting
from .actions import actor_name
from .filters import BanStatusFilter, GuildFilter
from .scoped_admin import GuildOwnedAdmin


@admin.register(Ban)
class BanAdmin(GuildOwnedAdmin):
    list_display = ["user_id", "display_guild", "reason", "display_state", "display_until"]
    list_filter = [("guild", GuildFilter), BanStatusFilter]
    list_filter_submit = True
    search_fields = ["=user_id", "reason"]
    ordering = ["-id"]
    fields = ["guild", "user_id", "reason", "until"]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        viewer = access.of(request)

        @display(description="Banned by")
        def display_creator(ban: Ban) -> str:
            return actor_names.display_stored_name(viewer, ban.created_by)

        return [*super().get_list_display(request), display_creator]

    @display(description="State", label={"Active": "danger", "Expired": "default"})
    def display_state(self, ban: Ban) -> str:
        return "Expired" if ban.until and ban.until <= timezone.now() else "Active"

    @display(description="Until", ordering="until")
    def display_until(self, ban: Ban) -> str:
        return formatting.when(ban.until, empty="Permanent")

    def save_model(self, request: HttpRequest, obj: Ban, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        actor = actor_name(request)
        obj.created_by = actor[:100]
        super().save_model(request, obj, form, change)
        cancelled = moderation.cancel_member_jobs(obj.guild_id, obj.user_id, by=actor, now=timezone.now())
        if cancelled:
            messages.info(request, f"Cancelled and refunded {formatting.counted(cancelled, 'request')} of the member.")
