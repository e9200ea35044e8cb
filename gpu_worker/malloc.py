"""Has glibc return freed memory to the system: a worker runs for weeks and must not keep its peak memory."""

from __future__ import annotations

import ctypes
import sys

# <malloc.h>
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
# An image of 512x512 has 768 KiB.
_THRESHOLD_BYTES = 256 * 1024
_ARENAS = 2


def configure_malloc() -> bool:
    """Map every buffer of an image's size separately, so that it is returned to the system when it is freed.

    By default the threshold grows up to 32 MiB with what is freed. Images are then in the arenas of the threads that
    made them, and keep the ends of these arenas from being trimmed. Return whether the C library accepted the settings;
    only glibc does. https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES) and mallopt(_M_ARENA_MAX, _ARENAS))
