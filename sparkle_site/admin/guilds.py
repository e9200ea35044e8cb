"""Servers and their rules."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from guilds.models import Ban, BlockedTerm, Guild, QuotaRule, StylePreset, Usage

from . import scope, shown
from .scope import ScopedAdmin


class QuotaRuleInline(TabularInline):
    model = QuotaRule
    extra = 0
    fields = ["subject", "role_id", "role_name", "metric", "window", "limit"]

    def _may(self, request: HttpRequest, obj: Any) -> bool:
        person = scope.of(request)
        return person.changes and (obj is None or person.holds(obj.pk))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return scope.of(request).enters

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)


@admin.register(Guild)
class GuildAdmin(ScopedAdmin):
    guild_path = "pk"
    moderators_may = frozenset({"view", "change"})
    operators_may = frozenset({"view", "change"})
    list_display = ["name", "shown_state", "id", "concurrency", "retention_days", "shown_installed"]
    search_fields = ["name__istartswith", "=id"]
    ordering = ["name", "id"]
    inlines = [QuotaRuleInline]
    readonly_fields = ["id", "name", "icon", "owner_id", "installed_at", "left_at"]
    filter_horizontal = ["models_offered"]

    @display(description="State", label={"On": "success", "Off": "warning", "Left": "default"})
    def shown_state(self, guild: Guild) -> str:
        if guild.left_at:
            return "Left"
        return "On" if guild.enabled else "Off"

    @display(description="Installed", ordering="installed_at")
    def shown_installed(self, guild: Guild) -> str:
        return shown.when(guild.installed_at)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # What one server takes from the others, and what it may cost, are the operators' to say.
        more = [] if scope.of(request).everything else ["concurrency", "monthly_budget_gpu_seconds"]
        return [*self.readonly_fields, *more]


class OfAGuild(ScopedAdmin):
    """Rows that a guild's moderators keep themselves."""

    moderators_may = frozenset({"view", "add", "change", "delete"})
    list_select_related = ["guild"]
    autocomplete_fields = ["guild"]


@admin.register(Ban)
class BanAdmin(OfAGuild):
    list_display = ["user_id", "guild", "reason", "shown_until", "created_by"]
    search_fields = ["=user_id", "reason"]
    ordering = ["-id"]

    @display(description="Until", ordering="until")
    def shown_until(self, ban: Ban) -> str:
        return shown.when(ban.until, empty="lifted by hand")

    def save_model(self, request: HttpRequest, obj: Ban, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user.get_username()
        super().save_model(request, obj, form, change)


@admin.register(BlockedTerm)
class BlockedTermAdmin(OfAGuild):
    list_display = ["phrase", "guild", "nsfw", "hits"]
    search_fields = ["phrase"]


@admin.register(StylePreset)
class StylePresetAdmin(OfAGuild):
    list_display = ["name", "slug", "guild", "enabled"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}


@admin.register(Usage)
class UsageAdmin(ScopedAdmin):
    operators_may = frozenset({"view"})
    list_display = ["guild", "subject_id", "window", "shown_start", "pictures", "gpu_ms"]
    list_select_related = ["guild"]
    ordering = ["-starts_at"]

    @display(description="From", ordering="starts_at")
    def shown_start(self, usage: Usage) -> str:
        return shown.when(usage.starts_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request)
