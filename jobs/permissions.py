"""Who may act on another member's request. Pure.

https://discord.com/developers/docs/topics/permissions
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from .models import Job

ADMINISTRATOR = 1 << 3
MANAGE_GUILD = 1 << 5
MANAGE_MESSAGES = 1 << 13


def may_manage(permissions: int) -> bool:
    """Return whether the permissions are those of the whole server: no channel's overwrites can grant them."""
    return bool(permissions & (MANAGE_GUILD | ADMINISTRATOR))


def may_moderate(job: Job, *, permissions: int, channel_ids: AbstractSet[int]) -> bool:
    """Return whether a member may see, cancel and delete another member's request.

    `permissions` are those of an interaction: they hold in its channel alone, with that channel's overwrites.
    `channel_ids` are that channel and, for a thread, the channel it belongs to, whose permissions a thread has.
    """
    if may_manage(permissions):
        return True
    if job.ephemeral or not permissions & MANAGE_MESSAGES:
        return False
    return bool(channel_ids & {job.channel_id, job.parent_channel_id})
