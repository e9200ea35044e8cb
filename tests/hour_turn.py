"""No test starts in the last seconds of an hour: quota windows and charts begin again with the hour, day and month.

Tests of what happens then give the times themselves. The others need not allow for it.
"""

from __future__ import annotations

import time

HOUR_S = 3600
# Longer than a test of such windows takes, on a busy machine too.
MARGIN_S = 20


def pause_s(now: float) -> float:
    """Return how many seconds to wait at `now`, in seconds since 1970, so that a test does not meet an hour's end."""
    left = HOUR_S - now % HOUR_S
    return left + 0.01 if left < MARGIN_S else 0.0


def wait_out() -> None:
    """Wait until the next hour has begun, if this one is about to end."""
    time.sleep(pause_s(time.time()))
