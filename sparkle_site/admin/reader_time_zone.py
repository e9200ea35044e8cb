"""The reader's time zone, which sparkle/times.js stores in a cookie, for forms in which a time is typed."""

from __future__ import annotations

import zoneinfo
from functools import cache

from django.http import HttpRequest

COOKIE = "tz"


def of(request: HttpRequest) -> zoneinfo.ZoneInfo:
    """Return the time zone of the reader's browser, UTC while it is unknown."""
    name = request.COOKIES.get(COOKIE, "")
    return zoneinfo.ZoneInfo(name if name in _names() else "UTC")


@cache
def _names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
