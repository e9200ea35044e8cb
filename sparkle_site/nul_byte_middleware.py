"""Rejects requests with NUL characters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase, QueryDict

NUL = "\x00"


class NulByteMiddleware:
    """Answers 400 to a NUL character in a path, a query string or a form, because PostgreSQL cannot store it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if NUL in request.path_info or _has_nul(request.GET):
            raise SuspiciousOperation("NUL character in the URL")
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        # A csrf_exempt view reads its body itself, and it need not be a form.
        if not getattr(view, "csrf_exempt", False) and _has_nul(request.POST):
            raise SuspiciousOperation("NUL character in the form")


def _has_nul(values: QueryDict) -> bool:
    return any(NUL in name or any(NUL in value for value in of_name) for name, of_name in values.lists())
