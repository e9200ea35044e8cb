"""From an interaction to a submitted job and its first message; the one way for commands, buttons and modals."""

from __future__ import annotations

import logging
import re
import time
from datetime import datetime
from typing import Any

from guilds import installs
from guilds.discord import wire
from guilds.models import Guild
from guilds.policy import Refusal
from jobs import actions, messages
from jobs.actions import Ask

from . import replies
from .interaction import Interaction
from .punctual import ring_after

logger = logging.getLogger(__name__)
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
    """Submit what the member wishes (fields of jobs.actions.Ask) and return the callback that tells of it."""
    ask = Ask(
        interaction_id=interaction.id,
        application_id=interaction.application_id,
        token=interaction.token,
        guild_id=interaction.home,
        channel_id=interaction.channel_id,
        parent_channel_id=interaction.parent_channel_id,
        channel_nsfw=interaction.channel_nsfw,
        user_id=interaction.user_id,
        member_name=interaction.member_name,
        role_ids=interaction.role_ids,
        locale=interaction.locale,
        app_permissions=interaction.app_permissions,
        attachment_size_limit=interaction.attachment_size_limit,
        **wish,
    )
    try:
        result = actions.submit(ask, now=now, ring=ring_after)
    except Guild.DoesNotExist:
        # The event that told of the installation is late or was lost.
        installs.install({"id": interaction.home}, now)
        result = actions.submit(ask, now=now, ring=ring_after)
    fields = {"interaction_id": interaction.id, "guild_id": interaction.home}
    if isinstance(result, Refusal):
        counted = {"JobsRefused": (1, "Count")}
        logger.info("refused", extra={**fields, "code": result.code, "ms": _ms(started), "metrics": counted})
        return replies.refuse(language(interaction), result)
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
    return wire.reply(
        messages.submitted(
            result.job,
            place=result.place,
            wait_s=result.wait_s,
            gpu_starting=result.gpu_starting,
            budget_warning=result.budget_warning,
        )
    )


def language(interaction: Interaction) -> str:
    """Return the server's language where it has chosen one, else the member's."""
    chosen = Guild.objects.filter(pk=interaction.home).values_list("language", flat=True).first()
    return chosen or interaction.locale


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
