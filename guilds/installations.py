"""Which servers the bot is in: told by webhook events, made sure of by the bot's own guild list."""

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
    """How many servers were new, came back, and left."""

    joined: int
    returned: int
    left: int


def install(guild: Mapping[str, Any], now: datetime) -> Guild:
    """Make the guild's row with its defaults, or note that it is (again) installed; its settings stay.

    `guild` is Discord's object; what it does not name stays as it was.
    """
    known = _named(guild)
    row, _ = Guild.objects.update_or_create(
        pk=_id(guild["id"]),
        defaults={**known, "left_at": None},
        create_defaults={**known, "installed_at": now},
    )
    return row


def sync_guilds(guilds: Iterable[Mapping[str, Any]], now: datetime) -> SyncResult:
    """Bring the rows in line with the whole list of the bot's guilds: new ones, returned ones, and who has left."""
    known = {row["pk"]: row for row in Guild.objects.values("pk", "name", "icon", "owner_id", "left_at")}
    joined = returned = left = failed = 0
    present: set[int] = set()
    # Each server by itself: none waits for another's lock, and one that cannot be read keeps no other from its row.
    for guild in guilds:
        try:
            pk = _id(guild["id"])
            present.add(pk)
            row = known.get(pk)
            if row is None:
                fields = _named(guild)
                _, made = Guild.objects.get_or_create(pk=pk, defaults={**fields, "installed_at": now})
                joined += made
            elif changes := _changes(row, guild):
                Guild.objects.filter(pk=pk).update(**changes)
                returned += row["left_at"] is not None
        except Exception:
            failed += 1
            logger.exception("guild_not_reconciled")
    if not failed:
        # A server that joined while the list was on its way is not in it.
        gone = [pk for pk, row in known.items() if row["left_at"] is None and pk not in present]
        left = Guild.objects.filter(pk__in=gone, left_at=None, installed_at__lt=now).update(left_at=now)
    return SyncResult(joined=joined, returned=returned, left=left)


def _changes(row: Mapping[str, Any], guild: Mapping[str, Any]) -> dict[str, Any]:
    fields = {"left_at": None, **_named(guild)}
    return {key: value for key, value in fields.items() if row[key] != value}


def _id(value: object) -> int:
    found = snowflakes.parse(value)
    if found is None:
        raise ValueError("no snowflake")
    return found


def _named(guild: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if isinstance(guild.get("name"), str):
        fields["name"] = guild["name"].replace("\x00", "")[:100]
    if "icon" in guild:
        fields["icon"] = str(guild["icon"] or "")[:64]
    with suppress(ValueError):
        fields["owner_id"] = _id(guild.get("owner_id"))
    return fields
