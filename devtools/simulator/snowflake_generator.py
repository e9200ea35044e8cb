"""New snowflakes, as Discord generates them."""

import itertools
import os
from datetime import datetime

from discord_api import snowflakes

_sequence = itertools.count()


def make(now: datetime) -> int:
    """Return a new id for something that happens at `now`."""
    return snowflakes.first_at(now) | (os.getpid() & 0x3FF) << 12 | next(_sequence) & 0xFFF
