"""What was changed anywhere, newest first."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from . import access, audit


def page(request: HttpRequest) -> HttpResponse:
    """The acts in scope: for a moderator on their own servers, for operators on everything."""
    context = {
        **admin.site.each_context(request),
        "title": "Audit",
        "entries": audit.entries(access.of(request).guild_ids, viewer=access.of(request)),
    }
    return render(request, "admin/audit.html", context)
