"""What was changed anywhere, newest first."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from . import audit, scope


def page(request: HttpRequest) -> HttpResponse:
    """The acts in scope: for a moderator on their own servers, for operators on everything."""
    context = {
        **admin.site.each_context(request),
        "title": "Audit",
        "entries": audit.entries(scope.of(request).guild_ids, viewer=scope.of(request)),
    }
    return render(request, "admin/audit.html", context)
