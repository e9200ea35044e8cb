"""The admin's site: who gets in, and that a moderator cannot tell what is forbidden from what is not there."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from unfold.sites import UnfoldAdminSite

from . import access

# What Unfold's Alpine.js and its bars need. Only here: every other page has the strict policy.
RELAXED = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"]}


class SparkleAdminSite(UnfoldAdminSite):
    """Unfold's site, entered by operators, observers, and moderators whose rights are fresh."""

    site_title = "Sparkle"
    site_header = "Sparkle"
    index_title = "Dashboard"
    enable_nav_sidebar = True

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:
        """allauth signs in, with its rate limits and second factor; who may not enter is told so."""
        if request.user.is_authenticated:
            return render(request, "pages/no_access.html", status=403)
        return redirect_to_login(request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index"))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:
        """By allauth's page, which asks before it does."""
        return redirect("account_logout")

    def has_permission(self, request: HttpRequest) -> bool:
        return access.of(request).can_enter

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                response = inner(request, *args, **kwargs)
                response._csp_update = RELAXED
                return response
            except FieldDoesNotExist as error:
                # Django looks up the field that `_to_field` names, and takes it that there is one.
                raise Http404 from error
            except PermissionDenied:
                if access.of(request).sees_all_guilds:
                    raise
                raise Http404 from None

        return guarded

    def extra_urls(self) -> list[URLPattern]:
        """Sparkle's own pages; Unfold puts them before Django's."""
        from . import audit_views, dashboard, image_views, stuck_jobs

        return [
            path("audit/", self.admin_view(audit_views.page), name="audit"),
            path("stuck-jobs/", self.admin_view(stuck_jobs.page), name="stuck_jobs"),
            path("preview/<str:kind>/<int:pk>/", self.admin_view(image_views.preview), name="preview"),
            path("dashboard/", self.admin_view(dashboard.part), name="dashboard"),
            path("picture/<int:image_id>/", self.admin_view(image_views.picture), name="picture"),
        ]

    def get_urls(self) -> list[URLPattern]:
        # Its answer tells whether any row of any model exists.
        return [each for each in super().get_urls() if getattr(each, "name", None) != "view_on_site"]
