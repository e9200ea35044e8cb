"""The page of all audited changes."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from . import access, audit_log


def page(request: HttpRequest) -> HttpResponse:
    """Show the changes that the user may see, newest first."""
    context = {
        **admin.site.each_context(request),
        "title": "Audit",
        "entries": audit_log.entries(access.of(request).guild_ids, viewer=access.of(request)),
    }
    return render(request, "admin/audit.html", context)
