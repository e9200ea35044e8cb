"""A picture for someone who may see it: small ones from here, the original from where it is kept."""

from __future__ import annotations

import io
from typing import Any

from django.contrib import admin
from django.core.cache import cache
from django.core.files.storage import FileSystemStorage, default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.views.decorators.http import require_safe
from PIL import Image

from guilds.models import ModelProfile, StylePreset
from jobs import storage
from jobs.models import JobImage

from . import access

WIDTHS = (96, 320, 768)
PREVIEWED = (StylePreset, ModelProfile)


@require_safe
def picture(request: HttpRequest, image_id: int) -> HttpResponseBase:
    """The picture, if it is in scope; `?w=` asks for a small one (WIDTHS)."""
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
    """A style's or a model's preview picture, if its row is in scope."""
    found = next((model for model in PREVIEWED if f"{model._meta.app_label}_{model._meta.model_name}" == kind), None)
    if found is None:
        raise Http404
    row: Any = admin.site.get_model_admin(found).get_queryset(request).filter(pk=pk).first()
    if row is None or not row.preview:
        raise Http404
    try:
        # It was bounded when it was uploaded (guilds.uploads).
        return _headers(HttpResponse(_shrink(row.preview.name, WIDTHS[0]), content_type="image/webp"))
    except storage.StorageUnavailable as error:
        raise Http404 from error


def respond(image: JobImage, wanted: str) -> HttpResponseBase:
    """Answer with the picture, small if `wanted` is one of WIDTHS. Whether it may be seen was decided before."""
    try:
        if wanted in {str(width) for width in WIDTHS}:
            return _headers(HttpResponse(_small(image, int(wanted)), content_type="image/webp"))
        if isinstance(default_storage._wrapped, FileSystemStorage):  # type: ignore[attr-defined]
            return _headers(FileResponse(io.BytesIO(storage.fetch(image.key)), content_type="image/png"))
    except storage.StorageUnavailable as error:
        if error.permanent:
            raise Http404 from error
        return HttpResponse("The storage does not answer.", status=503, content_type="text/plain")
    # Signed by the storage, for a quarter of an hour.
    return HttpResponseRedirect(default_storage.url(image.key))


def _headers(response: HttpResponseBase) -> HttpResponseBase:
    response.headers["Cache-Control"] = "private, max-age=3600"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _small(image: JobImage, width: int) -> bytes:
    key = f"picture-{image.pk}-{width}"
    known: bytes | None = cache.get(key) if width < WIDTHS[-1] else None
    if known is not None:
        return known
    content = _shrink(image.key, width)
    if width < WIDTHS[-1]:
        # Short: a deleted picture is gone from here soon, and from the browser's view at once.
        cache.set(key, content, timeout=900)
    return content


def _shrink(key: str, width: int) -> bytes:
    with Image.open(io.BytesIO(storage.fetch(key))) as opened:
        small = opened.convert("RGB")
        small.thumbnail((width, width))
        made = io.BytesIO()
        small.save(made, "WEBP", quality=80)
    return made.getvalue()
