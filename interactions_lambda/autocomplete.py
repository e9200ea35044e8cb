"""Completions while a member types an option: models, styles, sizes, and the member's own requests."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from discord_api import payloads
from guilds.models import Guild, ModelProfile, StylePreset
from jobs import queries

from . import interaction as parsing
from .interaction import Interaction

_MOST = 200


def complete(interaction: Interaction) -> dict[str, Any]:
    """Return the callback with at most 25 choices for the option that has the focus."""
    said = parsing.options(interaction.data)
    typed = str(said.values.get(said.focused or "") or "")[:100]
    guild_id = interaction.home
    if said.focused == "id":
        open_only = parsing.name(interaction.data) == "sparkle-cancel"
        return payloads.choices(
            [
                (f"#{match.job_id} {' '.join(match.prompt.split())}", str(match.job_id))
                for match in queries.matching(guild_id, interaction.user_id, typed, open_only=open_only)
            ]
        )
    if said.focused == "style":
        styles = StylePreset.objects.filter(Q(guild_id=guild_id) | Q(guild=None), enabled=True)
        return _matching(typed, [(name, slug) for slug, name in styles.values_list("slug", "name")[:_MOST]])
    if said.focused == "model":
        return _matching(typed, [(model.name, model.slug) for model in _models(guild_id)])
    if said.focused == "size":
        return _matching(typed, [(size, size) for size in _sizes(guild_id, said.values.get("model"))])
    return payloads.choices([])


def _matching(typed: str, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    wanted = typed.strip().casefold()
    found = {value: name for name, value in pairs if wanted in name.casefold() or wanted in value.casefold()}
    return payloads.choices([(name, value) for value, name in found.items()])


def _models(guild_id: int) -> list[ModelProfile]:
    models = ModelProfile.objects.filter(enabled=True).order_by("-is_default", "name")
    offered = list(models.filter(guild=guild_id)[:_MOST])
    return offered or list(models[:_MOST])


def _sizes(guild_id: int, model: object) -> list[str]:
    models = _models(guild_id)
    chosen = next((each for each in models if each.slug == model), models[0] if models else None)
    allowed = Guild.objects.filter(pk=guild_id).values_list("allowed_sizes", flat=True).first()
    return [size for size in chosen.sizes if not allowed or size in allowed] if chosen else []
