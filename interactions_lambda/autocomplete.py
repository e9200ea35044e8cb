"""Autocomplete choices for models, styles, samplers, sizes, and the member's own presets and requests."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from discord_api import payloads
from guilds import lora_selection
from guilds.adapter_models import Adapter
from guilds.model_families import DEFAULT_FAMILY, FAMILIES
from guilds.models import Guild, ModelProfile, StylePreset
from guilds.samplers import SAMPLERS
from jobs import queries

from . import defaults
from . import interaction as parsing
from .interaction import Interaction

_MAX_ROWS = 200


def complete(interaction: Interaction) -> dict[str, Any]:
    """Return the callback with at most 25 choices for the focused option."""
    options = parsing.options(interaction.data)
    typed = str(options.values.get(options.focused or "") or "")[:100]
    guild_id = interaction.required_guild_id
    if options.focused == "id":
        open_only = parsing.command_name(interaction.data) == "sparkle-cancel"
        return payloads.choices(
            [
                (f"#{match.job_id} {' '.join(match.prompt.split())}", str(match.job_id))
                for match in queries.search_jobs(guild_id, interaction.user_id, typed, open_only=open_only)
            ]
        )
    if options.focused == "style":
        styles = StylePreset.objects.filter(Q(guild_id=guild_id) | Q(guild=None), enabled=True)
        return _matching(typed, [(name, slug) for slug, name in styles.values_list("slug", "name")[:_MAX_ROWS]])
    if options.focused == "model":
        return _matching(typed, [(model.name, model.slug) for model in _models(guild_id)])
    if options.focused == "sampler":
        chosen = _chosen_model(guild_id, options.values.get("model"))
        family = FAMILIES[chosen.family if chosen else DEFAULT_FAMILY]
        return _matching(typed, [(SAMPLERS[name].label, name) for name in family.samplers])
    if options.focused == "preset":
        return _matching(typed, [(name, name) for name in defaults.names(guild_id, interaction.user_id)])
    if options.focused == "size":
        return _matching(typed, [(size, size) for size in _sizes(guild_id, options.values.get("model"))])
    if options.focused == "lora":
        return _lora_choices(guild_id, typed, model=options.values.get("model"))
    return payloads.choices([])


def _lora_choices(guild_id: int, typed: str, *, model: object) -> dict[str, Any]:
    """Return choices that complete the last of the LoRAs typed so far, separated by commas."""
    before, _, last = typed.rpartition(",")
    before = before.strip().strip(",")
    taken = {choice.name.casefold() for choice in lora_selection.parse(before) or ()}
    if len(taken) >= lora_selection.MAX_LORAS:
        return payloads.choices([])
    chosen = _chosen_model(guild_id, model)
    family = chosen.lora_family if chosen else ""
    text = last.partition(":")[0].strip().casefold()
    pairs = []
    offered = Adapter.objects.filter(guild=guild_id, enabled=True).usable_in([guild_id])
    for lora in offered[:_MAX_ROWS]:
        if (family and lora.family and lora.family != family) or {lora.slug, lora.name.casefold()} & taken:
            continue
        if text in lora.name.casefold() or text in lora.slug:
            value = (
                f"{before}, {lora.slug}:{lora.default_weight:g}" if before else f"{lora.slug}:{lora.default_weight:g}"
            )
            # The words that it adds to the prompt, so that a member sees what the model will read.
            words = f" · {lora.trigger_words}" if lora.trigger_words else ""
            name = f"{lora.name} ({lora.default_weight:g}){words}"
            pairs.append((f"{before}, {name}" if before else name, value))
    return payloads.choices(pairs)


def _matching(typed: str, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    text = typed.strip().casefold()
    matches = {value: name for name, value in pairs if text in name.casefold() or text in value.casefold()}
    return payloads.choices([(name, value) for value, name in matches.items()])


def _models(guild_id: int) -> list[ModelProfile]:
    models = ModelProfile.objects.filter(enabled=True).order_by("-is_default", "name")
    offered = list(models.filter(guild=guild_id)[:_MAX_ROWS])
    return offered or list(models[:_MAX_ROWS])


def _chosen_model(guild_id: int, slug: object) -> ModelProfile | None:
    models = _models(guild_id)
    return next((known for known in models if known.slug == slug), models[0] if models else None)


def _sizes(guild_id: int, model: object) -> list[str]:
    selected = _chosen_model(guild_id, model)
    allowed = Guild.objects.filter(pk=guild_id).values_list("allowed_sizes", flat=True).first()
    return [size for size in selected.sizes if not allowed or size in allowed] if selected else []
