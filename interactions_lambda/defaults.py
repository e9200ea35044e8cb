"""/sparkle-defaults: a member's own defaults and named presets in a server."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from discord_api import payloads
from guilds import lora_selection, preset_options
from guilds.models import Guild, ModelProfile, StylePreset
from guilds.policy import Refusal
from guilds.prompt_models import MAX_PRESET_NAME, MAX_PRESETS, MemberPreset
from jobs import admission_queries

from . import interaction as parsing
from . import responses, submission
from .interaction import Interaction

PRIVATE = "private"


def handle_command(interaction: Interaction, guild: Guild) -> dict[str, Any]:
    """Save the given options as the member's defaults, or as a preset; without options show what is saved."""
    locale = guild.language or interaction.locale
    options = parsing.options(interaction.data)
    name = preset_options.normalize_name(options.text("preset") or "")
    changes = _changes(guild, options)
    if isinstance(changes, Refusal):
        return responses.refusal(locale, changes)
    mine = MemberPreset.objects.filter(guild=guild, user_id=interaction.user_id)
    if changes:
        refusal = _check_name(mine, name)
        if refusal is not None:
            return responses.refusal(locale, refusal)
        MemberPreset.objects.update_or_create(
            guild=guild, user_id=interaction.user_id, name=name, defaults=changes, create_defaults=changes
        )
    elif name and not mine.filter(name=name).exists():
        return responses.refusal(locale, Refusal(code="preset_empty", params={"name": name}))
    return payloads.reply(responses.presets(locale, list(mine[: MAX_PRESETS + 1]), saved=name if changes else None))


def forget(interaction: Interaction) -> dict[str, Any]:
    """Delete the chosen preset, or the defaults where none is chosen, and update the list."""
    mine = MemberPreset.objects.filter(guild_id=interaction.required_guild_id, user_id=interaction.user_id)
    chosen = parsing.selected(interaction.data)
    if chosen is None:
        mine.filter(name="").delete()
    elif chosen.isascii() and chosen.isdigit() and len(chosen) < 19:
        mine.filter(pk=int(chosen)).delete()
    return payloads.update(responses.presets(submission.guild_locale(interaction), list(mine[: MAX_PRESETS + 1])))


def chosen_privacy(options: parsing.Options) -> bool | None:
    """Return the choice of an option "visibility", None if it was not given."""
    chosen = options.text("visibility")
    return None if chosen is None else chosen == PRIVATE


def names(guild_id: int, user_id: int) -> list[str]:
    """Return the names of the member's presets."""
    mine = MemberPreset.objects.filter(guild_id=guild_id, user_id=user_id).exclude(name="")
    return list(mine.values_list("name", flat=True)[:MAX_PRESETS])


def _check_name(mine: Any, name: str) -> Refusal | None:
    if len(name) > MAX_PRESET_NAME:
        return Refusal(code="preset_name_long", params={"limit": MAX_PRESET_NAME})
    if name and mine.exclude(name="").count() >= MAX_PRESETS and not mine.filter(name=name).exists():
        return Refusal(code="preset_limit", params={"limit": MAX_PRESETS})
    return None


def _changes(guild: Guild, options: parsing.Options) -> dict[str, Any] | Refusal:
    """Return the fields that the given options set, or why one of them cannot be saved."""
    models = _models(guild)
    model = options.text("model")
    if model is not None and model not in {known.slug for known in models}:
        return _out_of_range("model", [known.slug for known in models])
    style = options.text("style")
    if style is not None:
        styles = StylePreset.objects.filter(Q(guild=guild) | Q(guild=None), enabled=True)
        slugs = list(dict.fromkeys(styles.values_list("slug", flat=True)))
        if style not in slugs:
            return _out_of_range("style", slugs)
    size = submission.parse_size(options.text("size"))
    if isinstance(size, Refusal):
        return size
    offered = [
        size
        for known in models
        if model in (None, known.slug)
        for size in known.sizes
        if not guild.allowed_sizes or size in guild.allowed_sizes
    ]
    typed = f"{size[0]}x{size[1]}" if size else None
    if typed is not None and typed not in offered:
        return _out_of_range("size", list(dict.fromkeys(offered)))
    steps, count = options.integer("steps"), options.integer("count")
    if steps is not None and not 1 <= steps <= guild.max_steps:
        return _out_of_range("steps", [f"1-{guild.max_steps}"])
    if count is not None and not 1 <= count <= guild.max_images:
        return _out_of_range("count", [f"1-{guild.max_images}"])
    loras = _loras(guild, options.text("lora"))
    if isinstance(loras, Refusal):
        return loras
    fields = {
        "model": model,
        "style": style,
        "size": typed,
        "steps": steps,
        "count": count,
        "is_private": chosen_privacy(options),
        "loras": loras,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _loras(guild: Guild, typed: str | None) -> str | Refusal | None:
    """Return the LoRAs as they are stored, None if none were typed, or why one cannot be used."""
    if not typed:
        return None
    uses = lora_selection.choose(
        admission_queries.usable_loras(guild), typed=typed, in_prompt="", in_style="", family=""
    )
    if isinstance(uses, lora_selection.LoraProblem):
        return Refusal(code=uses.code, params=uses.params)
    return lora_selection.format_uses(uses)


def _models(guild: Guild) -> list[ModelProfile]:
    enabled = ModelProfile.objects.filter(enabled=True)
    return list(enabled.filter(guild=guild)) or list(enabled)


def _out_of_range(parameter: str, allowed: list[str]) -> Refusal:
    return Refusal(code="parameter_out_of_range", params={"parameter": parameter, "range": ", ".join(allowed) or "-"})
