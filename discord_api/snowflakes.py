"""Discord's ids: 63-bit numbers, written as text. https://discord.com/developers/docs/reference#snowflakes"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

MAX_SNOWFLAKE = 2**63 - 1
# No snowflake is older. The bits above TIME_SHIFT are the milliseconds since.
EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
TIME_SHIFT = 22
# The digits of MAX_SNOWFLAKE. Longer text is never converted: Python refuses very long numbers with its own error.
_DIGITS = 19


def parse(value: object) -> int | None:
    """Return the id that text or an integer stands for, None for anything else. Never through a float, which rounds.

    0 is no snowflake: usage counters use it for the whole guild.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        value = int(value)
    return value if type(value) is int and 0 < value <= MAX_SNOWFLAKE else None


def created_at(snowflake: int) -> datetime:
    """Return when the object with this id was created, to the millisecond."""
    return EPOCH + timedelta(milliseconds=snowflake >> TIME_SHIFT)


def first_at(at: datetime) -> int:
    """Return the lowest id of the millisecond of `at`."""
    return (at - EPOCH) // timedelta(milliseconds=1) << TIME_SHIFT


def random_at(at: datetime) -> int:
    """Return a random id of the millisecond of `at`, for what Discord did not create."""
    return first_at(at) | secrets.randbits(TIME_SHIFT)
