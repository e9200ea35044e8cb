"""Responses other than a job's own messages: refusals, lists, rules, help. Reads nothing from the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from discord_api import payloads
from discord_api.custom_id import pack
from discord_api.i18n import has_translation, translate
from discord_api.markdown import code_block, inline
from discord_api.payloads import Message, Option, button, link_button, row, select
from guilds.features import FEATURES

if TYPE_CHECKING:
    from guilds.models import Guild
    from guilds.policy import Refusal
    from guilds.prompt_models import MemberPreset
    from guilds.quota import QuotaStatus
    from jobs.models import Job, JobImage
    from jobs.queries import Page

_BLURPLE = 0x5865F2
_MAX_URL = 2048
_VIEWS = {
    "zoom_out": "🔭",
    "zoom_out_far": "🔭",
    "pan_left": "⬅️",
    "pan_right": "➡️",
    "pan_up": "⬆️",
    "pan_down": "⬇️",
}


def ephemeral(locale: str, key: str, **params: object) -> dict[str, Any]:
    """Return the callback with one ephemeral message."""
    return payloads.reply(Message(content=translate(locale, key, **params), ephemeral=True))


def refusal(locale: str, refusal: Refusal) -> dict[str, Any]:
    """Return the callback with the ephemeral message of a refusal."""
    return payloads.reply(Message(content=refusal_text(locale, refusal), ephemeral=True))


def refusal_text(locale: str, refusal: Refusal) -> str:
    """Return the text of a refusal. It is general if the details are missing, as in a repeated delivery."""
    params = dict(refusal.params)
    try:
        key = _refusal_key(refusal.code, params, locale)
        return translate(locale, f"refusal.{key if has_translation(f'refusal.{key}') else 'other'}", **params)
    except (KeyError, IndexError):
        return translate(locale, "refusal.other")


def _refusal_key(code: str, params: dict[str, Any], locale: str) -> str:
    """Format `params` in place and return the key of the text for `code`."""
    if code == "channel_not_allowed":
        params["channels"] = " ".join(f"<#{channel}>" for channel in params["channels"])
    elif code == "role_required":
        params["roles"] = " ".join(f"<@&{role}>" for role in params["roles"])
    elif code == "banned":
        params["reason"] = inline(params["reason"] or "", limit=200)
        return "banned" if params["reason"] else "banned_unsaid"
    elif code == "option_not_used":
        params["model"] = inline(params["model"], limit=100)
    elif code == "term_blocked":
        params["term"] = inline(params["term"], limit=100)
    elif code == "nsfw_not_allowed":
        return "nsfw_never" if params.get("rule") == "never" else "nsfw_channel"
    elif code == "quota_exceeded":
        params["rule"] = _rule_name(locale, params["subject"], params["window"], params.get("role_id"))
        if params.get("channel_id"):
            params["rule"] += f" · <#{params['channel_id']}>"
        params["reset"] = f"<t:{params['resets_at']}:R>"
        for amount in ("used", "limit", "needed"):
            params[amount] = f"{params[amount]:g}"
        return f"quota_{params['metric']}"
    elif code == "feature_off":
        params["feature"] = translate(locale, f"feature.{params['feature']}")
    elif code in ("budget_spent", "cooldown"):
        params["reset"] = f"<t:{params['resets_at']}:R>"
    elif code == "maintenance":
        params["notice"] = inline(params.get("notice") or "", limit=300)
        return "maintenance_notice" if params["notice"] else "maintenance"
    elif code.startswith(("preset_", "default_", "prompt_list_")):
        params |= {name: inline(str(value), limit=100) for name, value in params.items()}
    elif code == "parameter_out_of_range":
        params["range"] = payloads.truncate(str(params["range"]), 600)
    return code


def _rule_name(locale: str, subject: str, window: str, role_id: int | None) -> str:
    return translate(locale, f"rule.{subject}", window=translate(locale, f"rule.{window}"), role=f"<@&{role_id}>")


def quota(locale: str, statuses: Sequence[QuotaStatus]) -> dict[str, Any]:
    """Return the callback that lists each rule that applies with its use, the rest and the reset."""
    if not statuses:
        return ephemeral(locale, "quota.none")
    fields = []
    for status in statuses[:25]:
        rule = status.rule
        if status.limit is None:
            value = translate(locale, "quota.unlimited", used=f"{status.used:g}")
        else:
            value = translate(
                locale,
                f"quota.{rule.metric}",
                used=f"{round(status.used, 1):g}",
                limit=f"{status.limit:g}",
                left=f"{round(status.left or 0, 1):g}",
                reset=f"<t:{int(status.resets_at.timestamp())}:R>",
            )
        window = translate(locale, f"rule.{rule.window}")
        if rule.channel_id is not None:
            value = f"<#{rule.channel_id}>\n{value}"
        # Discord renders no mentions in the name of a field.
        role = inline(rule.role_name, limit=100) or str(rule.role_id)
        fields.append(
            {
                "name": payloads.truncate(translate(locale, f"rule.{rule.subject}", window=window, role=role), 256),
                "value": value,
            }
        )
    return _embedded({"title": translate(locale, "quota.title"), "color": _BLURPLE, "fields": fields})


def history(locale: str, page: Page, *, url_of: Callable[[Job], str]) -> Message:
    """Return a page of the member's own requests. `url_of` returns the URL of a job's grid, or ""."""
    if not page.jobs:
        key = "history.end" if page.older or page.newer else "history.empty"
        return Message(content=translate(locale, key), ephemeral=True)
    embeds = []
    for job in page.jobs:
        when = int(job.created_at.timestamp())
        embed: dict[str, Any] = {
            "color": _BLURPLE,
            "description": f"**#{job.pk}** · {translate(locale, f'status.{job.status}')} · <t:{when}:R>\n"
            + code_block(job.prompt, limit=300),
        }
        url = url_of(job)
        if is_linkable(url):
            embed["thumbnail"] = {"url": url}
        embeds.append(embed)
    buttons = []
    if page.newer:
        buttons.append(button(pack("newer", page.jobs[0].pk), translate(locale, "button.newer"), emoji="◀️"))
    if page.older:
        buttons.append(button(pack("older", page.jobs[-1].pk), translate(locale, "button.older"), emoji="▶️"))
    options = tuple(
        Option(
            value=str(job.pk),
            label=f"#{job.pk} · {translate(locale, f'status.{job.status}')}",
            description=" ".join(job.prompt.split()),
        )
        for job in page.jobs
    )
    choose = row(select(pack("show", 0), options, placeholder=translate(locale, "history.show")))
    return Message(
        content=f"**{translate(locale, 'history.title')}**",
        embeds=tuple(embeds),
        components=(choose, row(*buttons)) if buttons else (choose,),
        ephemeral=True,
    )


def job_details(
    locale: str, job: Job, *, url: str, embed: dict[str, Any], buttons: Iterable[dict[str, Any]]
) -> Message:
    """Return one request with its images if they still exist."""
    when = int(job.created_at.timestamp())
    if is_linkable(url):
        embed["image"] = {"url": url}
    return Message(
        content=f"**#{job.pk}** · {translate(locale, f'status.{job.status}')} · <t:{when}:f>",
        embeds=(embed,),
        components=tuple(buttons),
        ephemeral=True,
    )


def who(locale: str, job: Job, *, embed: dict[str, Any]) -> dict[str, Any]:
    """Return the callback that says who made a request, and with what, and offers to make it again."""
    embed["fields"].append({"name": translate(locale, "field.model"), "value": inline(job.model.name, limit=100)})
    when = int(job.created_at.timestamp())
    content = translate(locale, "who.made", mention=f"<@{job.user_id}>", when=f"<t:{when}:f>")
    again = button(pack("repeat", job.pk), translate(locale, "button.repeat"), style=1, emoji="🔄")
    return payloads.reply(Message(content=content, embeds=(embed,), components=(row(again),), ephemeral=True))


def single_image(locale: str, job: Job, image: JobImage, *, url: str) -> dict[str, Any]:
    """Return the callback that shows one image of a job in full size, as a spoiler if the result was one."""
    item: dict[str, Any] = {
        "media": {"url": url},
        "description": payloads.truncate(job.prompt, payloads.MAX_ALT_TEXT),
    }
    if job.spoiler or image.blurred:
        item["spoiler"] = True
    title = translate(locale, "image.title", n=image.index + 1, request=f"#{job.pk}")
    content = f"**{title}** · {image.width}x{image.height} · {translate(locale, 'field.seed')} {image.seed}"
    return payloads.reply(
        Message(content=content, components=({"type": 12, "items": [item]},), is_layout=True, ephemeral=True)
    )


def areas(locale: str, job: Job, index: int, *, edit_url: str) -> dict[str, Any]:
    """Return the callback that offers to continue one image of a job beyond its edges, or to edit a part of it."""

    def view(name: str) -> dict[str, Any]:
        return button(pack(name, job.pk, index), translate(locale, f"view.{name}"), emoji=_VIEWS[name])

    rows = (
        row(*map(view, ("zoom_out", "zoom_out_far"))),
        row(*(view(name) for name in _VIEWS if name.startswith("pan"))),
        row(link_button(edit_url, translate(locale, "view.edit"))),
    )
    content = translate(locale, "view.title", n=index + 1, request=f"#{job.pk}")
    return payloads.reply(Message(content=content, components=rows, ephemeral=True))


def is_linkable(url: str) -> bool:
    """Return whether Discord can show the file of this URL."""
    return url.startswith(("http://", "https://")) and len(url) <= _MAX_URL


def settings_embed(locale: str, guild: Guild, *, rules: Sequence[Any], models: Sequence[str]) -> dict[str, Any]:
    """Return the embed that shows a guild's settings."""

    def label(key: str, **params: object) -> str:
        return translate(locale, f"settings.{key}", **params)

    quotas = [_rule_line(locale, rule) for rule in rules[:10]]
    budget = guild.monthly_budget_gpu_seconds
    settings_shown: list[tuple[str, str]] = [
        ("enabled", label("on") if guild.enabled else label("off")),
        ("channels", " ".join(f"<#{channel_id}>" for channel_id in guild.allowed_channel_ids[:20]) or label("all")),
        ("roles", " ".join(f"<@&{role_id}>" for role_id in guild.allowed_role_ids[:20]) or label("all")),
        ("line", f"{guild.concurrency} / {guild.max_waiting} / {guild.max_waiting_per_member}"),
        ("images", str(guild.max_images)),
        ("steps", str(guild.max_steps)),
        ("sizes", ", ".join(guild.allowed_sizes) or label("all")),
        ("models", inline(", ".join(models), limit=500) or label("all")),
        ("nsfw", label(f"nsfw_{guild.nsfw_rule}")),
        ("results", label("ephemeral") if guild.results_ephemeral else label("public")),
        ("switched_off", ", ".join(translate(locale, f"feature.{each}") for each in _known(guild)) or label("none")),
        ("cooldown", label("seconds", n=guild.cooldown_s) if guild.cooldown_s else label("none")),
        ("speed", translate(locale, f"choice.speed.{guild.default_speed}")),
        ("patience", label("hours", n=guild.relaxed_patience_hours)),
        ("over_quota", label("over_quota_on") if guild.relaxed_over_quota else label("over_quota_off")),
        ("mod_log", f"<#{guild.mod_log_channel_id}>" if guild.mod_log_channel_id else label("none")),
        ("language", guild.get_language_display() if guild.language else label("each_member")),
        ("time_zone", guild.time_zone),
        ("budget", label("none") if budget is None else label("gpu_seconds", n=budget)),
        ("quotas", "\n".join(quotas) or label("none")),
    ]
    fields = [
        {
            "name": label(key),
            "value": payloads.truncate(value, 1024),
            "inline": key not in ("channels", "roles", "quotas", "switched_off"),
        }
        for key, value in settings_shown
    ]
    return {"title": label("title"), "color": _BLURPLE, "fields": fields}


