"""Which servers a Discord user may manage, synced with Discord at each sign-in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from discord_api.permissions import can_manage_guild
from guilds.models import Guild, Staff

from .discord.responses import Server


def managed(servers: Iterable[Server]) -> dict[int, Staff.Role]:
    """Return the user's role in each server of `GET /users/@me/guilds` that they own or may manage. Pure."""
    roles = {}
    for server in servers:
        if server.owner:
            roles[server.id] = Staff.Role.OWNER
        elif can_manage_guild(server.permissions):
            roles[server.id] = Staff.Role.MANAGER
    return roles


def sync(user_id: int, servers: Iterable[Server], *, now: datetime) -> frozenset[int]:
    """Update Staff for the user's guilds that have Sparkle installed, and return their ids.

    The names and icons of these guilds are updated too.
    """
    servers = list(servers)
    roles = managed(servers)
    with transaction.atomic():
        installed = {guild.pk: guild for guild in Guild.objects.filter(pk__in=roles, left_at=None)}
        Staff.objects.filter(user_id=user_id).exclude(guild_id__in=installed).delete()
        Staff.objects.bulk_create(
            [Staff(guild_id=pk, user_id=user_id, role=roles[pk], synced_at=now) for pk in installed],
            update_conflicts=True,
            unique_fields=["guild", "user_id"],
            update_fields=["role", "synced_at"],
        )
        for server in servers:
            guild = installed.get(server.id)
            if guild and server.name and (guild.name, guild.icon) != (server.name, server.icon):
                Guild.objects.filter(pk=guild.pk).update(name=server.name, icon=server.icon)
    return frozenset(installed)
