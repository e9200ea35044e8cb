"""Rights that grow old are asked for again, and operators bring a second factor."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from . import reauthentication, second_factor


class FreshRightsMiddleware:
    """Before a page of the admin: send operators to their second factor, and moderators by Discord when it is time."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(reverse("admin:index")) and request.user.is_authenticated:
            if second_factor.missing(request):
                return second_factor.ask(request)
            if answer := reauthentication.reauthenticate_if_due(request):
                return answer
        return self.get_response(request)
