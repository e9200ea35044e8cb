"""Confirmed acts: a dialog that is fetched, and a POST that does it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.forms import BaseDialogForm


def dialog(title: str, description: str, submit: str, form: type[BaseDialogForm] | None = None) -> dict[str, Any]:
    """What Unfold wants to know of a dialog."""
    return {"title": title, "description": description, "form_class": form, "form_submit_text": submit}


def done(request: HttpRequest, address: str) -> HttpResponse:
    """Go on to `address`, whether a dialog or a plain form has sent the request."""
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)


def name_of(request: HttpRequest) -> str:
    """Who acts, as it is written into events."""
    return str(request.user.get_username())
