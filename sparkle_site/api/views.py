"""The HTTP API: submit, status, image and cancel, with a key of one server (docs/how-to/use-the-api.md)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from guilds.models import Guild
from guilds.policy import Refusal
from jobs import api_keys, fair_queue, transitions
from jobs.api_models import ApiKey
from jobs.job_status import OPEN, Status
from jobs.models import Job
from sparkle_site.admin import image_views
from sparkle_site.refusals import plain_text

from . import bodies, openapi

_STATUS_OF_REFUSAL = {
    "banned": 403,
    "guild_disabled": 403,
    "feature_off": 403,
    "quota_exceeded": 429,
    "cooldown": 429,
    "budget_spent": 429,
    "queue_full": 429,
    "too_many_waiting": 429,
    "maintenance": 503,
}
View = Callable[..., HttpResponseBase]


def error(status: int, code: str, message: str) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)


def _endpoint(**views: View) -> View:
    """Return the view of one address: checks the key, then calls the view of the method with it."""

    @csrf_exempt
    @wraps(next(iter(views.values())))
    def dispatch(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        view = views.get(request.method or "")
        if view is None:
            response: HttpResponseBase = error(405, "method_not_allowed", f"Use {' or '.join(views)} here.")
            response.headers["Allow"] = ", ".join(views)
            return response
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        key = api_keys.find(secret.strip(), now=timezone.now()) if scheme.lower() == "bearer" else None
        if key is None:
            response = error(401, "unauthorized", "Send a valid key: “Authorization: Bearer sparkle_…”.")
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        response = view(request, key, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return dispatch


def document(request: HttpRequest) -> JsonResponse:
    """Serve the OpenAPI document."""
    return JsonResponse(openapi.document(settings.SITE_URL))


def _submit(request: HttpRequest, key: ApiKey) -> JsonResponse:
    # The header first: a larger body need not be read.
    if int(request.headers.get("Content-Length") or 0) > openapi.MAX_BODY:
        return error(400, "invalid_body", f"Send at most {openapi.MAX_BODY} bytes.")
    repeat = request.headers.get("Idempotency-Key") or None
    if repeat and (len(repeat) > 100 or not repeat.isprintable()):
        return error(400, "invalid_body", "“Idempotency-Key” must have 1 to 100 characters.")
    try:
        params = bodies.parse(request.body)
    except bodies.InvalidBody as invalid:
        return error(400, "invalid_body", str(invalid))
    try:
        result = api_keys.submit(key, params, idempotency_key=repeat, now=timezone.now())
    except Guild.DoesNotExist:
        return error(401, "unauthorized", "The key's server does not use Sparkle any more.")
    if isinstance(result, Refusal):
        return error(_STATUS_OF_REFUSAL.get(result.code, 422), result.code, plain_text("en-US", result))
    return JsonResponse(_shown(result.job), status=202)


def _status(request: HttpRequest, key: ApiKey, job_id: int) -> JsonResponse:
    job = _find(key, job_id)
    return JsonResponse(_shown(job)) if job else _unknown()


def _cancel(request: HttpRequest, key: ApiKey, job_id: int) -> JsonResponse:
    job = _find(key, job_id)
    if job is None:
        return _unknown()
    cancelled = transitions.cancel(job.pk, by=key.user_id, now=timezone.now())
    job.refresh_from_db()
    # A cancel that was requested before is no error.
    if not cancelled and not (job.status in OPEN and job.cancel_requested_at):
        return error(409, "ended", "The request has ended already. Get its images, or submit a new one.")
    return JsonResponse(_shown(job), status=202)


def _image(request: HttpRequest, key: ApiKey, job_id: int, number: int) -> HttpResponseBase:
    job = _find(key, job_id)
    image = job.images.filter(index=number - 1, hidden_at=None).first() if job else None
    if image is None:
        return _unknown()
    response = image_views.respond(image, "")
    if response.status_code == 503:
        return error(503, "storage_unavailable", "The image storage is unavailable. Try again in a minute.")
    return response


def _find(key: ApiKey, job_id: int) -> Job | None:
    job: Job | None = api_keys.jobs_of(key).select_related("guild").filter(pk=job_id).first()
    return job


def _unknown() -> JsonResponse:
    return error(404, "not_found", "This key made no such request, or its images were deleted.")


def _shown(job: Job) -> dict[str, Any]:
    """Return the request as the OpenAPI document describes it."""
    waits = job.status in (Status.WAITING, Status.QUEUED)
    done = job.progress_step / job.progress_total if job.progress_total else 0.0
    return {
        "id": str(job.pk),
        "status": str(job.status),
        "reason": job.reason or None,
        "place": fair_queue.load_position(job, now=timezone.now()).place if waits else None,
        "progress": 1.0 if job.status == Status.COMPLETED else round(min(done, 1.0), 3),
        "created_at": job.created_at.isoformat(),
        "ended_at": job.ended_at.isoformat() if job.ended_at else None,
        "images": [
            {
                "number": image.index + 1,
                "seed": image.seed,
                "width": image.width,
                "height": image.height,
                "adult": image.blurred or job.spoiler,
                "url": settings.SITE_URL + reverse("api_image", args=[job.pk, image.index + 1]),
            }
            for image in job.images.filter(hidden_at=None)
        ],
    }


requests = _endpoint(POST=_submit)
request = _endpoint(GET=_status, DELETE=_cancel)
image = _endpoint(GET=_image)
