"""The channel of a request, completed with what the interaction lacks: category, age restriction.

A thread names only its parent, and an interaction may lack the channel. The missing data is fetched and kept for a
while. https://discord.com/developers/docs/resources/channel
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
# How long stored data is used if fetching it again fails.
KEPT_FOR = timedelta(days=1)
THREAD_TYPES = frozenset({10, 11, 12})
_AT_ONCE = 50

# Returns Discord's channel object. Raises DiscordError.
Fetch = Callable[[int], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestChannel:
    """The channel of a request. `parent_id` is a thread's parent channel, or a channel's category.

    `nsfw` is None if unknown. `complete` is False if there may be parent channels that are not named.
    """

    channel_id: int
    parent_id: int | None = None
    category_id: int | None = None
    is_thread: bool = False
    nsfw: bool | None = None
    complete: bool = True


def from_interaction(channel: Mapping[str, Any], *, channel_id: int, parent_id: int | None) -> RequestChannel:
    """Return the channel of an interaction's channel object. `parent_id` is the object's, parsed."""
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


def fill_in(channel: RequestChannel, *, guild_id: int, now: datetime, fetch: Fetch | None) -> RequestChannel:
    """Return the channel with the missing data filled in, as far as possible. `fetch` None: from stored data only."""
    if channel.complete and channel.nsfw is not None:
        return channel
    parent_id, is_thread = channel.parent_id, channel.is_thread
    if not (is_thread and parent_id):
        own = _read(channel.channel_id, guild_id=guild_id, now=now, fetch=fetch)
        if own is None:
            return channel
        parent_id, is_thread = own.parent_id, own.is_thread
        if not is_thread:
            nsfw = own.nsfw if channel.nsfw is None else channel.nsfw
            return RequestChannel(channel_id=channel.channel_id, parent_id=parent_id, nsfw=nsfw)
    parent = _read(parent_id, guild_id=guild_id, now=now, fetch=fetch) if parent_id else None
    return RequestChannel(
        channel_id=channel.channel_id,
        parent_id=parent_id,
        category_id=parent.parent_id if parent else None,
        is_thread=is_thread,
        nsfw=channel.nsfw if channel.nsfw is not None or parent is None else parent.nsfw,
        complete=parent is not None,
    )


def _read(channel_id: int, *, guild_id: int, now: datetime, fetch: Fetch | None) -> Channel | None:
    stored = Channel.objects.filter(pk=channel_id, guild_id=guild_id).first()
    if stored and stored.read_at and now - stored.read_at < FRESH_FOR:
        return stored
    if fetch is not None:
        try:
            return _store(channel_id, fetch(channel_id), guild_id=guild_id, now=now)
        except DiscordError as error:
            logger.info("channel_not_read", extra={"channel_id": channel_id, "status": error.status})
    # Upkeep fetches it within a minute.
    Channel.objects.update_or_create(pk=channel_id, guild_id=guild_id, defaults={"fetch_requested_at": now})
    return stored if stored and stored.read_at and now - stored.read_at < KEPT_FOR else None


def _store(channel_id: int, channel: Mapping[str, Any], *, guild_id: int, now: datetime) -> Channel | None:
    """Store Discord's channel object; None if it belongs to another guild."""
    if str(channel.get("guild_id")) != str(guild_id):
        return None
    fields = {
        "parent_id": snowflakes.parse(channel.get("parent_id")),
        "is_thread": _is_thread(channel),
        "nsfw": channel.get("nsfw") is True,
        "read_at": now,
        "fetch_requested_at": None,
    }
    row, _ = Channel.objects.update_or_create(pk=channel_id, guild_id=guild_id, defaults=fields)
    return row


def refresh(fetch: Fetch, *, now: datetime) -> int:
    """Fetch the channels that requests lacked; return how many. Stops when Discord is unavailable."""
    read = 0
    for channel in Channel.objects.exclude(fetch_requested_at=None).order_by("fetch_requested_at")[:_AT_ONCE]:
        try:
            read += _store(channel.pk, fetch(channel.pk), guild_id=channel.guild_id, now=now) is not None
        except Unavailable:
            break
        except DiscordError:
            pass
        Channel.objects.filter(pk=channel.pk).update(fetch_requested_at=None)
    return read
