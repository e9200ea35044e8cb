"""Bans: who may not use Sparkle, where and until when."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display

from guilds.models import Ban
from jobs import member_moderation

from . import access, actor_names, formatting, member_names, reader_time_zone
from .action_framework import actor_name
from .filters import BanStatusFilter, GuildFilter, MemberFilter
from .pickers import MemberField
from .scoped_admin import GuildOwnedAdmin
from .validated_input import CheckedForm


class BanForm(CheckedForm):
    """A ban of a member who is chosen by name."""

    user_id = MemberField(label="Member")
    guild_ids: frozenset[int] | None = frozenset()
    """The guilds whose members' names the viewer may see; None for all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "user_id" in self.fields:
            self.fields["user_id"].widget.guild_ids = self.guild_ids
            self.fields["user_id"].initial = self.initial.get("user_id")


@admin.register(Ban)
class BanAdmin(GuildOwnedAdmin):
    form = BanForm
    list_display = ["display_member", "display_guild", "reason", "display_state", "display_until"]
    list_filter = [("guild", GuildFilter), MemberFilter, BanStatusFilter]
    list_filter_submit = True
    search_fields = ["reason"]
    search_help_text = "Words of the reason"
    ordering = ["-id"]
    fields = ["guild", "user_id", "reason", "until"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Ban]:
        return member_names.with_names(super().get_queryset(request))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with timezone.override(reader_time_zone.of(request)):
            response = super().changeform_view(request, *args, **kwargs)
            # Here, because the form shows its times when it is rendered.
            return response.render() if hasattr(response, "render") else response

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        zone = reader_time_zone.of(request)
        kwargs["help_texts"] = {"until": f"Empty: permanent. The time is in your time zone, {zone.key}."}
        form = super().get_form(request, obj, change, **kwargs)
        form.guild_ids = access.of(request).guild_ids  # Each request has a class of its own.
        return form

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        viewer = access.of(request)

        @display(description="Banned by")
        def display_creator(ban: Ban) -> str:
            return actor_names.display_stored_name(viewer, ban.created_by)

        return [*super().get_list_display(request), display_creator]

    @display(description="Member")
    def display_member(self, ban: Ban) -> SafeString:
        return formatting.member(ban.user_id, getattr(ban, "member_name", None) or "")

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
        cancelled = member_moderation.after_ban(obj, by=actor, now=timezone.now())
        if cancelled:
            messages.info(request, f"Cancelled and refunded {formatting.counted(cancelled, 'request')} of the member.")
