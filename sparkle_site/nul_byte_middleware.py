"""Requests that no page can read are answered before a page sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase, QueryDict

NUL = "\x00"


class WellFormedMiddleware:
    """Answers 400 to a NUL character in a path, a query or a form: PostgreSQL holds none, so no value has one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if NUL in request.path_info or _holds_nul(request.GET):
            raise SuspiciousOperation("A NUL character in the address")
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        # A view without the check against forgery reads its body itself, in whatever form it is.
        if not getattr(view, "csrf_exempt", False) and _holds_nul(request.POST):
            raise SuspiciousOperation("A NUL character in the form")


def _holds_nul(values: QueryDict) -> bool:
    return any(NUL in name or any(NUL in value for value in found) for name, found in values.lists())
