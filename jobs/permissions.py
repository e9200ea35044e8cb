"""Which members may act on another member's request. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from discord_api.permissions import MANAGE_MESSAGES, can_manage_guild

from .models import Job


def may_moderate(job: Job, *, permissions: int, channel_ids: AbstractSet[int]) -> bool:
    """Return whether a member may see, cancel and delete another member's request.

    `permissions` are those of an interaction, valid in its channel only. `channel_ids` are that channel and, for a
    thread, the parent channel, whose permissions a thread inherits.
    """
    if can_manage_guild(permissions):
        return True
    if job.ephemeral or not permissions & MANAGE_MESSAGES:
        return False
    return bool(channel_ids & {job.channel_id, job.parent_channel_id})
