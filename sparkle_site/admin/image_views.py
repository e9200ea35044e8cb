"""Serves images to those who may see them: thumbnails from here, originals from the storage."""

from __future__ import annotations

import io
from typing import Any

from django.contrib import admin
from django.core.files.storage import FileSystemStorage, default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.views.decorators.http import require_safe

from guilds.models import ModelProfile, StylePreset
from jobs import storage
from jobs.models import JobImage
from sparkle_site import thumbnails

from . import access

PREVIEWED = (StylePreset, ModelProfile)


@require_safe
def serve_image(request: HttpRequest, image_id: int) -> HttpResponseBase:
    """Return the image if the viewer may see its guild; `?w=` selects a thumbnail (thumbnails.WIDTHS)."""
    rows = JobImage.objects.filter(pk=image_id)
    ids = access.of(request).guild_ids
    if ids is not None:
        rows = rows.filter(job__guild_id__in=ids)
    image = rows.first()
    if image is None:
        raise Http404
    return respond(image, request.GET.get("w", ""))


@require_safe
def preview(request: HttpRequest, kind: str, pk: int) -> HttpResponseBase:
    """Return the preview image of a style or a model if the viewer may see its row."""
    model = next((known for known in PREVIEWED if f"{known._meta.app_label}_{known._meta.model_name}" == kind), None)
    if model is None:
        raise Http404
    row: Any = admin.site.get_model_admin(model).get_queryset(request).filter(pk=pk).first()
    if row is None or not row.preview:
        raise Http404
    try:
        # guilds.image_uploads limits the size of what is uploaded.
        content = thumbnails.of_key(row.preview.name, thumbnails.WIDTHS[0])
        return _headers(HttpResponse(content, content_type="image/webp"))
    except storage.StorageUnavailable as error:
        raise Http404 from error


def respond(image: JobImage, width: str) -> HttpResponseBase:
    """Return the image, small if `width` is one of thumbnails.WIDTHS. The caller has checked that it may be seen."""
    try:
        if width in {str(known) for known in thumbnails.WIDTHS}:
            return _headers(HttpResponse(thumbnails.of_image(image, int(width)), content_type="image/webp"))
        if isinstance(default_storage._wrapped, FileSystemStorage):  # type: ignore[attr-defined]
            return _headers(FileResponse(io.BytesIO(storage.fetch(image.key)), content_type="image/png"))
    except storage.StorageUnavailable as error:
        if error.permanent:
            raise Http404 from error
        return HttpResponse("The image storage is unavailable.", status=503, content_type="text/plain")
    # The storage signs the address for 15 minutes.
    return HttpResponseRedirect(default_storage.url(image.key))


def _headers(response: HttpResponseBase) -> HttpResponseBase:
    response.headers["Cache-Control"] = "private, max-age=3600"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
