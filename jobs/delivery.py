"""Deliver a job's final message to its requester by the best route that is still open.

While its token lives, the reply is edited. After that the bot posts in the channel and mentions the requester, or sends
a direct message, or the images stay in the gallery. A private result never becomes a post in the channel.
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

# A fast worker can be here before the answer that opens the token has reached Discord.
OPENING = timedelta(seconds=10)
# A moderator may open a channel again at any time; a member who takes no messages rarely changes that.
_CLOSED_FOR = {Job.Via.CHANNEL: timedelta(minutes=10), Job.Via.DM: timedelta(hours=6)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """`via` is a Job.Via; `message_id` is None where nothing could be posted."""

    via: str
    message_id: int | None


def deliver(job: Job, message: Message, *, client: DiscordClient, now: datetime) -> Delivered:
    """Post the message by the first open way.

    Raises TooLarge (send smaller files), BadForm (a fault of ours), and TryLater (try again later).
    Doing it twice shows one message: an edit replaces, Discord drops a post whose nonce it has just seen, and where the
    token died in between, the bot takes away the reply, which was noted before it was edited.
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
                raise TryLater(error.status, error.code, "not answered yet") from error
            _remember_closed(job, via, error, now=now)
            log.info(
                "delivery_route_failed",
                extra={"job_id": job.pk, "via": via, "status": error.status, "code": error.code},
            )
    return Delivered(via=Job.Via.GALLERY, message_id=None)


def _delete_stale_reply(job: Job, *, client: DiscordClient) -> None:
    """Delete the reply that can no longer be edited, so that nothing goes on saying that the job is being made.

    The bot is its author and may, where the channel is open to it; nobody else sees a private reply.
    """
    job.refresh_from_db(fields=["message_id"])
    if job.message_id is None or job.ephemeral:
        return
    try:
        client.delete_message(job.channel_id, job.message_id)
    except DiscordError as error:
        log.info("reply_stays", extra={"job_id": job.pk, "status": error.status, "code": error.code})


def fetch_reply_id(job: Job, *, client: DiscordClient) -> None:
    """Ask which message the reply is, and remember it. Raises DiscordError."""
    save_reply_id(job, int(client.original(job.token)["id"]))


def save_reply_id(job: Job, message_id: int) -> None:
    """Remember which message the reply is. Once its token is dead, nobody can ask any more."""
    if job.message_id is None:
        Job.objects.filter(pk=job.pk, message_id=None, notified_at=None).update(message_id=message_id)
        job.message_id = message_id


def mark_processing(job: Job, *, now: datetime) -> bool:
    """Whether the reply can still be edited, as far as the row knows."""
    return now < job.reply_deadline and bool(job.token)


def _delivery_routes(
    job: Job, message: Message, *, client: DiscordClient, now: datetime
) -> Iterator[tuple[Job.Via, Callable[[], dict[str, str]]]]:
    if mark_processing(job, now=now):
        yield Job.Via.ORIGINAL, lambda: _edit_reply(job, message, client=client)
    mention = f"<@{job.user_id}>"
    post = replace(
        message,
        content=f"{mention} {message.content}" if message.content else mention,
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
    """Leave a channel or direct messages alone for a while that did not take a message of ours."""
    if via not in _CLOSED_FOR or not isinstance(error, Forbidden) or isinstance(error, RouteClosed):
        return
    kind, target = (
        (ClosedRoute.Kind.CHANNEL, job.channel_id) if via == Job.Via.CHANNEL else (ClosedRoute.Kind.USER, job.user_id)
    )
    ClosedRoute.objects.update_or_create(
        kind=kind, target_id=target, defaults={"code": error.code, "closed_until": now + _CLOSED_FOR[via]}
    )


def _edit_reply(job: Job, message: Message, *, client: DiscordClient) -> dict[str, str]:
    # First, since the answer to the edit may be lost, and we with it. A private reply is out of the bot's reach anyway.
    if job.message_id is None and not job.ephemeral:
        fetch_reply_id(job, client=client)
    return client.edit_original(job.token, message)
