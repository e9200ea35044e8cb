"""Create, find and revoke keys of the HTTP API, and submit requests with them."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction

from discord_api import snowflakes
from guilds.models import Guild
from guilds.policy import Refusal, RequestedParams

from . import submission
from .api_models import ApiKey, ApiRequest
from .dispatch.sending import send_now
from .models import BY_API, Job
from .submission import Accepted, JobRequest

PREFIX = "sparkle_"
MOST_KEYS = 20
# `last_used_at` is for people: one write a minute is enough.
_NOTE_USE_EVERY = timedelta(minutes=1)


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def issue(key: ApiKey) -> str:
    """Save the new key and return its secret, which cannot be shown again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    key.digest = digest_of(secret)
    key.hint = secret[: len(PREFIX) + 4]
    key.save()
    return secret


def find(secret: str, *, now: datetime) -> ApiKey | None:
    """Return the valid key of this secret, or None."""
    key = ApiKey.objects.select_related("guild").filter(digest=digest_of(secret), revoked_at=None).first()
    if key is not None and (key.last_used_at is None or now - key.last_used_at > _NOTE_USE_EVERY):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def revoke(key: ApiKey, *, now: datetime) -> bool:
    """Revoke the key at once; its webhooks stop too. False if it was revoked before."""
    ApiRequest.objects.filter(key=key).exclude(webhook_after=None).update(webhook_after=None)
    return bool(ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now))


def submit(key: ApiKey, params: RequestedParams, *, idempotency_key: str | None, now: datetime) -> Accepted | Refusal:
    """Submit a request in the name of the key's member, by the same admission as a command on Discord.

    A repeated `idempotency_key` returns the first request.
    Raises Guild.DoesNotExist if the server was erased.
    """
    if idempotency_key and (earlier := _earlier(key, idempotency_key)):
        return earlier
    request = JobRequest(
        interaction_id=snowflakes.random_at(now),
        application_id=BY_API,
        token="",
        guild_id=key.guild_id,
        channel_id=key.guild_id,
        user_id=key.user_id,
        member_name=f"API: {key.name}",
        params=params,
    )
    try:
        with transaction.atomic():
            result = submission.submit(
                request,
                now=now,
                send_hook=lambda send, mark: transaction.on_commit(partial(send_now, send, mark)),
            )
            if isinstance(result, Accepted):
                ApiRequest.objects.create(
                    job=result.job,
                    key=key,
                    idempotency_key=idempotency_key,
                    webhook_after=now if key.webhook_url else None,
                )
    except IntegrityError:
        # Two calls with one idempotency key at the same time: the other one has the job.
        earlier = _earlier(key, idempotency_key or "")
        if earlier is None:
            raise
        return earlier
    return result


def _earlier(key: ApiKey, idempotency_key: str) -> Accepted | None:
    known = ApiRequest.objects.filter(key=key, idempotency_key=idempotency_key).select_related("job").first()
    if known is None:
        return None
    return Accepted(job=known.job, place=0, wait_s=None, gpu_starting=False, repeated=True)


def jobs_of(key: ApiKey) -> Any:
    """Return the jobs that this key requested."""
    return Job.objects.filter(api_request__key=key)


def default_member(guild: Guild, discord_id: int | None) -> int | None:
    """Return the member in whose name a new key makes requests: its creator, else the server's owner."""
    return discord_id or guild.owner_id
