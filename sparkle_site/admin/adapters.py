"""LoRAs: operators add and enable them; moderators see those that their servers may use."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from guilds.adapter_models import Adapter

from . import access, formatting
from .scoped_admin import ScopedAdmin

_DETAIL_NAMES = {"rank": "Rank", "layers": "Layers", "bytes": "Bytes"}


@admin.register(Adapter)
class AdapterAdmin(ScopedAdmin):
    guild_path = None
    list_display = ["display_lora", "display_state", "family", "display_weights", "trigger_words", "license"]
    list_display_links = ["display_lora"]
    list_filter = ["enabled", "family"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    filter_horizontal = ["guilds"]
    readonly_fields = ["display_details"]
    fieldsets = [
        ("LoRA", {"fields": [("name", "slug"), "source", "file", "family", "preview", "enabled"]}),
        ("Use", {"fields": [("default_weight", "max_weight"), "trigger_words", "guilds", "adult"]}),
        ("Source", {"fields": [("license", "origin"), "display_details"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # ScopedAdmin's own narrows by one guild, and a LoRA has several.
        rows = Adapter.objects.order_by("name")
        viewer = access.of(request)
        if viewer.guild_ids is None:
            return rows
        usable = Adapter.objects.filter(enabled=True).usable_in(viewer.guild_ids)
        return rows.filter(pk__in=usable.values("pk"))

    def may(self, request: HttpRequest, what: str, obj: Any = None) -> bool:
        viewer = access.of(request)
        if viewer.sees_all_guilds or what != "view":
            return super().may(request, what, obj)
        # A row comes through get_queryset.
        return viewer.can_enter

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if access.of(request).sees_all_guilds:
            return self.fieldsets
        # Which other servers use it, and where its file is stored, is none of a moderator's business.
        hidden = {"guilds", "file", "enabled"}
        return [
            (title, options | {"fields": [field for field in options["fields"] if field not in hidden]})
            for title, options in self.fieldsets
        ]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not access.of(request).sees_all_guilds:
            raise Http404
        return super().history_view(request, object_id, extra_context)

    @display(description="LoRA")
    def display_lora(self, adapter: Adapter) -> SafeString:
        return formatting.name_with_preview(
            adapter.name, adapter.slug, adapter.preview.name or "", "guilds_adapter", adapter.pk
        )

    @display(description="State", label={"Enabled": "success", "Disabled": "default"})
    def display_state(self, adapter: Adapter) -> str:
        return "Enabled" if adapter.enabled else "Disabled"

    @display(description="Weight")
    def display_weights(self, adapter: Adapter) -> str:
        return f"{adapter.default_weight:g}, at most {adapter.max_weight:g}"

    @display(description="What the file says")
    def display_details(self, adapter: Adapter) -> SafeString | str:
        shown = [(_DETAIL_NAMES.get(name, name), value) for name, value in sorted(adapter.details.items()) if value]
        if not shown:
            return "Nothing yet: it is read when a worker first loads it." if adapter.source else "-"
        return format_html("<dl>{}</dl>", format_html_join("", "<dt>{}</dt><dd>{}</dd>", shown))
