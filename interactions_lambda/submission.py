"""From an interaction to a submitted job and its first message, for commands, buttons and modals alike."""

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
from guilds.generation_params import RequestedParams
from guilds.models import Guild
from guilds.policy import Refusal
from jobs import permissions, progress_messages, submission
from jobs.models import Job
from jobs.submission import JobRequest

from . import responses
from .deadline import run_within, send_after_commit
from .interaction import Interaction

logger = logging.getLogger(__name__)
# Seconds after the request arrived. A channel that Discord has not described by then stays unknown.
FETCH_BY_S = 1.2
_SIZE = re.compile(r"\s*([0-9]{2,4})\s*[x×*]\s*([0-9]{2,4})\s*", re.ASCII | re.IGNORECASE)


def parse_size(typed: str | None) -> tuple[int, int] | Refusal | None:
    """Return width and height of a typed size, None if it is empty, a Refusal if it is not a size."""
    if typed is None or not typed.strip():
        return None
    match = _SIZE.fullmatch(typed)
    if match is None:
        return Refusal(code="parameter_out_of_range", params={"parameter": "size", "range": "512x512, 768x512, …"})
    return int(match[1]), int(match[2])


def submit(interaction: Interaction, params: RequestedParams, *, now: datetime, started: float) -> dict[str, Any]:
    """Submit a request for `params` and return the callback with the outcome."""
    channel = _request_channel(interaction, now=now, started=started)
    request = JobRequest(
        interaction_id=interaction.id,
        application_id=interaction.application_id,
        token=interaction.token,
        guild_id=interaction.required_guild_id,
        channel_id=interaction.channel_id,
        parent_channel_id=channel.parent_id,
        category_id=channel.category_id,
        channel_nsfw=channel.nsfw,
        channel_complete=channel.complete,
        user_id=interaction.user_id,
        member_name=interaction.member_name,
        role_ids=interaction.role_ids,
        locale=interaction.locale,
        app_permissions=interaction.app_permissions,
        attachment_size_limit=interaction.attachment_size_limit,
        pressed_message_id=interaction.pressed_message_id,
        params=params,
    )
    try:
        result = submission.submit(request, now=now, send_hook=send_after_commit)
    except Guild.DoesNotExist:
        # The installation event is late or was lost.
        installations.install({"id": interaction.required_guild_id}, now)
        result = submission.submit(request, now=now, send_hook=send_after_commit)
    fields = {"interaction_id": interaction.id, "guild_id": interaction.required_guild_id}
    if isinstance(result, Refusal):
        metrics = {"JobsRefused": (1, "Count")}
        logger.info("refused", extra={**fields, "code": result.code, "ms": _ms(started), "metrics": metrics})
        return responses.refusal(guild_locale(interaction), result)
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
        name: granted
        for name, requested, granted in (
            ("count", params.count, result.job.count),
            ("steps", params.steps, result.job.steps),
        )
        if requested is not None and requested > granted
    }
    return payloads.reply(
        progress_messages.submitted(
            result.job,
            lowered=lowered,
            place=result.place,
            wait_s=result.wait_s,
            gpu_starting=result.gpu_starting,
            budget_warning=result.budget_warning,
            over_quota=result.over_quota,
        )
    )


def may_moderate(interaction: Interaction, job: Job) -> bool:
    """Return whether the member may act on another member's request."""
    place = _described_channel(interaction)
    here = {place.channel_id, *([place.parent_id] if place.is_thread and place.parent_id else [])}
    return permissions.may_moderate(job, permissions=interaction.permissions, channel_ids=here)


def may_see(interaction: Interaction, job: Job) -> bool:
    """Return whether the member may see a request: their own, a public one of this channel, or any as a moderator."""
    return (
        job.user_id == interaction.user_id
        or (job.channel_id == interaction.channel_id and not job.ephemeral)
        or may_moderate(interaction, job)
    )


def places(interaction: Interaction) -> frozenset[int | None]:
    """Return the ids of the channel, its category and a thread's channel, as far as the interaction names them."""
    place = _described_channel(interaction)
    return frozenset({place.channel_id, place.parent_id, place.category_id})


def _described_channel(interaction: Interaction) -> channels.RequestChannel:
    return channels.from_interaction(
        interaction.channel, channel_id=interaction.channel_id, parent_id=interaction.parent_channel_id
    )


def _request_channel(interaction: Interaction, *, now: datetime, started: float) -> channels.RequestChannel:
    place = _described_channel(interaction)
    if (place.complete and place.nsfw is not None) or not Guild.objects.filter(
        pk=interaction.required_guild_id
    ).exists():
        return place
    fetch = functools.partial(_fetch_channel, started) if _may_fetch() else None
    return channels.fill_in(place, guild_id=interaction.required_guild_id, now=now, fetch=fetch)


def _may_fetch() -> bool:
    # On AWS this function has neither the bot token nor access to Discord (docs/decisions/0014-absent-fields.md).
    return bool(settings.DISCORD_BOT_TOKEN)


def _fetch_channel(started: float, channel_id: int) -> dict[str, Any]:
    """Return the channel as Discord describes it. Raise DiscordError, also if it takes too long."""
    channels_fetched: list[dict[str, Any]] = []
    if not run_within(lambda: channels_fetched.append(_client().channel(channel_id)), by_s=FETCH_BY_S, started=started):
        raise Unavailable(0, 0, "the channel was not described in time")
    return channels_fetched[0]


@functools.cache
def _client() -> DiscordClient:
    # Not by the secret's ARN: this function may not read the secret.
    return DiscordClient(
        settings.DISCORD_API_BASE,
        application_id=settings.DISCORD_APPLICATION_ID,
        bot_token=settings.DISCORD_BOT_TOKEN,
        timeout_s=FETCH_BY_S,
    )


def refuse_if_off(interaction: Interaction, feature: str | None) -> dict[str, Any] | None:
    """Return the callback that refuses a feature that the server has switched off, else None."""
    if feature is None:
        return None
    known = Guild.objects.filter(pk=interaction.required_guild_id).values_list("language", "switched_off").first()
    if known is None or feature not in known[1]:
        return None
    refusal = Refusal(code="feature_off", params={"feature": feature})
    return responses.refusal(known[0] or interaction.locale, refusal)


def guild_locale(interaction: Interaction) -> str:
    """Return the server's language if it has chosen one, otherwise the member's."""
    chosen = Guild.objects.filter(pk=interaction.required_guild_id).values_list("language", flat=True).first()
    return chosen or interaction.locale


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
