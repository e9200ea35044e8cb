"""Template variables about the viewer, for all pages outside the admin."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from sparkle_site.admin import access

from . import languages


def viewer_access(request: HttpRequest) -> dict[str, object]:
    """`can_enter`: whether the viewer may open the admin, read where it is used. `locale`: the viewer's language."""
    return {
        "can_enter": SimpleLazyObject(lambda: access.of(request).can_enter),
        "locale": languages.locale_of(request),
    }
