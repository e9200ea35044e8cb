"""`/sparkle-settings`: a panel of selects, buttons and a modal, and the set-up that asks the same in five steps.

Custom ids are `g1:<action>`: what they change is the guild of the interaction, so they hold no id.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings

from discord_api import custom_id, payloads, role_and_channel_selects, snowflakes
from discord_api.i18n import translate
from discord_api.payloads import Message, Option, TextInput, button, link_button, row
from discord_api.permissions import can_manage_guild
from guilds import directory, settings_changes
from guilds.features import FEATURES
from guilds.models import LANGUAGES, MAX_PATIENCE_HOURS, Guild, QuotaRule
from guilds.settings_changes import Invalid

from . import interaction as parsing
from . import responses
from .interaction import Interaction

PREFIX = custom_id.SETTINGS_PREFIX
STEPS = ("channels", "roles", "limits", "nsfw", "language")
# Without media channels (16): Discord's own schema of a select does not have them.
_CHANNEL_KINDS = (directory.WRITABLE | {directory.CATEGORY}) - {16}
# The value of a select cannot be empty.
EACH = "each"
_MAX_DIGITS = 9
# Offered as the longest wait of a relaxed request.
_HOURS = (1, 2, 3, 6, 12, 24)
_HOUR_CHOICES = frozenset(map(str, range(1, MAX_PATIENCE_HOURS + 1)))
# The numbers in the form of limits, each with the key of its name.
_NUMBERS = {"max_images": "settings.images", "max_steps": "settings.steps", "cooldown_s": "panel.cooldown"}


def show(interaction: Interaction, guild: Guild) -> dict[str, Any]:
    """Return the panel, or the first step of the set-up in a guild that was never set up."""
    if not can_manage_guild(interaction.permissions):
        return responses.ephemeral(interaction.locale, "refusal.moderators_only")
    return payloads.reply(_step(interaction, guild, 0) if _is_new(guild) else _panel(interaction, guild))


def _is_new(guild: Guild) -> bool:
    """Return whether nobody has set up the guild, neither here nor in the admin."""
    touched = guild.set_up_at or guild.allowed_channel_ids or guild.allowed_role_ids or guild.language
    return not touched and not QuotaRule.objects.filter(guild=guild).exists()


def handle(interaction: Interaction, guild: Guild, *, now: datetime) -> dict[str, Any]:
    """Apply what a component or the modal of the panel says, and show the panel or the next step."""
    locale = interaction.locale
    if not can_manage_guild(interaction.permissions):
        return responses.ephemeral(locale, "refusal.moderators_only")
    action, _, step = str(interaction.data.get("custom_id")).removeprefix(PREFIX).partition(":")
    if action == "limits_form":
        return _limits_form(locale, guild, step)
    act = _ACTIONS.get(action)
    if act is None:
        return responses.ephemeral(locale, "refusal.unknown_interaction")
    invalid = act(interaction, guild, now)
    if invalid is not None:
        return responses.ephemeral(locale, "panel.invalid", problem=_problem(locale, invalid))
    guild.refresh_from_db()
    if step.isdigit() and len(step) == 1:
        return payloads.update(_step(interaction, guild, int(step)))
    return payloads.update(_more(interaction, guild) if action in _ON_SECOND_PAGE else _panel(interaction, guild))


# What is shown.


def _panel(interaction: Interaction, guild: Guild) -> Message:
    locale = interaction.locale
    label = _labels(locale)
    buttons = (
        button(f"{PREFIX}enabled", label("pause" if guild.enabled else "resume"), style=4 if guild.enabled else 3),
        button(f"{PREFIX}more", label("more")),
        button(f"{PREFIX}limits_form", label("limits")),
        button(f"{PREFIX}setup:0", label("set_up")),
        link_button(admin_url(guild), translate(locale, "button.manage")),
    )
    rows = (
        *(row(_control(locale, guild, name, "")) for name in ("channels", "roles", "nsfw", "language")),
        row(*buttons),
    )
    return Message(embeds=(_embed(locale, guild),), components=rows, ephemeral=True)


def _more(interaction: Interaction, guild: Guild) -> Message:
    """Return the second page of the panel: what does not fit on the first."""
    locale, label = interaction.locale, _labels(interaction.locale)
    over_quota = "over_quota_off" if guild.relaxed_over_quota else "over_quota_on"
    buttons = (
        button(f"{PREFIX}panel", label("main"), emoji="◀️"),
        button(f"{PREFIX}private", label("make_public" if guild.results_ephemeral else "make_private")),
        button(f"{PREFIX}over_quota", label(over_quota)),
        link_button(admin_url(guild), translate(locale, "button.manage")),
    )
    names = ("features", "mod_log", "speed", "patience")
    rows = (*(row(_control(locale, guild, name, "")) for name in names), row(*buttons))
    return Message(embeds=(_embed(locale, guild),), components=rows, ephemeral=True)


def _embed(locale: str, guild: Guild) -> dict[str, Any]:
    rules = QuotaRule.objects.filter(guild=guild).order_by("subject", "metric", "window", "pk")[:10]
    models = list(guild.models_offered.values_list("name", flat=True))
    return responses.settings_embed(locale, guild, rules=list(rules), models=models)


def _step(interaction: Interaction, guild: Guild, step: int) -> Message:
    """Return a step of the set-up; after the last one, what was set."""
    locale = interaction.locale
    label = _labels(locale)
    if step >= len(STEPS):
        done = button(f"{PREFIX}panel", label("all_settings"))
        text = f"**{label('set_up_done')}**\n{label('try_it')}"
        return Message(
            content=text,
            components=(row(done, link_button(admin_url(guild), translate(locale, "button.manage"))),),
            ephemeral=True,
        )
    name = STEPS[step]
    text = f"**{label('set_up_title')} · {step + 1}/{len(STEPS)}**\n{label(f'ask_{name}')}"
    following = f":{step + 1}"
    controls = [] if name == "limits" else [row(_control(locale, guild, name, f":{step}"))]
    if name == "limits":
        controls = [row(button(f"{PREFIX}limits_form:{step}", label("limits"), style=1))]
        text += f"\n{_limits_text(locale, guild)}"
    moves = [button(f"{PREFIX}{'finish' if step + 1 == len(STEPS) else 'setup'}{following}", label("next"), style=3)]
    if step:
        moves.insert(0, button(f"{PREFIX}setup:{step - 1}", label("back")))
    return Message(content=text, components=(*controls, row(*moves)), ephemeral=True)


def _labels(locale: str) -> Callable[[str], str]:
    return lambda key: translate(locale, f"panel.{key}")


def _control(locale: str, guild: Guild, name: str, step: str) -> dict[str, Any]:
    here, label = f"{PREFIX}{name}{step}", _labels(locale)
    if name == "channels":
        chosen, kinds = guild.allowed_channel_ids, _CHANNEL_KINDS
        return role_and_channel_selects.channel_select(here, chosen, kinds=kinds, placeholder=label("all_channels"))
    if name == "roles":
        return role_and_channel_selects.role_select(here, guild.allowed_role_ids, placeholder=label("everyone"))
    if name == "mod_log":
        log = [guild.mod_log_channel_id] if guild.mod_log_channel_id else []
        return role_and_channel_selects.channel_select(
            here, log, kinds=directory.LOGGABLE, most=1, placeholder=label("no_mod_log")
        )
    if name == "features":
        options = tuple(
            Option(value=code, label=responses.feature_name(locale, code), is_default=code not in guild.switched_off)
            for code in FEATURES
        )
        return payloads.select(here, options, placeholder=label("features"), any_number=True)
    if name == "speed":
        speeds = [(speed, translate(locale, f"choice.speed.{speed}")) for speed in Guild.Speed.values]
        return _choices(here, label("speed"), speeds, chosen=guild.default_speed)
    if name == "patience":
        return _hours(here, guild, label=lambda hours: translate(locale, "panel.patience", n=hours))
    if name == "nsfw":
        rules = [(rule, translate(locale, f"settings.nsfw_{rule}")) for rule in Guild.Nsfw.values]
        return _choices(here, translate(locale, "settings.nsfw"), rules, chosen=guild.nsfw_rule)
    own = translate(locale, "settings.each_member")
    languages = [(code or EACH, text if code else own) for code, text in LANGUAGES]
    return _choices(here, translate(locale, "settings.language"), languages, chosen=guild.language or EACH)


def _choices(custom_id: str, title: str, choices: list[tuple[str, str]], *, chosen: str) -> dict[str, Any]:
    # A select in a message has no label, so each choice begins with the setting's name.
    options = tuple(
        Option(value=value, label=f"{title}: {label}", is_default=value == chosen) for value, label in choices
    )
    return payloads.select(custom_id, options, placeholder=title)


def _hours(custom_id: str, guild: Guild, *, label: Callable[[int], str]) -> dict[str, Any]:
    chosen = guild.relaxed_patience_hours
    options = (Option(value=str(n), label=label(n), is_default=n == chosen) for n in sorted({*_HOURS, chosen}))
    return payloads.select(custom_id, tuple(options))


def _limits_text(locale: str, guild: Guild) -> str:
    lines = []
    for subject in settings_changes.QUICK_RULES:
        limit = settings_changes.read_daily_limit(guild.pk, subject)
        who = translate(locale, f"settings.rule_{subject}")
        window = translate(locale, "rule.day")
        what = translate(locale, "settings.rule_unlimited")
        if limit is not None:
            what = translate(locale, "settings.rule_images", limit=limit, window=window)
        lines.append(f"{who}: {what}")
    return "\n".join(lines)


def _limits_form(locale: str, guild: Guild, step: str) -> dict[str, Any]:
    label = _labels(locale)
    fields = []
    for subject in settings_changes.QUICK_RULES:
        limit = settings_changes.read_daily_limit(guild.pk, subject)
        value = "" if limit is None else str(limit)
        fields.append(
            TextInput(custom_id=subject, label=label(f"per_day_{subject}"), value=value, max_length=_MAX_DIGITS)
        )
    for name, key in _NUMBERS.items():
        value = str(getattr(guild, name))
        fields.append(
            TextInput(custom_id=name, label=translate(locale, key), value=value, required=True, max_length=_MAX_DIGITS)
        )
    return payloads.modal(f"{PREFIX}limits" + (f":{step}" if step else ""), label("limits_title"), tuple(fields))


def admin_url(guild: Guild) -> str:
    """Return the address of the server's page in the admin."""
    return f"{settings.SITE_URL}/admin/guilds/guild/{guild.pk}/change/"


