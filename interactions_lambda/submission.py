"""From an interaction to a submitted job and its first message; the one way for commands, buttons and modals."""

from __future__ import annotations

import functools
import logging
import re
import time
from datetime import datetime
from typing import Any

from django.conf import settings

from discord_api import payloads
from discord_api.client import DiscordClient
from discord_api.errors import Unavailable
from guilds import channels, installations
from guilds.models import Guild
from guilds.policy import Refusal
from jobs import messages, permissions, submission
from jobs.models import Job
from jobs.submission import JobRequest

from . import responses
from .deadline import run_within, send_after_commit
from .interaction import Interaction

logger = logging.getLogger(__name__)
# Seconds after the request came in by which a channel is described, or goes unknown.
FETCH_BY_S = 1.2
_SIZE = re.compile(r"\s*([0-9]{2,4})\s*[x×*]\s*([0-9]{2,4})\s*", re.ASCII | re.IGNORECASE)


def size(typed: str | None) -> tuple[int, int] | Refusal | None:
    """Return width and height of a size as typed, None for none, a Refusal for what is no size."""
    if typed is None or not typed.strip():
        return None
    match = _SIZE.fullmatch(typed)
    if match is None:
        return Refusal(code="parameter_out_of_range", params={"parameter": "size", "range": "512x512, 768x512, …"})
    return int(match[1]), int(match[2])


def answer(interaction: Interaction, *, now: datetime, started: float, **wish: Any) -> dict[str, Any]:
    """Submit the options `wish` (fields of jobs.submission.JobRequest); return the callback with the outcome."""
    place = _place(interaction, now=now, started=started)
    ask = JobRequest(
        interaction_id=interaction.id,
        application_id=interaction.application_id,
        token=interaction.token,
        guild_id=interaction.home,
        channel_id=interaction.channel_id,
        parent_channel_id=place.parent_id,
        category_id=place.category_id,
        channel_nsfw=place.nsfw,
        channel_complete=place.complete,
        user_id=interaction.user_id,
        member_name=interaction.member_name,
        role_ids=interaction.role_ids,
        locale=interaction.locale,
        app_permissions=interaction.app_permissions,
        attachment_size_limit=interaction.attachment_size_limit,
        **wish,
    )
    try:
        result = submission.submit(ask, now=now, send_hook=send_after_commit)
    except Guild.DoesNotExist:
        # The event that told of the installation is late or was lost.
        installations.install({"id": interaction.home}, now)
        result = submission.submit(ask, now=now, send_hook=send_after_commit)
    fields = {"interaction_id": interaction.id, "guild_id": interaction.home}
    if isinstance(result, Refusal):
        counted = {"JobsRefused": (1, "Count")}
        logger.info("refused", extra={**fields, "code": result.code, "ms": _ms(started), "metrics": counted})
        return responses.refusal(language(interaction), result)
    logger.info(
        "submitted",
        extra={
            **fields,
            "job_id": result.job.pk,
            "place": result.place,
            "repeated": result.repeated,
            "ms": _ms(started),
            "metrics": {"JobsSubmitted": (0 if result.repeated else 1, "Count")},
        },
    )
    lowered = {
        name: limit
        for name, wished, limit in (("count", ask.count, result.job.count), ("steps", ask.steps, result.job.steps))
        if wished is not None and wished > limit
    }
    return payloads.reply(
        messages.submitted(
            result.job,
            lowered=lowered,
            place=result.place,
            wait_s=result.wait_s,
            gpu_starting=result.gpu_starting,
            budget_warning=result.budget_warning,
        )
    )


def may_moderate(interaction: Interaction, job: Job) -> bool:
    """Return whether the member may act on another member's request."""
    place = _said_place(interaction)
    here = {place.channel_id, *([place.parent_id] if place.is_thread and place.parent_id else [])}
    return permissions.may_moderate(job, permissions=interaction.permissions, channel_ids=here)


def _said_place(interaction: Interaction) -> channels.RequestChannel:
    return channels.from_interaction(
        interaction.channel, channel_id=interaction.channel_id, parent_id=interaction.parent_channel_id
    )


def _place(interaction: Interaction, *, now: datetime, started: float) -> channels.RequestChannel:
    place = _said_place(interaction)
    if (place.complete and place.nsfw is not None) or not Guild.objects.filter(pk=interaction.home).exists():
        return place
    fetch = functools.partial(_fetch_channel, started) if _may_fetch() else None
    return channels.fill_in(place, guild_id=interaction.home, now=now, fetch=fetch)


def _may_fetch() -> bool:
    # On AWS this function has neither the token nor a way to Discord (docs/decisions/0014-absent-fields.md).
    return bool(settings.DISCORD_BOT_TOKEN)


def _fetch_channel(started: float, channel_id: int) -> dict[str, Any]:
    """Return Discord's channel object while there is time. Raise DiscordError."""
    found: list[dict[str, Any]] = []
    if not run_within(lambda: found.append(_client().channel(channel_id)), by_s=FETCH_BY_S, started=started):
        raise Unavailable(0, 0, "the channel was not described in time")
    return found[0]


@functools.cache
def _client() -> DiscordClient:
    # Without the secret's ARN: this function may not read it.
    return DiscordClient(
        settings.DISCORD_API_BASE,
        application_id=settings.DISCORD_APPLICATION_ID,
        bot_token=settings.DISCORD_BOT_TOKEN,
        timeout_s=FETCH_BY_S,
    )


def language(interaction: Interaction) -> str:
    """Return the server's language where it has chosen one, else the member's."""
    chosen = Guild.objects.filter(pk=interaction.home).values_list("language", flat=True).first()
    return chosen or interaction.locale


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
