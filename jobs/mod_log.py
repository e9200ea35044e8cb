"""The mod-log channel: entries are written with the event and posted by upkeep within a minute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError
from discord_api.i18n import DEFAULT, translate
from discord_api.markdown import inline
from discord_api.payloads import Message, link_button, row
from guilds.models import Guild, ModLogEntry
from guilds.policy import Refusal

Kind = ModLogEntry.Kind
# More than this in one minute is summed up.
MAX_LINES = 15
# What could not be posted by then is in the admin.
KEPT_FOR = timedelta(hours=12)
_MAX_REASON = 150
_LIMITS = frozenset({"quota_exceeded", "budget_spent"})


def record(guild_id: int, kind: Kind, *, now: datetime, key: str | None = None, **detail: object) -> None:
    """Note an event if the guild has a mod-log channel. A second event with the same `key` is ignored."""
    if Guild.objects.filter(pk=guild_id, mod_log_channel_id__isnull=False).exists():
        entry = ModLogEntry(guild_id=guild_id, kind=kind, at=now, key=key, detail=detail)
        ModLogEntry.objects.bulk_create([entry], ignore_conflicts=True)


def record_limit_reached(guild: Guild, refusal: Refusal, *, user_id: int, now: datetime) -> None:
    """Note that a limit was reached: once per window for the guild or a member."""
    if refusal.code not in _LIMITS or guild.mod_log_channel_id is None:
        return
    params = refusal.params
    subject = str(params.get("subject", "guild"))
    who = None if subject == "guild" else user_id
    key = f"{guild.pk}:{who or 0}:{params.get('metric', 'budget')}:{params.get('window', '')}:{params.get('resets_at')}"
    if params.get("channel_id"):
        key += f":{params['channel_id']}"
    record(
        guild.pk,
        Kind.LIMIT,
        now=now,
        key=key[:120],
        user_id=who,
        metric=params.get("metric", "budget"),
        window=params.get("window", ""),
        channel_id=params.get("channel_id"),
        limit=params.get("limit"),
        resets_at=params.get("resets_at"),
    )


def post(guild: Guild, entries: Sequence[ModLogEntry], *, client: DiscordClient, now: datetime) -> bool:
    """Post the entries as one message. False if Discord refuses them for good; the entries are done either way.

    Raises DiscordError that another attempt can solve.
    """
    ids = [entry.pk for entry in entries]
    try:
        if guild.mod_log_channel_id is not None:
            client.for_guild(guild.pk).create_message(guild.mod_log_channel_id, message(guild, entries))
        posted = True
    except DiscordError as error:
        if not error.permanent:
            raise
        posted = False
    ModLogEntry.objects.filter(pk__in=ids).update(posted_at=now)
    return posted


def message(guild: Guild, entries: Sequence[ModLogEntry]) -> Message:
    """Return the message with a line for each entry, oldest first. Mentions show names and notify nobody."""
    locale = guild.language or DEFAULT
    lines = [_line(locale, entry) for entry in entries[:MAX_LINES]]
    if len(entries) > MAX_LINES:
        lines.append(translate(locale, "mod_log.more", n=len(entries) - MAX_LINES))
    reports = any(entry.kind == Kind.REPORT for entry in entries)
    button = link_button(f"{settings.SITE_URL}/admin/reports/", translate(locale, "mod_log.open_reports"))
    # The channel must not show the same entries twice after a lost answer.
    nonce = f"modlog{entries[0].pk}"[:25]
    return Message(content="\n".join(lines), components=(row(button),) if reports else (), nonce=nonce)


def _line(locale: str, entry: ModLogEntry) -> str:
    detail: dict[str, Any] = entry.detail
    user_id = detail.get("user_id")
    params: dict[str, object] = {
        "member": f"<@{user_id}>" if user_id else translate(locale, "mod_log.a_member"),
        "by": _actor(locale, detail.get("by")),
        "id": f"#{detail.get('job_id')}",
        "n": detail.get("images", 1),
        "limit": detail.get("limit"),
    }
    if entry.kind == Kind.LIMIT:
        line = _limit_line(locale, detail, params)
    elif entry.kind == Kind.BAN and detail.get("until"):
        line = translate(locale, "mod_log.ban_until", **params, until=f"<t:{detail['until']}:f>")
    else:
        line = translate(locale, f"mod_log.{entry.kind}", **params)
    reason = str(detail.get("reason") or "")
    return f"<t:{int(entry.at.timestamp())}:t> {line}" + (f" {inline(reason, limit=_MAX_REASON)}" if reason else "")


def _limit_line(locale: str, detail: dict[str, Any], params: dict[str, object]) -> str:
    resets = f"<t:{detail.get('resets_at')}:R>"
    if detail.get("metric") == "budget":
        return translate(locale, "mod_log.limit_budget", **params, resets=resets)
    window = translate(locale, f"rule.{detail.get('window')}")
    what = translate(locale, f"settings.rule_{detail.get('metric')}", limit=detail.get("limit"), window=window)
    if detail.get("channel_id"):
        what += f" · <#{detail['channel_id']}>"
    key = "mod_log.limit_member" if detail.get("user_id") else "mod_log.limit_guild"
    return translate(locale, key, **params, rule=what, resets=resets)


def _actor(locale: str, by: object) -> str:
    """Return a mention of a Discord account. An operator's name is for operators alone."""
    snowflake = str(by or "").removeprefix("discord-")
    return f"<@{snowflake}>" if snowflake.isascii() and snowflake.isdigit() else translate(locale, "mod_log.operators")
