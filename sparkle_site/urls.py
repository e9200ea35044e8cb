"""The URLs of the site. Those of the simulator exist only if its app is installed."""

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from .pages import error_views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("sparkle_site.pages.urls")),
    path("accounts/", include("sparkle_site.accounts.urls")),
    path("api/v1/", include("sparkle_site.api.urls")),
    path("admin/", admin.site.urls),
]

if apps.is_installed("devtools.simulator"):
    urlpatterns.append(path("simulator/", include("devtools.simulator.urls")))

handler400 = error_views.bad_request
handler403 = error_views.forbidden
handler404 = error_views.not_found
handler500 = error_views.server_error
