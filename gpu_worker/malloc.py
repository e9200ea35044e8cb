"""Lets glibc give memory back: a worker that lives for weeks must not keep the room of its busiest minute."""

from __future__ import annotations

import ctypes
import sys

# <malloc.h>
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
# A picture of 512x512 has 768 KiB.
_PICTURE_BYTES = 256 * 1024
_ARENAS = 2


def configure_malloc() -> bool:
    """Have every buffer of a picture's size mapped by itself, and so given back when it is freed.

    By default the threshold grows with what is freed, up to 32 MiB; pictures then lie in the arenas of the threads
    that made them, whose ends they keep from being trimmed. Return whether the C library took it; only glibc does.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _PICTURE_BYTES) and mallopt(_M_ARENA_MAX, _ARENAS))
