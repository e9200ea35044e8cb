"""The addresses of the site. The simulator's exist only where its app is installed."""

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from .pages import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("sparkle_site.pages.urls")),
    path("accounts/", include("sparkle_site.accounts.urls")),
    path("admin/", admin.site.urls),
]

if apps.is_installed("sparkle_site.local.simulator"):
    urlpatterns.append(path("simulator/", include("sparkle_site.local.simulator.urls")))

handler400 = views.bad_request
handler403 = views.forbidden
handler404 = views.not_found
handler500 = views.server_error
