"""What every page outside the admin knows of who looks at it."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from sparkle_site.admin import access


def viewer_access(request: HttpRequest) -> dict[str, object]:
    """`enters`: whether the admin opens for them. Asked only where a template asks."""
    return {"enters": SimpleLazyObject(lambda: access.of(request).can_enter)}
