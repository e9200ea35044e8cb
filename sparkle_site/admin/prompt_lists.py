"""Lists of words for prompts."""

from __future__ import annotations

from django.contrib import admin
from unfold.decorators import display

from guilds.prompt_models import PromptList

from .filters import GuildFilter
from .scoped_admin import GuildOwnedAdmin


@admin.register(PromptList)
class PromptListAdmin(GuildOwnedAdmin):
    list_display = ["__str__", "display_guild", "display_entries"]
    list_filter = [("guild", GuildFilter)]
    list_filter_submit = True
    search_fields = ["name"]
    fields = ["guild", "name", "entries"]

    @display(description="Entries")
    def display_entries(self, row: PromptList) -> int:
        return len(row.lines)
