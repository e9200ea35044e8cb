"""Deliver a job's final message to its requester by the first route that is open.

1. Edit the original response, while its token is valid.
2. Post in the channel and mention the requester; never for an ephemeral result.
3. Send a direct message.
4. Otherwise, and for a request by the HTTP API, the images stay in the gallery.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError, Forbidden, InvalidFormBody, RouteClosed, TokenExpired, TooLarge, TryLater
from discord_api.payloads import Message

from .models import ClosedRoute, Job

log = logging.getLogger(__name__)

# Discord rejects the token until it has the first response, which a fast worker may precede.
OPENING = timedelta(seconds=10)
# A moderator may reopen a channel at any time. Members rarely change their privacy settings.
_CLOSED_FOR = {Job.Via.CHANNEL: timedelta(minutes=10), Job.Via.DM: timedelta(hours=6)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """`via` is a Job.Via; `message_id` is None if nothing could be posted."""

    via: str
    message_id: int | None


def deliver(job: Job, message: Message, *, client: DiscordClient, now: datetime) -> Delivered:
    """Post the message by the first open route.

    Calling it twice shows one message: an edit replaces the message, and Discord drops a post with a known nonce. If
    the token expired in between, the bot deletes the response, whose id was saved before the edit.

    Raises TooLarge (send smaller files), InvalidFormBody (a bug) and TryLater (call again later).
    """
    for via, post in _delivery_routes(job, message, client=client.for_guild(job.guild_id), now=now):
        try:
            delivered = Delivered(via=via, message_id=int(post()["id"]))
            if via != Job.Via.ORIGINAL:
                _delete_stale_reply(job, client=client)
            return delivered
        except (TooLarge, InvalidFormBody):
            raise
        except DiscordError as error:
            if not error.permanent:
                raise
            if isinstance(error, TokenExpired) and now - job.created_at < OPENING:
                raise TryLater(error.status, error.code, "no response yet") from error
            _remember_closed(job, via, error, now=now)
            log.info(
                "delivery_route_failed",
                extra={"job_id": job.pk, "via": via, "status": error.status, "code": error.code},
            )
    return Delivered(via=Job.Via.GALLERY, message_id=None)


def _delete_stale_reply(job: Job, *, client: DiscordClient) -> None:
    """Delete the response that can no longer be edited and still says that the job is running.

    The bot is its author, and may delete it in channels that it can see. Nobody else sees an ephemeral response.
    """
    job.refresh_from_db(fields=["message_id"])
    if job.message_id is None or job.ephemeral:
        return
    try:
        client.delete_message(job.channel_id, job.message_id)
    except DiscordError as error:
        log.info("reply_not_deleted", extra={"job_id": job.pk, "status": error.status, "code": error.code})


def fetch_reply_id(job: Job, *, client: DiscordClient) -> None:
    """Fetch and save the message id of the original response. Raises DiscordError."""
    save_reply_id(job, int(client.original(job.token)["id"]))


def save_reply_id(job: Job, message_id: int) -> None:
    """Save the message id of the original response, which cannot be fetched once its token has expired."""
    if job.message_id is None:
        Job.objects.filter(pk=job.pk, message_id=None, notified_at=None).update(message_id=message_id)
        job.message_id = message_id


def can_edit_reply(job: Job, *, now: datetime) -> bool:
    """Return whether the token of the original response should still be valid."""
    return now < job.reply_deadline and bool(job.token)


def _delivery_routes(
    job: Job, message: Message, *, client: DiscordClient, now: datetime
) -> Iterator[tuple[Job.Via, Callable[[], dict[str, str]]]]:
    if job.by_api:
        return
    if can_edit_reply(job, now=now):
        yield Job.Via.ORIGINAL, lambda: _edit_reply(job, message, client=client)
    mention, content = f"<@{job.user_id}>", message.content or ""
    post = replace(
        message,
        content=content if mention in content else f"{mention} {content}".rstrip(),
        mention_users=(job.user_id,),
        ephemeral=False,
        nonce=f"sparkle-{job.pk}",
    )
    if not job.ephemeral and not _is_closed(ClosedRoute.Kind.CHANNEL, job.channel_id, now=now):
        yield Job.Via.CHANNEL, lambda: client.create_message(job.channel_id, post)
    if not _is_closed(ClosedRoute.Kind.USER, job.user_id, now=now):
        yield Job.Via.DM, lambda: client.create_message(client.open_dm(job.user_id), post)


def _is_closed(kind: ClosedRoute.Kind, target_id: int, *, now: datetime) -> bool:
    return ClosedRoute.objects.filter(kind=kind, target_id=target_id, closed_until__gt=now).exists()


def _remember_closed(job: Job, via: Job.Via, error: DiscordError, *, now: datetime) -> None:
    """Do not try a channel or user again for a while that refused the bot's message."""
    if via not in _CLOSED_FOR or not isinstance(error, Forbidden) or isinstance(error, RouteClosed):
        return
    kind, target = (
        (ClosedRoute.Kind.CHANNEL, job.channel_id) if via == Job.Via.CHANNEL else (ClosedRoute.Kind.USER, job.user_id)
    )
    ClosedRoute.objects.update_or_create(
        kind=kind, target_id=target, defaults={"code": error.code, "closed_until": now + _CLOSED_FOR[via]}
    )


def _edit_reply(job: Job, message: Message, *, client: DiscordClient) -> dict[str, str]:
    # Before the edit, since its response may be lost. The bot cannot delete an ephemeral response anyway.
    if job.message_id is None and not job.ephemeral:
        fetch_reply_id(job, client=client)
    return client.edit_original(job.token, message)
