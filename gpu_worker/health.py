"""`python -m gpu_worker.health`: the container's health check, 0 while the worker beats and its card computes.

It reads a note that the worker's heart leaves, instead of opening the card a second time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

NOTE = Path(os.environ.get("SPARKLE_HEALTH_FILE", Path(tempfile.gettempdir()) / "sparkle-worker-healthy"))
FRESH_S = 30.0


def note() -> None:
    """Leave word that all is well."""
    NOTE.touch()


def healthy(*, now: float) -> bool:
    """Whether word was left of late; `now` in seconds since the epoch."""
    try:
        return now - NOTE.stat().st_mtime < FRESH_S
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if healthy(now=time.time()) else 1)