def feature_name(locale: str, feature: str) -> str:
    """Return the name of a feature at the beginning of a line."""
    name = translate(locale, f"feature.{feature}")
    return name[:1].upper() + name[1:]


def _known(guild: Guild) -> list[str]:
    return [feature for feature in FEATURES if feature in guild.switched_off]


def _rule_line(locale: str, rule: Any) -> str:
    who = f"<@&{rule.role_id}>" if rule.subject == "role" else translate(locale, f"settings.rule_{rule.subject}")
    if rule.channel_id is not None:
        who += f" · <#{rule.channel_id}>"
    if rule.limit is None:
        return f"{who}: {translate(locale, 'settings.rule_unlimited')}"
    window = translate(locale, f"rule.{rule.window}")
    return f"{who}: {translate(locale, f'settings.rule_{rule.metric}', limit=rule.limit, window=window)}"


def presets(locale: str, saved_presets: Sequence[MemberPreset], *, saved: str | None = None) -> Message:
    """Return the member's defaults and presets, to delete. `saved` is the name of the one that was saved, "" for the
    defaults."""
    named = [preset for preset in saved_presets if preset.name]
    own = next((preset for preset in saved_presets if not preset.name), None)
    lines = []
    if saved is not None:
        key = "presets.saved" if saved else "presets.defaults_saved"
        lines.append(translate(locale, key, name=inline(saved, limit=50)))
    lines.append(f"**{translate(locale, 'presets.defaults')}**: {_preset_line(locale, own)}")
    lines += [f"**{inline(preset.name, limit=50)}**: {_preset_line(locale, preset)}" for preset in named]
    lines.append(f"-# {translate(locale, 'presets.hint')}")
    rows = []
    if named:
        options = tuple(Option(value=str(preset.pk), label=preset.name) for preset in named)
        rows.append(row(select(pack("forget", 0), options, placeholder=translate(locale, "presets.delete"))))
    if own is not None:
        rows.append(row(button(pack("forget_defaults", 0), translate(locale, "presets.reset"), emoji="🗑️")))
    description = payloads.truncate("\n".join(lines), 4000)
    embed = {"title": translate(locale, "presets.title"), "color": _BLURPLE, "description": description}
    return Message(embeds=(embed,), components=tuple(rows), ephemeral=True)


def _preset_line(locale: str, preset: MemberPreset | None) -> str:
    if preset is None:
        return translate(locale, "settings.none")
    values = [
        ("model", inline(preset.model, limit=60)),
        ("style", inline(preset.style, limit=60)),
        ("size", preset.size),
        ("steps", str(preset.steps or "")),
        ("count", str(preset.count or "")),
        ("lora", inline(preset.loras.replace(",", ", "), limit=100)),
    ]
    shown = [f"{translate(locale, f'field.{name}')} {value}" for name, value in values if value]
    if preset.is_private is not None:
        shown.append(
            translate(locale, "choice.visibility.private" if preset.is_private else "choice.visibility.public")
        )
    return " · ".join(shown) or translate(locale, "settings.none")


def help_(locale: str, *, days: int) -> dict[str, Any]:
    """Return the callback with the help text."""
    body = translate(locale, "help.body", days=days)
    return _embedded({"title": translate(locale, "help.title"), "color": _BLURPLE, "description": body.strip()})


def _embedded(embed: Mapping[str, Any], *rows: dict[str, Any]) -> dict[str, Any]:
    return payloads.reply(Message(embeds=(dict(embed),), components=rows, ephemeral=True))
