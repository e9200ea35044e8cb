"""Discord's webhook events (docs: events/webhook-events). Idempotent: they may arrive twice or out of order."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from discord_api import snowflakes
from guilds import installations

logger = logging.getLogger(__name__)
_EVENT = 1
_GUILD_INSTALL = 0


def receive(payload: Mapping[str, Any], *, now: datetime) -> None:
    """Record an installation in a server and ignore other events. The sync with the guild list finds removals."""
    event = payload.get("event")
    if payload.get("type") != _EVENT or not isinstance(event, dict):
        return
    data = event.get("data")
    if event.get("type") != "APPLICATION_AUTHORIZED" or not isinstance(data, dict):
        return
    guild = data.get("guild")
    if data.get("integration_type") != _GUILD_INSTALL or not isinstance(guild, dict):
        return
    guild_id = snowflakes.parse(guild.get("id"))
    if guild_id is None:
        return
    installations.install({**guild, "id": guild_id}, now)
    logger.info("guild_installed", extra={"guild_id": guild_id})
