"""`python -m gpu_worker.health`: the container's health check, 0 while the worker beats and its card computes.

It reads a file that the worker's heart touches, instead of opening the card a second time. SPARKLE_HEALTH_FILE names
the file; without it nothing is written, since nobody would know which of a machine's workers it is about.
"""

from __future__ import annotations

import os
import stat
import sys
import time

VARIABLE = "SPARKLE_HEALTH_FILE"
FRESH_S = 30.0


def note() -> None:
    """Say that all is well, where a health check reads it.

    Raises:
        OSError: the file cannot be written, or a symbolic link stands in its place.
    """
    if path := os.environ.get(VARIABLE):
        # A link would let another user of the folder choose which file is opened.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            os.utime(descriptor)
        finally:
            os.close(descriptor)


def healthy(*, now: float) -> bool:
    """Whether this user's worker said so lately; `now` in seconds since the epoch."""
    path = os.environ.get(VARIABLE)
    if not path:
        return False
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and now - found.st_mtime < FRESH_S


def main() -> int:
    if not os.environ.get(VARIABLE):
        sys.stderr.write(f"{VARIABLE} is not set: give the worker and its health check the same file.\n")
    return 0 if healthy(now=time.time()) else 1


if __name__ == "__main__":
    sys.exit(main())
