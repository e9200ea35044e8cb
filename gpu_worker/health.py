"""`python -m gpu_worker.health`: the container's health check. Exit status 0 while the worker is healthy, else 1.

It reads the time of a file that the worker's heartbeat touches, and does not use the GPU itself. SPARKLE_HEALTH_FILE
names the file. Without it nothing is written: several workers of one machine could not be told apart.
"""

from __future__ import annotations

import os
import stat
import sys
import time

VARIABLE = "SPARKLE_HEALTH_FILE"
FRESH_S = 30.0


def mark_healthy() -> None:
    """Touch the file that the health check reads.

    Raises:
        OSError: the file cannot be written, or it is a symbolic link.
    """
    if path := os.environ.get(VARIABLE):
        # A link would let another user of the folder choose which file is opened.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            os.utime(descriptor)
        finally:
            os.close(descriptor)


def is_healthy(*, now: float) -> bool:
    """Whether this user's worker has touched the file within FRESH_S; `now` in seconds since the epoch."""
    path = os.environ.get(VARIABLE)
    if not path:
        return False
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and now - status.st_mtime < FRESH_S


def main() -> int:
    if not os.environ.get(VARIABLE):
        sys.stderr.write(f"{VARIABLE} is not set: give the worker and its health check the same file.\n")
    return 0 if is_healthy(now=time.time()) else 1


if __name__ == "__main__":
    sys.exit(main())
