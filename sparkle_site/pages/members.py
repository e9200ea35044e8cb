"""A member's own images and data."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from discord_api import i18n, snowflakes
from jobs import edit_links, moderation, queries
from jobs.job_status import OPEN, Status
from jobs.models import Job, JobImage
from sparkle_site import data_subject_requests
from sparkle_site.admin import access, formatting, image_views

from . import languages, signed_urls

logger = logging.getLogger(__name__)
PAGE_SIZE = 24


@require_safe
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """Show the member's own requests, newest first, or the landing page to visitors."""
    if not request.user.is_authenticated:
        return render(request, "pages/landing.html")
    user_id = access.discord_id(request.user)
    jobs: list[Job] = []
    if user_id is not None:
        rows = (
            queries.visible(Job.objects.filter(user_id=user_id)).exclude(status=Status.REFUSED).select_related("guild")
        )
        # Deleted requests remain as rows for the counters and have no images.
        rows = rows.exclude(status=Status.COMPLETED, grid_key="")
        before = snowflakes.parse(request.GET.get("before"))
        if before is not None:
            rows = rows.filter(pk__lt=before)
        jobs = list(rows.order_by("-pk").prefetch_related("images")[: PAGE_SIZE + 1])
    return render(
        request,
        "pages/home.html",
        {
            "known": user_id is not None,
            "jobs": [
                {
                    "job": job,
                    "requested_at": formatting.when(job.created_at),
                    "status": _status(request, job),
                    "deletable": job.status not in OPEN,
                    "images": _images(request, job),
                }
                for job in jobs[:PAGE_SIZE]
            ],
            "older": jobs[PAGE_SIZE - 1].pk if len(jobs) > PAGE_SIZE else None,
        },
    )


def _status(request: HttpRequest, job: Job) -> str:
    if job.status == Status.COMPLETED:
        return languages.text(request, "images_deleted")
    return i18n.translate(languages.locale_of(request), f"status.{job.status}")


def _images(request: HttpRequest, job: Job) -> list[dict[str, Any]]:
    return [
        {
            "number": image.index + 1,
            "seed": image.seed,
            "alt": languages.text(request, "image_alt", number=image.index + 1, prompt=job.prompt[:120]),
            "address": signed_urls.signed_url(image.pk),
            "small": signed_urls.signed_url(image.pk, width=320),
            "large": signed_urls.signed_url(image.pk, width=768),
            "blur": image.blurred or job.spoiler,
            "edit": edit_links.path(job, image.index) if job.prompt else "",
        }
        for image in job.images.all()
        if image.hidden_at is None
    ]


@require_safe
@login_required
def gallery(request: HttpRequest, guild_id: int, job_id: int) -> HttpResponse:
    """Show one request's images to its requester and to those who manage its server. Messages link here."""
    job = queries.visible(Job.objects.filter(pk=job_id, guild_id=guild_id)).select_related("guild").first()
    is_own = job is not None and access.discord_id(request.user) == job.user_id
    if job is None or not (is_own or access.of(request).includes(guild_id)):
        raise Http404
    return render(
        request,
        "pages/gallery.html",
        {"job": job, "requested_at": formatting.when(job.created_at), "images": _images(request, job)},
    )


@require_safe
def signed_image(request: HttpRequest, signed: str) -> HttpResponseBase:
    """Return the image of a signed URL that has not expired."""
    image_id = signed_urls.verify_signed_url(signed)
    image = JobImage.objects.filter(pk=image_id, hidden_at=None).first() if image_id else None
    if image is None:
        raise Http404
    return image_views.respond(image, request.GET.get("w", ""))


@require_POST
@login_required
def delete_request(request: HttpRequest, job_id: int) -> HttpResponse:
    """Delete the member's own request: images, prompt and message."""
    user_id = access.discord_id(request.user)
    job = queries.visible(Job.objects.filter(pk=job_id, user_id=user_id)).first() if user_id is not None else None
    if job is None:
        raise Http404
    deleted = moderation.delete_by_member(job.pk, now=timezone.now())
    if deleted is None:
        messages.warning(request, languages.text(request, "still_running"))
        return redirect("home")
    messages.success(request, languages.text(request, "deleted"))
    if not deleted.message_gone:
        messages.warning(request, languages.text(request, "message_stays"))
    return redirect("home")


@require_safe
@login_required
def download_data(request: HttpRequest) -> HttpResponseBase:
    """Download all data about the member as JSON lines."""
    user_id = access.discord_id(request.user)
    if user_id is None:
        raise Http404

    def lines() -> Iterator[str]:
        for record in data_subject_requests.export_member(user_id):
            yield json.dumps(record, ensure_ascii=False) + "\n"

    return StreamingHttpResponse(
        lines(),
        content_type="application/x-ndjson; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="sparkle-data.jsonl"', "Cache-Control": "no-store"},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def delete_everything(request: HttpRequest) -> HttpResponse:
    """Ask for confirmation, then erase the member's data in all servers."""
    user_id = access.discord_id(request.user)
    if user_id is None:
        raise Http404
    if request.method != "POST" or request.POST.get("sure") != "yes":
        question = {
            "question": languages.text(request, "delete_question"),
            "consequence": languages.text(request, "delete_consequence"),
            "button": languages.text(request, "delete_everything"),
        }
        return render(request, "pages/confirm.html", question)
    erased = data_subject_requests.erase_member(user_id, now=timezone.now())
    logger.info("member_erased", extra={"requests": erased, "by": "member"})
    # The account no longer exists.
    logout(request)
    messages.success(request, languages.text(request, "everything_deleted", count=erased))
    if Job.objects.filter(user_id=user_id, status__in=OPEN).exists():
        messages.warning(request, languages.text(request, "running_again"))
    return redirect("home")