# What is changed.


def _chosen(interaction: Interaction) -> list[str]:
    values = interaction.data.get("values")
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _chosen_ids(interaction: Interaction) -> list[int]:
    return [pk for value in _chosen(interaction) if (pk := snowflakes.parse(value)) is not None]


def _change(interaction: Interaction, guild: Guild, now: datetime, **fields: Any) -> Invalid | None:
    return settings_changes.change(guild.pk, fields, user_id=interaction.user_id, now=now)


def _set_channels(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    return _change(interaction, guild, now, allowed_channel_ids=_chosen_ids(interaction))


def _set_roles(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    return _change(interaction, guild, now, allowed_role_ids=_chosen_ids(interaction))


def _set_nsfw(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    return _change(interaction, guild, now, nsfw_rule=next(iter(_chosen(interaction)), ""))


def _set_language(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    code = next(iter(_chosen(interaction)), "")
    return _change(interaction, guild, now, language="" if code == EACH else code)


def _switch(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    return _change(interaction, guild, now, enabled=not guild.enabled)


def _switch_private(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    return _change(interaction, guild, now, results_ephemeral=not guild.results_ephemeral)


def _set_features(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    chosen = _chosen(interaction)
    # What only a newer version of this function knows stays as it is.
    off = [feature for feature in guild.switched_off if feature not in FEATURES]
    off += [feature for feature in FEATURES if feature not in chosen]
    return _change(interaction, guild, now, switched_off=off)


def _set_mod_log(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    return _change(interaction, guild, now, mod_log_channel_id=next(iter(_chosen_ids(interaction)), None))


def _set_speed(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    return _change(interaction, guild, now, default_speed=next(iter(_chosen(interaction)), ""))


def _set_patience(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    hours = next(iter(_chosen(interaction)), "")
    return _change(interaction, guild, now, relaxed_patience_hours=int(hours) if hours in _HOUR_CHOICES else 0)


def _switch_over_quota(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    return _change(interaction, guild, now, relaxed_over_quota=not guild.relaxed_over_quota)


def _set_limits(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    typed = parsing.text_inputs(interaction.data)
    numbers: dict[str, int | None] = {}
    for name in (*settings_changes.QUICK_RULES, *_NUMBERS):
        text = typed.get(name, "")
        if text and not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
            return Invalid(field=name)
        numbers[name] = int(text) if text else None
    fields = {name: numbers[name] for name in _NUMBERS if numbers[name] is not None}
    if invalid := _change(interaction, guild, now, **fields):
        return invalid
    for subject in settings_changes.QUICK_RULES:
        limit = numbers[subject]
        if invalid := settings_changes.set_daily_limit(guild.pk, subject, limit, user_id=interaction.user_id, now=now):
            return invalid
    return None


def _finish(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    Guild.objects.filter(pk=guild.pk).update(set_up_at=now)
    return None


def _nothing(interaction: Interaction, guild: Guild, now: datetime) -> Invalid | None:
    return None


_ACTIONS: dict[str, Callable[[Interaction, Guild, datetime], Invalid | None]] = {
    "channels": _set_channels,
    "roles": _set_roles,
    "nsfw": _set_nsfw,
    "language": _set_language,
    "enabled": _switch,
    "private": _switch_private,
    "limits": _set_limits,
    "more": _nothing,
    "features": _set_features,
    "mod_log": _set_mod_log,
    "speed": _set_speed,
    "patience": _set_patience,
    "over_quota": _switch_over_quota,
    "setup": _nothing,
    "finish": _finish,
    "panel": _nothing,
}


_ON_SECOND_PAGE = frozenset({"more", "private", "features", "mod_log", "speed", "patience", "over_quota"})


def _problem(locale: str, invalid: Invalid) -> str:
    name = translate(locale, _NUMBERS[invalid.field]) if invalid.field in _NUMBERS else ""
    if invalid.field in settings_changes.QUICK_RULES or invalid.field == "limit":
        name = translate(locale, "settings.quotas")
    if invalid.low is not None and invalid.high is not None:
        return translate(locale, "panel.from_to", name=name or invalid.field, low=invalid.low, high=invalid.high)
    if invalid.detail and not name:
        return translate(locale, "panel.not_on_list")
    return invalid.detail or translate(locale, "panel.whole_number", name=name)
