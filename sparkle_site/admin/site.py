"""The admin site: who may enter it. Moderators get 404 for forbidden pages, so that they learn nothing from them."""

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

# Unfold needs these for Alpine.js and inline styles. All other pages have the strict policy.
RELAXED_CSP = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"]}


class SparkleAdminSite(UnfoldAdminSite):
    """Unfold's site for operators, observers, and moderators whose rights are up to date."""

    site_title = "Sparkle"
    site_header = "Sparkle"
    index_title = "Dashboard"
    enable_nav_sidebar = True

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:
        """Redirect to allauth's sign-in. A signed-in user without access gets a 403 page."""
        if request.user.is_authenticated:
            return render(request, "pages/no_access.html", status=403)
        return redirect_to_login(request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index"))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:
        """Redirect to allauth's page, which asks for confirmation."""
        return redirect("account_logout")

    def has_permission(self, request: HttpRequest) -> bool:
        return access.of(request).can_enter

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                response = inner(request, *args, **kwargs)
                response._csp_update = RELAXED_CSP
                return response
            except FieldDoesNotExist as error:
                # Django raises this for an unknown field in the query parameter `_to_field`.
                raise Http404 from error
            except PermissionDenied:
                if access.of(request).sees_all_guilds:
                    raise
                raise Http404 from None

        return guarded

    def extra_urls(self) -> list[URLPattern]:
        """Return Sparkle's own pages, which Unfold puts before Django's."""
        from . import (
            audit_views,
            dashboard,
            guild_setup,
            image_views,
            member_page,
            member_search,
            model_inspection,
            quota_preview,
            reports,
            stuck_jobs,
        )

        return [
            path("audit/", self.admin_view(audit_views.page), name="audit"),
            path("members/", self.admin_view(member_search.search), name="members"),
            path("members/<int:guild_id>/<int:user_id>/", self.admin_view(member_page.page), name="member"),
            path(
                "guilds/guild/<int:guild_id>/quota-preview/",
                self.admin_view(quota_preview.preview),
                name="quota_preview",
            ),
            path("guilds/guild/<int:guild_id>/setup/", self.admin_view(guild_setup.page), name="guild_setup"),
            path("model-inspection/", self.admin_view(model_inspection.inspect), name="model_inspection"),
            path("reports/", self.admin_view(reports.page), name="reports"),
            path("stuck-jobs/", self.admin_view(stuck_jobs.page), name="stuck_jobs"),
            path("preview/<str:kind>/<int:pk>/", self.admin_view(image_views.preview), name="preview"),
            path("dashboard/", self.admin_view(dashboard.part), name="dashboard"),
            path("image/<int:image_id>/", self.admin_view(image_views.serve_image), name="image"),
        ]

    def get_urls(self) -> list[URLPattern]:
        # view_on_site would reveal whether a row of any model exists.
        return [url for url in super().get_urls() if getattr(url, "name", None) != "view_on_site"]
