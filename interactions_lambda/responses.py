"""What a member is told beside a job's own messages: refusals, lists, rules, help. Builds messages, reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from discord_api import payloads
from discord_api.custom_id import pack
from discord_api.i18n import has_translation, translate
from discord_api.markdown import code_block, inline
from discord_api.payloads import Message, button, link_button, row

if TYPE_CHECKING:
    from guilds.models import Guild
    from guilds.policy import Refusal
    from guilds.quota import QuotaStatus
    from jobs.models import Job
    from jobs.queries import Page

_BLURPLE = 0x5865F2
_MAX_URL = 2048


def ephemeral(locale: str, key: str, **params: object) -> dict[str, Any]:
    """Return the callback that tells one sentence to the member alone."""
    return payloads.reply(Message(content=translate(locale, key, **params), ephemeral=True))


def refusal(locale: str, refusal: Refusal) -> dict[str, Any]:
    """Return the callback that tells the member alone why not, and what to do next."""
    return payloads.reply(Message(content=refusal_text(locale, refusal), ephemeral=True))


def refusal_text(locale: str, refusal: Refusal) -> str:
    """Return the sentence of a refusal. One whose facts are gone (a repeated delivery) is told in general words."""
    params = dict(refusal.params)
    try:
        key = _refusal_key(refusal.code, params, locale)
        return translate(locale, f"refusal.{key if has_translation(f'refusal.{key}') else 'other'}", **params)
    except (KeyError, IndexError):
        return translate(locale, "refusal.other")


def _refusal_key(code: str, params: dict[str, Any], locale: str) -> str:
    """Make `params` fit to be shown, in place, and return which sentence tells `code`."""
    if code == "channel_not_allowed":
        params["channels"] = " ".join(f"<#{channel}>" for channel in params["channels"])
    elif code == "role_required":
        params["roles"] = " ".join(f"<@&{role}>" for role in params["roles"])
    elif code == "banned":
        params["reason"] = inline(params["reason"] or "", limit=200)
        return "banned" if params["reason"] else "banned_unsaid"
    elif code == "term_blocked":
        params["term"] = inline(params["term"], limit=100)
    elif code == "nsfw_not_allowed":
        return "nsfw_never" if params.get("rule") == "never" else "nsfw_channel"
    elif code == "quota_exceeded":
        params["rule"] = _rule_name(locale, params["subject"], params["window"], params.get("role_id"))
        params["reset"] = f"<t:{params['resets_at']}:R>"
        for amount in ("used", "limit", "needed"):
            params[amount] = f"{params[amount]:g}"
        return f"quota_{params['metric']}"
    elif code == "budget_spent":
        params["reset"] = f"<t:{params['resets_at']}:R>"
    elif code == "maintenance":
        params["notice"] = inline(params.get("notice") or "", limit=300)
        return "maintenance_notice" if params["notice"] else "maintenance"
    elif code == "parameter_out_of_range":
        params["range"] = payloads.truncate(str(params["range"]), 600)
    return code


def _rule_name(locale: str, subject: str, window: str, role_id: int | None) -> str:
    return translate(locale, f"rule.{subject}", window=translate(locale, f"rule.{window}"), role=f"<@&{role_id}>")


def quota(locale: str, standings: Sequence[QuotaStatus]) -> dict[str, Any]:
    """Return the callback that names each rule that applies, used and left, and its reset."""
    if not standings:
        return ephemeral(locale, "quota.none")
    fields = []
    for each in standings[:25]:
        rule = each.rule
        if each.limit is None:
            value = translate(locale, "quota.unlimited", used=f"{each.used:g}")
        else:
            value = translate(
                locale,
                f"quota.{rule.metric}",
                used=f"{round(each.used, 1):g}",
                limit=f"{each.limit:g}",
                left=f"{round(each.left or 0, 1):g}",
                reset=f"<t:{int(each.resets_at.timestamp())}:R>",
            )
        window = translate(locale, f"rule.{rule.window}")
        # The name of a field shows no mentions, so a role is told by its name.
        role = inline(rule.role_name, limit=100) or str(rule.role_id)
        fields.append(
            {
                "name": payloads.truncate(translate(locale, f"rule.{rule.subject}", window=window, role=role), 256),
                "value": value,
            }
        )
    return _embedded({"title": translate(locale, "quota.title"), "color": _BLURPLE, "fields": fields})


def history(locale: str, page: Page, *, url_of: Callable[[Job], str]) -> Message:
    """Return a page of a member's own requests with thumbnails; `url_of` gives a grid's address, or ""."""
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
        if _linkable(url):
            embed["thumbnail"] = {"url": url}
        embeds.append(embed)
    buttons = []
    if page.newer:
        buttons.append(button(pack("newer", page.jobs[0].pk), translate(locale, "button.newer"), emoji="◀️"))
    if page.older:
        buttons.append(button(pack("older", page.jobs[-1].pk), translate(locale, "button.older"), emoji="▶️"))
    return Message(
        content=f"**{translate(locale, 'history.title')}**",
        embeds=tuple(embeds),
        components=(row(*buttons),) if buttons else (),
        ephemeral=True,
    )


def shown(locale: str, job: Job, *, url: str, embed: dict[str, Any], buttons: Iterable[dict[str, Any]]) -> Message:
    """Return one request again, with its pictures where they are still kept."""
    when = int(job.created_at.timestamp())
    if _linkable(url):
        embed["image"] = {"url": url}
    return Message(
        content=f"**#{job.pk}** · {translate(locale, f'status.{job.status}')} · <t:{when}:f>",
        embeds=(embed,),
        components=tuple(buttons),
        ephemeral=True,
    )


def _linkable(url: str) -> bool:
    return url.startswith(("http://", "https://")) and len(url) <= _MAX_URL


def settings(
    locale: str, guild: Guild, *, rules: Sequence[Any], models: Sequence[str], admin_url: str
) -> dict[str, Any]:
    """Return the callback that shows a guild's rules with a link to where they are changed."""

    def word(key: str, **params: object) -> str:
        return translate(locale, f"settings.{key}", **params)

    quotas = [_rule_line(locale, rule) for rule in rules[:10]]
    budget = guild.monthly_budget_gpu_seconds
    facts: list[tuple[str, str]] = [
        ("enabled", word("on") if guild.enabled else word("off")),
        ("channels", " ".join(f"<#{each}>" for each in guild.allowed_channel_ids[:20]) or word("all")),
        ("roles", " ".join(f"<@&{each}>" for each in guild.allowed_role_ids[:20]) or word("all")),
        ("line", f"{guild.concurrency} / {guild.max_waiting} / {guild.max_waiting_per_member}"),
        ("pictures", str(guild.max_pictures)),
        ("steps", str(guild.max_steps)),
        ("sizes", ", ".join(guild.allowed_sizes) or word("all")),
        ("models", inline(", ".join(models), limit=500) or word("all")),
        ("nsfw", word(f"nsfw_{guild.nsfw_rule}")),
        ("results", word("ephemeral") if guild.results_ephemeral else word("public")),
        ("language", guild.get_language_display() if guild.language else word("each_member")),
        ("time_zone", guild.time_zone),
        ("budget", word("none") if budget is None else word("gpu_seconds", n=budget)),
        ("quotas", "\n".join(quotas) or word("none")),
    ]
    fields = [
        {
            "name": word(key),
            "value": payloads.truncate(value, 1024),
            "inline": key not in ("channels", "roles", "quotas"),
        }
        for key, value in facts
    ]
    embed = {"title": word("title"), "color": _BLURPLE, "fields": fields}
    return _embedded(embed, row(link_button(admin_url, translate(locale, "button.manage"))))


def _rule_line(locale: str, rule: Any) -> str:
    who = f"<@&{rule.role_id}>" if rule.subject == "role" else translate(locale, f"settings.rule_{rule.subject}")
    if rule.limit is None:
        return f"{who}: {translate(locale, 'settings.rule_unlimited')}"
    window = translate(locale, f"rule.{rule.window}")
    return f"{who}: {translate(locale, f'settings.rule_{rule.metric}', limit=rule.limit, window=window)}"


def help_(locale: str, *, days: int) -> dict[str, Any]:
    """Return the callback that says what Sparkle can do."""
    body = translate(locale, "help.body", days=days)
    return _embedded({"title": translate(locale, "help.title"), "color": _BLURPLE, "description": body.strip()})


def _embedded(embed: Mapping[str, Any], *rows: dict[str, Any]) -> dict[str, Any]:
    return payloads.reply(Message(embeds=(dict(embed),), components=rows, ephemeral=True))
