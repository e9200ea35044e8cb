"""Submitted modals: an edited request, a remix of an image in a message, or what else to do with a result."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from discord_api import custom_id, payloads
from guilds import features
from guilds.generation_params import RequestedParams
from guilds.policy import Refusal
from jobs import queries
from jobs.models import Job
from jobs.submission import params_to_repeat

from . import commands, components, modal_fields, responses, submission
from . import interaction as parsing
from .interaction import Interaction, WrongType
from .modal_fields import REMIX_MODAL


def submit(interaction: Interaction, *, now: datetime, started: float) -> dict[str, Any]:
    """Handle a submitted modal whose custom id is one of ours. Raise WrongType for an invalid value."""
    typed = parsing.text_inputs(interaction.data)
    if interaction.data.get("custom_id") == REMIX_MODAL:
        if off := submission.refuse_if_off(interaction, "remix"):
            return off
        return _remix(interaction, typed, now=now, started=started)
    action = custom_id.parse(interaction.data.get("custom_id"))
    if action is None or action.name not in ("edit", "more", "remix"):
        return responses.ephemeral(submission.guild_locale(interaction), "refusal.unknown_interaction")
    if off := submission.refuse_if_off(interaction, features.OF_ACTION.get(action.name)):
        return off
    job = queries.find(interaction.required_guild_id, action.job_id)
    if job is None or not job.prompt:
        return responses.ephemeral(submission.guild_locale(interaction), "refusal.job_gone")
    if action.name == "more":
        if typed.get("action") == "delete":
            return components.delete(interaction, job, now=now, started=started)
        return components.report(interaction, job, reason=typed.get("reason", ""), now=now)
    if action.name == "remix":
        return _remix_result(interaction, job, typed, now=now, started=started)
    params = params_to_repeat(job)
    params = replace(
        params,
        prompt=modal_fields.joined("prompt", {"prompt": ""} | typed, job.prompt, payloads.MAX_INPUT),
        negative_prompt=modal_fields.joined("negative_prompt", typed, params.negative_prompt or "", payloads.MAX_INPUT),
        seed=_integer("seed", typed.get("seed", str(job.seed))),
        steps=_integer("steps", typed.get("steps", str(job.steps))),
    )
    if params.steps != job.steps:
        params = replace(params, lowerable=frozenset({"count"}))
    return submission.submit(interaction, params, now=now, started=started)


def _remix(interaction: Interaction, typed: dict[str, str], *, now: datetime, started: float) -> dict[str, Any]:
    url = commands.check_cdn_url(typed.get("image"))
    if isinstance(url, Refusal):
        return responses.refusal(submission.guild_locale(interaction), url)
    params = replace(_typed_params(typed), source_url=url)
    return submission.submit(interaction, params, now=now, started=started)


def _remix_result(
    interaction: Interaction, job: Job, typed: dict[str, str], *, now: datetime, started: float
) -> dict[str, Any]:
    if not submission.may_see(interaction, job):
        return responses.ephemeral(submission.guild_locale(interaction), "refusal.job_gone")
    params = replace(
        _typed_params(typed),
        source_job_id=job.pk,
        source_index=_integer("image", typed.get("image", "0")),
        # What came from a private image is private.
        is_private=job.ephemeral or None,
    )
    return submission.submit(interaction, params, now=now, started=started)


def _typed_params(typed: dict[str, str]) -> RequestedParams:
    return RequestedParams(
        prompt=typed.get("prompt", ""),
        negative_prompt=typed.get("negative_prompt") or None,
        strength=_number("strength", typed.get("strength", "")),
        kind=Job.Kind.IMG2IMG,
        uses_defaults=True,
    )


def _integer(name: str, typed: str) -> int | None:
    """Return the integer in a text input, None if it is empty. Raise WrongType."""
    if not typed:
        return None
    if not (typed.isascii() and typed.removeprefix("-").isdigit()):
        raise WrongType(name)
    return int(typed[:15])


def _number(name: str, typed: str) -> float | None:
    """Return the number in a text input, None if it is empty. A decimal comma is accepted. Raise WrongType."""
    if not typed:
        return None
    try:
        value = float(typed[:15].replace(",", "."))
    except ValueError:
        raise WrongType(name) from None
    if not abs(value) <= 2**53:
        raise WrongType(name)
    return value
