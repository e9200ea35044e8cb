"""Permission bits. https://discord.com/developers/docs/topics/permissions"""

from __future__ import annotations

ADMINISTRATOR = 1 << 3
MANAGE_GUILD = 1 << 5
VIEW_CHANNEL = 1 << 10
MANAGE_MESSAGES = 1 << 13
ATTACH_FILES = 1 << 15


def can_manage_guild(permissions: int) -> bool:
    """Return whether a member may manage the guild. Channel overwrites cannot grant this."""
    return bool(permissions & (MANAGE_GUILD | ADMINISTRATOR))


def can_attach_files(permissions: int) -> bool:
    """Return whether a member or bot may attach files in the channel of these permissions."""
    return bool(permissions & (ATTACH_FILES | ADMINISTRATOR))
