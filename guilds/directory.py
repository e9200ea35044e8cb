"""The names of a guild's channels, roles and members, so that nobody has to read or type an id.

The rows are a cache: pages show the last known names while Discord is unavailable. Channels and roles are read as whole
lists; members one by one or by a search, since a guild has many.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from discord_api import snowflakes
from discord_api.client import DiscordClient
from discord_api.errors import DiscordError

from .models import Channel, DirectoryState, GuildMember, Role

logger = logging.getLogger(__name__)

FRESH_FOR = timedelta(minutes=10)
# So that a page does not wait for Discord again and again during an outage.
RETRY_AFTER = timedelta(seconds=30)
MEMBER_FRESH_FOR = timedelta(days=1)
MAX_FOUND = 25
CATEGORY = 4
# Text, announcements, voice, stage and forum: channels where members can write or start threads.
WRITABLE = frozenset({0, 2, 5, 13, 15, 16})
# Text and announcements: channels where the bot posts its own log.
LOGGABLE = frozenset({0, 5})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelName:
    """A channel as lists show it. `category` is "" outside a category; `gone`: Discord no longer lists it."""

    id: int
    name: str
    category: str = ""
    kind: int | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleName:
    """A role as lists show it."""

    id: int
    name: str
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The known channels and roles of a guild, in Discord's order. `available`: Discord answered the last time."""

    channels: tuple[ChannelName, ...] = ()
    roles: tuple[RoleName, ...] = ()
    read_at: datetime | None = None
    available: bool = True

    def channel(self, channel_id: int) -> ChannelName:
        """Return the channel with this id; one without a name if Discord does not list it."""
        known = next((each for each in self.channels if each.id == channel_id), None)
        return known or ChannelName(id=channel_id, name="", gone=self.read_at is not None)

    def role(self, role_id: int) -> RoleName:
        """Return the role with this id; one without a name if Discord does not list it."""
        known = next((each for each in self.roles if each.id == role_id), None)
        return known or RoleName(id=role_id, name="", gone=self.read_at is not None)


def load(guild_id: int) -> Directory:
    """Return the last known names of a guild's channels and roles."""
    state = DirectoryState.objects.filter(pk=guild_id).first()
    rows = Channel.objects.filter(guild_id=guild_id, is_thread=False).exclude(name="")
    roles = Role.objects.filter(guild_id=guild_id).order_by("-position", "pk")
    return Directory(
        channels=tuple(_in_discords_order(list(rows))),
        roles=tuple(RoleName(id=role.pk, name=role.name, gone=role.gone_at is not None) for role in roles),
        read_at=state.read_at if state else None,
        available=not (state and state.failed_at and (state.read_at is None or state.failed_at > state.read_at)),
    )


def _in_discords_order(rows: list[Channel]) -> Iterable[ChannelName]:
    categories = {row.pk: row for row in rows if row.kind == CATEGORY}

    def place(row: Channel) -> tuple[int, int, int, int, int]:
        category = categories.get(row.parent_id or 0)
        # Channels outside a category come first.
        above = (1, category.position or 0, category.pk) if category else (0, 0, 0)
        return (*above, row.position or 0, row.pk)

    for row in sorted(rows, key=place):
        category = categories.get(row.parent_id or 0)
        yield ChannelName(
            id=row.pk,
            name=row.name,
            category=category.name if category else "",
            kind=row.kind,
            gone=row.gone_at is not None,
        )


def refresh_if_old(guild_id: int, client: DiscordClient, *, now: datetime, force: bool = False) -> None:
    """Read the names again from Discord if they are old, or now with `force`. Never raises DiscordError."""
    state = DirectoryState.objects.filter(pk=guild_id).first()
    fresh = state and state.read_at and now - state.read_at < FRESH_FOR
    failed = state and state.failed_at and now - state.failed_at < RETRY_AFTER
    if force or not (fresh or failed):
        refresh(guild_id, client, now=now)


