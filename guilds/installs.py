"""Which servers the bot is in: told by webhook events, made sure of by the bot's own guild list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from .models import Guild


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
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
        pk=int(guild["id"]),
        defaults={**known, "left_at": None},
        create_defaults={**known, "installed_at": now},
    )
    return row


def reconcile(guilds: Iterable[Mapping[str, Any]], now: datetime) -> Reconciled:
    """Bring the rows in line with the whole list of the bot's guilds: new ones, returned ones, and who has left."""
    present = {int(guild["id"]): guild for guild in guilds}
    with transaction.atomic():
        known = {row.pk: row for row in Guild.objects.select_for_update(no_key=True).order_by("pk")}
        joined = [pk for pk in present if pk not in known]
        Guild.objects.bulk_create(
            [Guild(pk=pk, installed_at=now, **_named(present[pk])) for pk in joined], ignore_conflicts=True
        )
        returned = 0
        for pk, guild in present.items():
            row = known.get(pk)
            if row is None:
                continue
            fields = _named(guild)
            if row.left_at is not None:
                returned += 1
            if row.left_at is not None or any(getattr(row, key) != value for key, value in fields.items()):
                Guild.objects.filter(pk=pk).update(left_at=None, **fields)
        # A server that joined while the list was on its way is not in it.
        left = Guild.objects.filter(left_at=None, installed_at__lt=now).exclude(pk__in=present).update(left_at=now)
    return Reconciled(joined=len(joined), returned=returned, left=left)


def _named(guild: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if isinstance(guild.get("name"), str):
        fields["name"] = guild["name"].replace("\x00", "")[:100]
    if "icon" in guild:
        fields["icon"] = str(guild["icon"] or "")[:64]
    owner = guild.get("owner_id")
    if isinstance(owner, str) and owner.isascii() and owner.isdigit():
        fields["owner_id"] = int(owner)
    return fields
