"""Addresses of the simulator: Discord's REST API as our client calls it, and the chat page."""

from django.urls import URLPattern, URLResolver

app_name = "simulator"
urlpatterns: list[URLPattern | URLResolver] = []
