"""Loads the lists that a prompt uses, with those that their entries use."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import Q

from . import prompt_language
from .prompt_models import PromptList


def load(guild_id: int, prompt: str) -> Mapping[str, list[str]]:
    """Return the entries of every list that expanding the prompt may reach, by name. No query without a list."""
    lists: dict[str, list[str]] = {}
    wanted = set(prompt_language.list_names(prompt))
    for _ in range(prompt_language.MAX_DEPTH):
        if not wanted:
            break
        found = PromptList.objects.entries(guild_id, wanted)
        lists |= found
        used = {name for entries in found.values() for entry in entries for name in prompt_language.list_names(entry)}
        wanted = used - lists.keys()
    return lists


def names(guild_id: int, *, limit: int) -> list[str]:
    """Return the names of the lists that a guild can use."""
    rows = PromptList.objects.filter(Q(guild_id=guild_id) | Q(guild=None)).order_by("name")
    return list(rows.values_list("name", flat=True).distinct()[:limit])
