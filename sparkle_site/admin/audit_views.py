"""The page of all audited changes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from . import access, audit_filter, audit_log


def page(request: HttpRequest) -> HttpResponse:
    """Show the changes that the user may see, newest first."""
    return render_page(request, access.of(request).guild_ids, title="Audit")


def render_page(request: HttpRequest, guild_ids: frozenset[int] | None, **context: Any) -> HttpResponse:
    """Return the page of the guilds' changes (None: of all), with the filter in the page's address."""
    wanted = audit_filter.parse(request.GET)
    found = audit_log.entries(guild_ids, viewer=access.of(request), wanted=wanted)
    query = request.GET.copy()
    if found.older_than is not None:
        query["before"] = found.older_than.isoformat()
    return render(
        request,
        "admin/audit.html",
        {
            **admin.site.each_context(request),
            "entries": found.entries,
            "older": f"?{query.urlencode()}" if found.older_than is not None else "",
            "choices": audit_filter.choices(),
            "wanted": wanted,
            **context,
        },
    )
