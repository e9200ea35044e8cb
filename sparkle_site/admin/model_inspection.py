"""“Inspect” of the form of a model: reads what a Hugging Face repository holds and shows it beside the form."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render

from guilds import hugging_face, model_inspection
from guilds.model_inspection import NotServed

from . import access

# A person waits for the answer.
TIMEOUT_S = 8.0


def inspect(request: HttpRequest) -> HttpResponse:
    """Return what the repository in the sent form holds, or why workers cannot serve it."""
    viewer = access.of(request)
    if not (viewer.sees_all_guilds and viewer.can_change):
        raise Http404
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    source = request.POST.get("source", "").strip()
    context: dict[str, Any] = {}
    try:
        if not source:
            raise NotServed("Write the id of a model on Hugging Face into “Source” first, like owner/name.")
        repository = hugging_face.read(source, hub=settings.HF_ENDPOINT, token=settings.HF_TOKEN, timeout_s=TIMEOUT_S)
        context["found"] = model_inspection.inspect(repository)
    except NotServed as error:
        context["problem"] = str(error)
    return render(request, "admin/guilds/modelprofile/inspection.html", context)
