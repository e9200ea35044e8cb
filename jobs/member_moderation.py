"""What moderators do to members: warn, time out, ban, note. Each writes the mod log."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError
from discord_api.i18n import DEFAULT, translate
from discord_api.markdown import inline
from discord_api.payloads import Message
from guilds.models import Ban, Guild, MemberNote

from . import mod_log, moderation
from .models import Job

logger = logging.getLogger(__name__)
TIME_OUTS = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}
MAX_REASON = 200


def warn(guild: Guild, user_id: int, *, reason: str, by: str, now: datetime, client: DiscordClient) -> bool:
    """Record a warning and send it to the member. Return whether they got the message."""
    MemberNote.objects.create(
        guild=guild, user_id=user_id, kind=MemberNote.Kind.WARNING, text=reason, created_at=now, created_by=by[:100]
    )
    mod_log.record(guild.pk, mod_log.Kind.WARNING, now=now, user_id=user_id, by=by, reason=reason)
    newest = Job.objects.filter(guild=guild, user_id=user_id).order_by("-pk").values_list("locale", flat=True).first()
    locale = newest or guild.language or DEFAULT
    text = translate(locale, "warning.text", server=inline(str(guild), limit=100))
    if reason:
        text += f"\n{inline(reason, limit=MAX_REASON)}"
    try:
        client.create_message(client.open_dm(user_id), Message(content=text))
    except DiscordError as error:
        logger.info("warning_not_sent", extra={"guild_id": guild.pk, "status": error.status, "code": error.code})
        return False
    return True


def note(guild: Guild, user_id: int, *, text: str, by: str, now: datetime) -> None:
    """Store a note that only moderators read."""
    MemberNote.objects.create(
        guild=guild, user_id=user_id, kind=MemberNote.Kind.NOTE, text=text, created_at=now, created_by=by[:100]
    )


def ban(guild_id: int, user_id: int, *, until: datetime | None, reason: str, by: str, now: datetime) -> tuple[Ban, int]:
    """Keep a member from using Sparkle until a time (None: for good), and cancel their open requests.

    Return the ban and how many requests were cancelled. A ban in force is replaced, so that there is one to delete.
    """
    row = Ban.objects.filter(guild_id=guild_id, user_id=user_id).exclude(until__lte=now).first()
    row = row or Ban(guild_id=guild_id, user_id=user_id)
    row.until, row.reason, row.created_by = until, reason[:MAX_REASON], by[:100]
    row.save()  # Not an update(): the audit listens to the signal of save().
    return row, after_ban(row, by=by, now=now)


def after_ban(row: Ban, *, by: str, now: datetime) -> int:
    """Cancel the open requests of a member who was banned, and write the mod log. Return how many were cancelled."""
    if row.guild_id is not None:
        until = int(row.until.timestamp()) if row.until else None
        mod_log.record(
            row.guild_id, mod_log.Kind.BAN, now=now, user_id=row.user_id, by=by, reason=row.reason, until=until
        )
    return moderation.cancel_member_jobs(row.guild_id, row.user_id, by=by, now=now)