def refresh(guild_id: int, client: DiscordClient, *, now: datetime) -> bool:
    """Read a guild's channels and roles from Discord. False, with the stored names unchanged, if that fails."""
    scoped = client.for_guild(guild_id)
    try:
        channels, roles = scoped.guild_channels(guild_id), scoped.guild_roles(guild_id)
    except DiscordError as error:
        logger.info("directory_not_read", extra={"guild_id": guild_id, "status": error.status, "code": error.code})
        DirectoryState.objects.update_or_create(pk=guild_id, defaults={"failed_at": now})
        return False
    with transaction.atomic():
        _store_channels(guild_id, channels, now=now)
        _store_roles(guild_id, roles, now=now)
        DirectoryState.objects.update_or_create(pk=guild_id, defaults={"read_at": now, "failed_at": None})
    return True


def _store_channels(guild_id: int, channels: Iterable[Mapping[str, Any]], *, now: datetime) -> None:
    rows = [
        Channel(
            id=pk,
            guild_id=guild_id,
            name=_name(channel.get("name")),
            kind=_integer(channel.get("type")),
            position=_position(channel.get("position")),
            parent_id=snowflakes.parse(channel.get("parent_id")),
            nsfw=channel.get("nsfw") is True,
            read_at=now,
        )
        for channel in channels
        if (pk := snowflakes.parse(channel.get("id"))) is not None
    ]
    Channel.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["name", "kind", "position", "parent_id", "nsfw", "read_at", "gone_at"],
    )
    listed = Channel.objects.filter(guild_id=guild_id, is_thread=False, gone_at=None)
    listed.exclude(pk__in=[row.pk for row in rows]).update(gone_at=now)


def _store_roles(guild_id: int, roles: Iterable[Mapping[str, Any]], *, now: datetime) -> None:
    rows = [
        Role(id=pk, guild_id=guild_id, name=_name(role.get("name")), position=_position(role.get("position")))
        for role in roles
        # Everyone has the role with the guild's id.
        if (pk := snowflakes.parse(role.get("id"))) is not None and pk != guild_id
    ]
    Role.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["id"], update_fields=["name", "position", "gone_at"]
    )
    Role.objects.filter(guild_id=guild_id, gone_at=None).exclude(pk__in=[row.pk for row in rows]).update(gone_at=now)


def search_members(guild_id: int, text: str, client: DiscordClient, *, now: datetime) -> list[GuildMember]:
    """Return the members whose name starts with `text`: Discord's, or the known ones while it is unavailable."""
    text = text.strip()[:100]
    if text:
        try:
            found = client.for_guild(guild_id).search_members(guild_id, text, limit=MAX_FOUND)
        except DiscordError as error:
            logger.info("members_not_searched", extra={"guild_id": guild_id, "status": error.status})
        else:
            return [row for member in found if (row := store_member(guild_id, member, now=now)) is not None]
    known = GuildMember.objects.filter(guild_id=guild_id, name__istartswith=text)
    return list(known.order_by("name", "user_id")[:MAX_FOUND])


def fetch_member(guild_id: int, user_id: int, client: DiscordClient, *, now: datetime) -> GuildMember | None:
    """Return a member's name and avatar, read again if they are old; None if they are unknown."""
    known = GuildMember.objects.filter(guild_id=guild_id, user_id=user_id).first()
    if known and known.read_at and now - known.read_at < MEMBER_FRESH_FOR:
        return known
    try:
        member = client.for_guild(guild_id).member(guild_id, user_id)
    except DiscordError:
        return known  # They left, or Discord is unavailable: the last known name is right.
    return store_member(guild_id, member, now=now) or known


def store_member(guild_id: int, member: Mapping[str, Any], *, now: datetime) -> GuildMember | None:
    """Store Discord's member object; None if it has no user."""
    given = member.get("user")
    user: Mapping[str, Any] = given if isinstance(given, dict) else {}
    user_id = snowflakes.parse(user.get("id"))
    if user_id is None:
        return None
    names = (member.get("nick"), user.get("global_name"), user.get("username"))
    name = next((name for each in names if (name := _name(each))), "")
    avatar = user.get("avatar")
    row, _ = GuildMember.objects.update_or_create(
        guild_id=guild_id,
        user_id=user_id,
        defaults={"name": name, "avatar": avatar[:64] if isinstance(avatar, str) else "", "read_at": now},
    )
    return row


def _name(value: object) -> str:
    return value.replace("\x00", "").strip()[:100] if isinstance(value, str) else ""


def _position(value: object) -> int:
    return min(max(0, _integer(value) or 0), 10_000)


def _integer(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 30_000 else None
