"""The application's commands as they were registered, globally and for single servers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from . import command_rules, errors_and_rate_limits, snowflake_generator
from .models import SimCommandSet

CREATES_A_DAY = 200
DAILY_CREATES_SPENT = errors_and_rate_limits.Refused(
    status=400, code=30034, message="Max number of daily application command creates has been reached (200)"
)


def overwrite(
    body: Any, *, guild_id: int | None, now: datetime
) -> list[dict[str, Any]] | errors_and_rate_limits.Refused:
    """Replace all commands of a scope; return them as Discord keeps them. Equal names keep their ids."""
    refused = command_rules.check_commands(body)
    if refused:
        return refused
    with transaction.atomic():
        kept, _ = SimCommandSet.objects.select_for_update().get_or_create(pk=guild_id or 0)
        ids = {(command["type"], command["name"]): command["id"] for command in kept.commands}
        created = sum((each.get("type", 1), each["name"]) not in ids for each in body)
        if kept.creates_since is None or now - kept.creates_since > timedelta(days=1):
            kept.creates, kept.creates_since = 0, now
        if kept.creates + created > CREATES_A_DAY:
            return DAILY_CREATES_SPENT
        kept.creates += created
        kept.commands = [
            _kept(command, ids.get((command.get("type", 1), command["name"])), guild_id=guild_id, now=now)
            for command in body
        ]
        kept.save()
    return kept.commands


def _kept(command: Mapping[str, Any], known: str | None, *, guild_id: int | None, now: datetime) -> dict[str, Any]:
    defaults = {
        "type": 1,
        "description": "",
        "default_member_permissions": None,
        "nsfw": False,
        "contexts": None if guild_id else [0, 1, 2],
        "integration_types": [0],
    }
    fixed = {
        "id": known or str(snowflake_generator.make(now)),
        "application_id": str(settings.DISCORD_APPLICATION_ID),
        "version": str(snowflake_generator.make(now)),
    }
    kept = defaults | dict(command) | fixed | ({"guild_id": str(guild_id)} if guild_id else {})
    if kept["default_member_permissions"] is not None:
        kept["default_member_permissions"] = str(kept["default_member_permissions"])
    return kept


def registered(guild_id: int | None) -> list[dict[str, Any]]:
    """Return the commands of exactly this scope."""
    found = SimCommandSet.objects.filter(pk=guild_id or 0).first()
    return found.commands if found else []


def offered(guild_id: int | None) -> list[dict[str, Any]]:
    """Return what a member is offered in a server (or, None, in direct messages)."""
    context = 1 if guild_id is None else 0
    both = [*registered(None), *(registered(guild_id) if guild_id else [])]
    return [command for command in both if context in (command.get("contexts") or [0, 1, 2])]


def without_localizations(command: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in command.items() if not re.fullmatch(r"(name|description)_localizations", key)}
