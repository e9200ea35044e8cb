"""The guilds that the bot is in: from webhook events, and from the bot's guild list."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from discord_api import snowflakes

from .models import Guild

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """How many guilds were new, returned and left."""

    joined: int
    returned: int
    left: int


def install(guild: Mapping[str, Any], now: datetime) -> Guild:
    """Create the guild's row, or mark it as installed again and keep its settings.

    `guild` is Discord's object; absent fields stay unchanged.
    """
    known = _named(guild)
    row, _ = Guild.objects.update_or_create(
        pk=_id(guild["id"]),
        defaults={**known, "left_at": None},
        create_defaults={**known, "installed_at": now},
    )
    return row


def sync_guilds(guilds: Iterable[Mapping[str, Any]], now: datetime) -> SyncResult:
    """Update the rows from the complete list of the bot's guilds."""
    known = {row["pk"]: row for row in Guild.objects.values("pk", "name", "icon", "owner_id", "left_at")}
    joined = returned = left = failed = 0
    present: set[int] = set()
    # One transaction for each guild, so that an error or a lock affects one guild only.
    for guild in guilds:
        try:
            pk = _id(guild["id"])
            present.add(pk)
            row = known.get(pk)
            if row is None:
                fields = _named(guild)
                _, created = Guild.objects.get_or_create(pk=pk, defaults={**fields, "installed_at": now})
                joined += created
            elif changes := _changes(row, guild):
                Guild.objects.filter(pk=pk).update(**changes)
                returned += row["left_at"] is not None
        except Exception:
            failed += 1
            logger.exception("guild_not_synced")
    if not failed:
        # A guild that joined while the list was fetched is not in it.
        gone = [pk for pk, row in known.items() if row["left_at"] is None and pk not in present]
        left = Guild.objects.filter(pk__in=gone, left_at=None, installed_at__lt=now).update(left_at=now)
    return SyncResult(joined=joined, returned=returned, left=left)


def _changes(row: Mapping[str, Any], guild: Mapping[str, Any]) -> dict[str, Any]:
    fields = {"left_at": None, **_named(guild)}
    return {key: value for key, value in fields.items() if row[key] != value}


def _id(value: object) -> int:
    snowflake = snowflakes.parse(value)
    if snowflake is None:
        raise ValueError("no snowflake")
    return snowflake


def _named(guild: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if isinstance(guild.get("name"), str):
        fields["name"] = guild["name"].replace("\x00", "")[:100]
    if "icon" in guild:
        fields["icon"] = str(guild["icon"] or "")[:64]
    with suppress(ValueError):
        fields["owner_id"] = _id(guild.get("owner_id"))
    return fields
