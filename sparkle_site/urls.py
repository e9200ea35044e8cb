"""The addresses of the site. The simulator's exist only where its app is installed."""

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [path("admin/", admin.site.urls)]

if apps.is_installed("sparkle_site.local.simulator"):
    urlpatterns.append(path("simulator/", include("sparkle_site.local.simulator.urls")))
