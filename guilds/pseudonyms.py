"""Keyed hashes that stand for an id whose owner's data was erased: equal for equal ids, and not to be turned back
without the deployment's secret key."""

from __future__ import annotations

import hashlib
import hmac

from django.conf import settings


def member_pseudonym(user_id: int) -> int:
    """Return a number below zero, where no snowflake is, for a member whose data was erased."""
    return -1 - (_digest("member", user_id) >> 1)


def guild_pseudonym(guild_id: int) -> int:
    """Return the number that a guild's GPU time is kept by."""
    return _digest("guild", guild_id) >> 1


def _digest(kind: str, snowflake: int) -> int:
    message = f"sparkle pseudonym {kind} {snowflake}".encode()
    return int.from_bytes(hmac.digest(settings.SECRET_KEY.encode(), message, hashlib.sha256)[:8], "big")
