"""Pseudonyms of erased members and guilds: keyed hashes, which only the deployment's secret key links to an id."""

from __future__ import annotations

import hashlib
import hmac

from django.conf import settings


def member_pseudonym(user_id: int) -> int:
    """Return the pseudonym of an erased member: negative, so it is no snowflake."""
    return -1 - (_digest("member", user_id) >> 1)


def guild_pseudonym(guild_id: int) -> int:
    """Return the pseudonym that identifies a guild in the GPU ledger."""
    return _digest("guild", guild_id) >> 1


def channel_pseudonym(channel_id: int, subject_id: int) -> int:
    """Return the pseudonym under which a subject's use in one channel is counted: negative, so it is no snowflake."""
    return -1 - (_digest("channel", f"{channel_id} {subject_id}") >> 1)


def _digest(kind: str, identity: object) -> int:
    message = f"sparkle pseudonym {kind} {identity}".encode()
    return int.from_bytes(hmac.digest(settings.SECRET_KEY.encode(), message, hashlib.sha256)[:8], "big")
