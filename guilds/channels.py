"""What Discord leaves out of an interaction about its channel: whether it is age-restricted, and its category.

A thread names its parent alone, and an interaction may come without a channel at all. What is missing is looked up and
kept for a while: https://discord.com/developers/docs/resources/channel
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from discord_api import snowflakes
from discord_api.errors import DiscordError, Unavailable

from .models import Channel

logger = logging.getLogger(__name__)

FRESH_FOR = timedelta(minutes=10)
# What could not be read again in time is believed for this long.
KEPT_FOR = timedelta(days=1)
THREAD_TYPES = frozenset({10, 11, 12})
_AT_ONCE = 50

# Returns Discord's channel object. Raises DiscordError.
Fetch = Callable[[int], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestChannel:
    """Where a request is made. `parent_id` is a thread's channel, or a channel's category.

    `nsfw` is None where nobody knows; `complete` is False where the channels above may be more than those named.
    """

    channel_id: int
    parent_id: int | None = None
    category_id: int | None = None
    is_thread: bool = False
    nsfw: bool | None = None
    complete: bool = True


def from_interaction(channel: Mapping[str, Any], *, channel_id: int, parent_id: int | None) -> RequestChannel:
    """Return what an interaction's channel object says. `parent_id` is the object's, as an integer."""
    is_thread = _is_thread(channel)
    nsfw = channel.get("nsfw")
    return RequestChannel(
        channel_id=channel_id,
        parent_id=parent_id,
        is_thread=is_thread,
        nsfw=nsfw if isinstance(nsfw, bool) else None,
        complete=not is_thread and "parent_id" in channel,
    )


def _is_thread(channel: Mapping[str, Any]) -> bool:
    kind = channel.get("type")
    return isinstance(kind, int) and kind in THREAD_TYPES


def fill_in(found: RequestChannel, *, guild_id: int, now: datetime, fetch: Fetch | None) -> RequestChannel:
    """Return the place with what it lacked, as far as it can be known now. `fetch` None asks nobody."""
    if found.complete and found.nsfw is not None:
        return found
    parent_id, is_thread = found.parent_id, found.is_thread
    if not (is_thread and parent_id):
        own = _read(found.channel_id, guild_id=guild_id, now=now, fetch=fetch)
        if own is None:
            return found
        parent_id, is_thread = own.parent_id, own.is_thread
        if not is_thread:
            nsfw = own.nsfw if found.nsfw is None else found.nsfw
            return RequestChannel(channel_id=found.channel_id, parent_id=parent_id, nsfw=nsfw)
    above = _read(parent_id, guild_id=guild_id, now=now, fetch=fetch) if parent_id else None
    return RequestChannel(
        channel_id=found.channel_id,
        parent_id=parent_id,
        category_id=above.parent_id if above else None,
        is_thread=is_thread,
        nsfw=found.nsfw if found.nsfw is not None or above is None else above.nsfw,
        complete=above is not None,
    )


def _read(channel_id: int, *, guild_id: int, now: datetime, fetch: Fetch | None) -> Channel | None:
    kept = Channel.objects.filter(pk=channel_id, guild_id=guild_id).first()
    if kept and kept.read_at and now - kept.read_at < FRESH_FOR:
        return kept
    if fetch is not None:
        try:
            return _keep(channel_id, fetch(channel_id), guild_id=guild_id, now=now)
        except DiscordError as error:
            logger.info("channel_not_read", extra={"channel_id": channel_id, "status": error.status})
    # Upkeep asks for it within the minute.
    Channel.objects.update_or_create(pk=channel_id, guild_id=guild_id, defaults={"wanted_at": now})
    return kept if kept and kept.read_at and now - kept.read_at < KEPT_FOR else None


def _keep(channel_id: int, channel: Mapping[str, Any], *, guild_id: int, now: datetime) -> Channel | None:
    """Keep what Discord says of a channel; None where it is of another server."""
    if str(channel.get("guild_id")) != str(guild_id):
        return None
    fields = {
        "parent_id": snowflakes.parse(channel.get("parent_id")),
        "is_thread": _is_thread(channel),
        "nsfw": channel.get("nsfw") is True,
        "read_at": now,
        "wanted_at": None,
    }
    row, _ = Channel.objects.update_or_create(pk=channel_id, guild_id=guild_id, defaults=fields)
    return row


def refresh(fetch: Fetch, *, now: datetime) -> int:
    """Read the channels that requests had to do without; return how many were read. Ends when Discord is away."""
    read = 0
    for channel in Channel.objects.exclude(wanted_at=None).order_by("wanted_at")[:_AT_ONCE]:
        try:
            read += _keep(channel.pk, fetch(channel.pk), guild_id=channel.guild_id, now=now) is not None
        except Unavailable:
            break
        except DiscordError:
            pass
        Channel.objects.filter(pk=channel.pk).update(wanted_at=None)
    return read
