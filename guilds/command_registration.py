"""Registers Sparkle's commands with Discord: one bulk request, and only if something differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from discord_api.client import DiscordClient

from .command_definitions import all_commands, normalized


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A command that differs from what is registered. `kind` is "new", "removed" or "changed"."""

    kind: str
    name: str


def differences(client: DiscordClient, guild_id: int | None = None) -> list[Change]:
    """Return what registering would change, globally or in one guild. Raises errors.DiscordError."""
    there = {_key(each): each for each in normalized(client.commands(guild_id))}
    ours = {_key(each): each for each in normalized(all_commands())}
    return [
        Change(kind="new" if key not in there else "removed" if key not in ours else "changed", name=key[1])
        for key in sorted(ours.keys() | there.keys())
        if ours.get(key) != there.get(key)
    ]


def register(client: DiscordClient, guild_id: int | None = None) -> list[Change]:
    """Replace the registered commands if they differ; return the differences. Raises errors.DiscordError."""
    changes = differences(client, guild_id)
    if changes:
        client.overwrite_commands(all_commands(), guild_id)
    return changes


def _key(command: dict[str, Any]) -> tuple[int, str]:
    return command.get("type", 1), command["name"]
