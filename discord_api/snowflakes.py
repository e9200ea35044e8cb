"""Discord's ids: 63-bit numbers, written as text. https://discord.com/developers/docs/reference#snowflakes"""

from __future__ import annotations

MAX_SNOWFLAKE = 2**63 - 1
# The digits of MAX_SNOWFLAKE. More are never converted: Python refuses very long ones with an error of its own.
_DIGITS = 19


def parse(value: object) -> int | None:
    """Return the id that text or an integer stands for, None for anything else. Never through a float, which rounds.

    0 is nobody's: it stands for the whole server where counters are kept.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        value = int(value)
    return value if type(value) is int and 0 < value <= MAX_SNOWFLAKE else None
