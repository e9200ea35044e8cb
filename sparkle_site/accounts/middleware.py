"""Checks before each page of the admin: up-to-date rights for moderators, a second factor for operators."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from . import reauthentication, second_factor_requirement


class FreshRightsMiddleware:
    """Redirects operators without a second factor, and moderators whose rights are due for a sync with Discord."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(reverse("admin:index")) and request.user.is_authenticated:
            if second_factor_requirement.missing(request):
                return second_factor_requirement.ask(request)
            if redirect := reauthentication.reauthenticate_if_due(request):
                return redirect
        return self.get_response(request)
