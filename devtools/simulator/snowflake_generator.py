"""Ids as Discord makes them: milliseconds since 2015 in the upper bits, so that they sort by time."""

import itertools
import os
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
_sequence = itertools.count()


def make(now: datetime) -> int:
    """Return a new id for something that happens at `now`."""
    milliseconds = int((now - EPOCH) / timedelta(milliseconds=1))
    return milliseconds << 22 | (os.getpid() & 0x3FF) << 12 | next(_sequence) & 0xFFF


def time_of(snowflake: int) -> datetime:
    """Return when the thing with this id was made, to the millisecond."""
    return EPOCH + timedelta(milliseconds=snowflake >> 22)
