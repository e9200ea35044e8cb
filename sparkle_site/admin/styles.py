"""Style presets."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from guilds.models import StylePreset

from . import formatting
from .filters import GuildFilter
from .scoped_admin import GuildOwnedAdmin


@admin.register(StylePreset)
class StylePresetAdmin(GuildOwnedAdmin):
    list_display = ["display_style", "display_guild", "display_template", "enabled"]
    list_display_links = ["display_style"]
    list_filter = [("guild", GuildFilter), "enabled"]
    list_filter_submit = True
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    fields = ["guild", ("name", "slug"), "template", "negative_prompt", "loras", "preview", "enabled"]

    @display(description="Style")
    def display_style(self, style: StylePreset) -> SafeString:
        return formatting.name_with_preview(
            style.name, style.slug, style.preview.name or "", "guilds_stylepreset", style.pk
        )

    @display(description="Template")
    def display_template(self, style: StylePreset) -> SafeString:
        return format_html('<span class="sp-prompt sp-faint">{}</span>', style.template)
