"""The page where a member marks a part of an image and says what should be there (inpainting)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.storage import default_storage
from django.core.signing import BadSignature, Signer
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from discord_api import snowflakes
from discord_api.errors import DiscordError
from guilds import channels, masks
from guilds.masks import InvalidMask
from guilds.policy import Refusal
from jobs import edit_links, queries, storage, submission
from jobs.models import BY_API, Job, JobImage
from jobs.submission import JobRequest
from sparkle_site.admin import access
from sparkle_site.discord_client import client
from sparkle_site.refusals import plain_text

from . import languages, signed_urls

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edited:
    """The image that is edited, its request, and who edits it."""

    job: Job
    image: JobImage
    user_id: int


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def edit_area(request: HttpRequest, guild_id: int, job_id: int, number: int) -> HttpResponse:
    """Show the page, or take the mask and the prompt and answer with JSON: `address` to go on to, or `problem`.

    An image that is gone, or that the member may not see, is not found.
    """
    edited = _find(request, guild_id, job_id, number)
    if request.method == "POST":
        return _submit(request, edited) if edited else _problem(request, "edit_gone", status=404)
    if edited is None:
        raise Http404
    return render(
        request,
        "pages/edit_area.html",
        {
            "job": edited.job,
            "image": edited.image,
            "shown": signed_urls.signed_url(edited.image.pk, width=768),
            "alt": languages.text(request, "image_alt", number=number, prompt=edited.job.prompt[:120]),
            # A page that is sent twice makes one request.
            "once": Signer(salt="edit area").sign(str(snowflakes.random_at(timezone.now()))),
        },
    )


def _find(request: HttpRequest, guild_id: int, job_id: int, number: int) -> _Edited | None:
    user_id = access.discord_id(request.user)
    job = queries.find(guild_id, job_id)
    if user_id is None or job is None or not job.prompt:
        return None
    is_linked = edit_links.is_valid(request.GET.get("link", ""), job_id=job_id, index=number - 1, user_id=user_id)
    if job.user_id != user_id and not is_linked and not access.of(request).includes(guild_id):
        return None
    image = JobImage.objects.filter(job=job, index=number - 1, hidden_at=None).exclude(key="").first()
    return _Edited(job=job, image=image, user_id=user_id) if image else None


def _submit(request: HttpRequest, edited: _Edited) -> JsonResponse:
    now = timezone.now()
    file = request.FILES.get("mask")
    try:
        if file is None or (file.size or 0) > masks.MAX_BYTES:
            raise InvalidMask("unreadable")
        mask = masks.cleaned_mask(file.read(), width=edited.image.width, height=edited.image.height)
        interaction_id = int(Signer(salt="edit area").unsign(request.POST.get("once", "")))
    except InvalidMask as invalid:
        return _problem(request, f"mask_{invalid.code}")
    except BadSignature:
        return _problem(request, "bad_request_text")
    try:
        member = client().member(edited.job.guild_id, edited.user_id)
    except DiscordError as error:
        return _problem(request, "not_a_member" if error.status == 404 else "discord_away")
    key = masks.mask_key(edited.job.guild_id)
    try:
        storage.store(key, mask)
        result = submission.submit(
            _job_request(request, edited, member, mask_key=key, interaction_id=interaction_id, now=now), now=now
        )
    except storage.StorageUnavailable:
        return _problem(request, "storage_away")
    except Exception:
        default_storage.delete(key)
        raise
    if isinstance(result, Refusal) or result.job.painted_area != key:
        default_storage.delete(key)
    if isinstance(result, Refusal):
        return JsonResponse({"problem": plain_text(languages.locale_of(request), result)})
    logger.info("area_edited", extra={"job_id": result.job.pk, "source_job_id": edited.job.pk})
    messages.success(request, languages.text(request, "edit_submitted", number=result.job.pk))
    return JsonResponse({"address": reverse("home")})


def _problem(request: HttpRequest, key: str, *, status: int = 200) -> JsonResponse:
    return JsonResponse({"problem": languages.text(request, key)}, status=status)


def _job_request(
    request: HttpRequest,
    edited: _Edited,
    member: dict[str, Any],
    *,
    mask_key: str,
    interaction_id: int,
    now: datetime,
) -> JobRequest:
    source = edited.job
    params = submission.params_to_vary(source, edited.image.index, strength=1.0)
    place = channels.RequestChannel(
        channel_id=source.channel_id,
        parent_id=source.parent_channel_id,
        category_id=source.category_id,
        complete=source.by_api,
    )
    if not source.by_api:
        place = channels.fill_in(place, guild_id=source.guild_id, now=now, fetch=client().channel)
    roles = map(snowflakes.parse, member.get("roles") or [])
    return JobRequest(
        interaction_id=interaction_id,
        # The result of a request by the HTTP API has no channel to be posted in.
        application_id=BY_API if source.by_api else settings.DISCORD_APPLICATION_ID,
        token="",
        guild_id=source.guild_id,
        channel_id=source.channel_id,
        parent_channel_id=place.parent_id,
        category_id=place.category_id,
        channel_nsfw=place.nsfw,
        channel_complete=place.complete,
        user_id=edited.user_id,
        member_name=_name(member),
        role_ids=frozenset(role for role in roles if role is not None),
        locale=languages.locale_of(request),
        attachment_size_limit=source.attachment_size_limit,
        pressed_message_id=None if source.ephemeral else source.message_id,
        params=replace(params, prompt=request.POST.get("prompt", ""), painted_area=mask_key),
    )


def _name(member: dict[str, Any]) -> str:
    user = member.get("user") or {}
    names = (member.get("nick"), user.get("global_name"), user.get("username"))
    return next((str(name) for name in names if name), "")
