"""Buttons and selects. The custom id holds the job's id, so they work after any restart, and obey all quotas."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from discord_api import custom_id, payloads
from discord_api.custom_id import pack
from discord_api.i18n import translate
from discord_api.payloads import Message, Option, SelectInput, TextInput
from guilds import features
from jobs import (
    edit_links,
    job_erasure,
    moderation,
    painted_areas,
    progress_messages,
    queries,
    reports,
    result_messages,
    transitions,
    welcome,
)
from jobs.job_status import ENDED, Status
from jobs.models import Job
from jobs.submission import negative_to_repeat, params_to_repeat, params_to_vary

from . import commands, defaults, modal_fields, responses, submission
from . import interaction as parsing
from .deadline import run_within
from .interaction import Interaction

logger = logging.getLogger(__name__)
ERASE_BY_S = 1.5
VARIATION_STRENGTH = 0.6
# Redrawing adds detail; upscaling changes nothing in the image.
ENLARGE_STRENGTHS = {"redraw": 0.35, "upscale": 0.0}
# "enlarge" is on messages from before the menu.
_IMAGE_ACTIONS = frozenset({*result_messages.IMAGE_ACTIONS, "enlarge"})
_IMAGE_ACTION = re.compile(r"(vary|upscale|redraw|area|full):([0-9]{1,2})", re.ASCII)


def handle_component(interaction: Interaction, *, now: datetime, started: float) -> dict[str, Any]:
    """Handle a button or select whose custom id is one of ours."""
    action = custom_id.parse(interaction.data.get("custom_id"))
    assert action is not None  # noqa: S101  # The router checked it.
    if off := submission.refuse_if_off(interaction, features.OF_ACTION.get(action.name)):
        return off
    if action.name in ("older", "newer"):
        return _turn_page(interaction, action.name, action.job_id)
    if action.name in ("forget", "forget_defaults"):
        return defaults.forget(interaction)
    if action.name == "try" and action.job_id < welcome.PROMPTS:
        return commands.try_prompt(interaction, action.job_id, now=now, started=started)
    if action.name == "show":
        return commands.show_chosen(interaction, now)
    # Only jobs of this server: a forwarded message must not act on another server's job.
    job = queries.find(interaction.required_guild_id, action.job_id)
    if job is None or not job.prompt:
        return responses.ephemeral(submission.guild_locale(interaction), "refusal.job_gone")
    name, index = action.name, action.index or 0
    if name == "image":
        name, index = _image_action(interaction)
        if off := submission.refuse_if_off(interaction, features.OF_ACTION.get(name)):
            return off
    if (name in _IMAGE_ACTIONS or name in painted_areas.VIEWS) and index < job.count:
        return _act_on_image(interaction, job, name, index, now=now, started=started)
    if name == "reroll":
        return submission.submit(interaction, replace(params_to_repeat(job), seed=None), now=now, started=started)
    if name == "repeat":
        return submission.submit(interaction, params_to_repeat(job), now=now, started=started)
    if name == "edit":
        return _edit(interaction, job)
    if name == "more":
        return _more(interaction, job, is_copy=bool(index))
    if name == "cancel":
        return _cancel(interaction, job, now)
    # Messages from before the menu have these as buttons.
    if name == "delete":
        return delete(interaction, job, now=now, started=started)
    if name == "report":
        return report(interaction, job, reason="", now=now)
    return responses.ephemeral(submission.guild_locale(interaction), "refusal.unknown_interaction")


def _image_action(interaction: Interaction) -> tuple[str, int]:
    """Return what was chosen in an image select, and for which image. ("", 0) for no choice of ours."""
    match = _IMAGE_ACTION.fullmatch(parsing.selected(interaction.data) or "")
    return (match[1], int(match[2])) if match else ("", 0)


def _act_on_image(
    interaction: Interaction, job: Job, name: str, index: int, *, now: datetime, started: float
) -> dict[str, Any]:
    if name == "full":
        return _show_image(interaction, job, index)
    if name == "area":
        return _offer_areas(interaction, job, index)
    if name in painted_areas.VIEWS:
        # All that is new is painted, and nothing of what was there.
        params = params_to_vary(job, index, strength=1.0)
        return submission.submit(interaction, replace(params, painted_area=name), now=now, started=started)
    if name in ("upscale", "redraw", "enlarge"):
        action = "upscale" if name == "upscale" else "redraw"
        return _enlarge(interaction, job, index, action, now=now, started=started)
    params = params_to_vary(job, index, strength=VARIATION_STRENGTH)
    return submission.submit(interaction, params, now=now, started=started)


def _show_image(interaction: Interaction, job: Job, index: int) -> dict[str, Any]:
    locale = submission.guild_locale(interaction)
    image = reports.visible_image(job, index)
    url = commands.storage_url(image.key) if image else ""
    if image is None or not responses.is_linkable(url):
        return responses.ephemeral(locale, "refusal.image_gone")
    return responses.single_image(locale, job, image, url=url)


def _offer_areas(interaction: Interaction, job: Job, index: int) -> dict[str, Any]:
    locale = submission.guild_locale(interaction)
    if reports.visible_image(job, index) is None:
        return responses.ephemeral(locale, "refusal.image_gone")
    url = edit_links.url(job, index, user_id=interaction.user_id)
    return responses.areas(locale, job, index, edit_url=url)


def _enlarge(
    interaction: Interaction, job: Job, index: int, action: str, *, now: datetime, started: float
) -> dict[str, Any]:
    """Request the image at twice its size: redrawn, or upscaled as it is."""
    width, height = job.width * 2, job.height * 2
    limit = result_messages.MAX_SIDES[action]
    if max(width, height) > limit:
        return responses.ephemeral(submission.guild_locale(interaction), "refusal.largest_already", limit=limit)
    params = replace(
        params_to_vary(job, index, strength=ENLARGE_STRENGTHS[action]),
        kind=Job.Kind.UPSCALE,
        width=width,
        height=height,
        count=1,
        # The image's own seed, so that new details match it.
        seed=job.seeds[index],
    )
    return submission.submit(interaction, params, now=now, started=started)


def _edit(interaction: Interaction, job: Job) -> dict[str, Any]:
    locale = submission.guild_locale(interaction)
    return payloads.modal(pack("edit", job.pk), translate(locale, "modal.edit"), edit_fields(locale, job))


def edit_fields(locale: str, job: Job) -> tuple[TextInput, ...]:
    """Return the text inputs of the edit modal. A text that is too long for one input has several.

    A modal holds five inputs; a value without an input stays unchanged.
    """
    prompt = _long_text("prompt", translate(locale, "option.prompt.description"), job.prompt, required=True)
    negative = _long_text(
        "negative_prompt",
        translate(locale, "option.negative_prompt.description"),
        negative_to_repeat(job) or "",
    )
    numbers = (
        TextInput(custom_id="seed", label=translate(locale, "field.seed"), value=str(job.seed), max_length=12),
        TextInput(custom_id="steps", label=translate(locale, "field.steps"), value=str(job.steps), max_length=5),
    )
    if len(prompt) + len(negative) > payloads.MAX_INPUTS:
        negative = ()
    return (*prompt, *negative, *numbers)[: payloads.MAX_INPUTS]


def _long_text(name: str, label: str, text: str, *, required: bool = False) -> tuple[TextInput, ...]:
    parts = modal_fields.split(text, payloads.MAX_INPUT)
    return tuple(
        TextInput(
            custom_id=modal_fields.part_name(name, number),
            label=label if len(parts) == 1 else f"{payloads.truncate(label, 38)} ({number}/{len(parts)})",
            value=part,
            long=True,
            required=required and number == 1,
        )
        for number, part in enumerate(parts, start=1)
    )


def _cancel(interaction: Interaction, job: Job, now: datetime) -> dict[str, Any]:
    own = job.user_id == interaction.user_id
    if not own and not submission.may_moderate(interaction, job):
        return responses.ephemeral(submission.guild_locale(interaction), "refusal.not_yours")
    reason = "cancelled_by_member" if own else "cancelled_by_moderator"
    if not transitions.cancel(job.pk, by=interaction.user_id, reason=reason, now=now):
        return responses.ephemeral(submission.guild_locale(interaction), "refusal.already_ended")
    job.refresh_from_db(fields=["status", "reason"])
    if job.status != Status.CANCELLED:
        return payloads.update(progress_messages.stopping(job))
    # This response is the final message.
    transitions.mark_notified(job.pk, via=Job.Via.ORIGINAL, message_id=None, now=now)
    return payloads.update(progress_messages.ended(job))


def _more(interaction: Interaction, job: Job, *, is_copy: bool) -> dict[str, Any]:
    """Open a form that asks before it deletes or reports anything."""
    locale = submission.guild_locale(interaction)
    may_delete = not is_copy and (job.user_id == interaction.user_id or submission.may_moderate(interaction, job))
    options = tuple(
        Option(
            value=name,
            label=translate(locale, f"more.{name}"),
            description=translate(locale, f"more.{name}_description"),
            emoji=emoji,
        )
        for name, emoji in (("delete", "🗑️"), ("report", "🚩"))
        if name == "report" or may_delete
    )
    return payloads.modal(
        pack("more", job.pk),
        f"{translate(locale, 'field.request')} #{job.pk}",
        (
            SelectInput(custom_id="action", label=translate(locale, "more.question"), options=options),
            TextInput(
                custom_id="reason", label=translate(locale, "more.reason"), max_length=reports.MAX_REASON, long=True
            ),
        ),
    )


def report(interaction: Interaction, job: Job, *, reason: str, now: datetime) -> dict[str, Any]:
    """Report the job's images to the moderators."""
    reports.report(job, by=interaction.user_id, reason=reason, now=now)
    return responses.ephemeral(submission.guild_locale(interaction), "done.reported")


def delete(interaction: Interaction, job: Job, *, now: datetime, started: float) -> dict[str, Any]:
    """Delete the job's images, if the member may, and update the message that shows them."""
    locale = submission.guild_locale(interaction)
    if job.user_id != interaction.user_id and not submission.may_moderate(interaction, job):
        return responses.ephemeral(locale, "refusal.not_yours")
    if job.status not in ENDED:
        return responses.ephemeral(locale, "refusal.other")
    reports.hide(job, by=interaction.user_id, now=now)
    if job.user_id != interaction.user_id:
        # Deleting is the moderator's decision on open reports.
        moderation.clear_reports(job.pk)
    _erase(job, now=now, started=started)
    done = translate(locale, "done.deleted", mention=f"<@{interaction.user_id}>")
    # An update without attachments removes the images from the message.
    return payloads.update(Message(content=done, is_layout=interaction.is_on_layout))


def _erase(job: Job, *, now: datetime, started: float) -> None:
    """Delete the image files now if the storage answers in time; otherwise upkeep deletes them within minutes."""
    if not job_erasure.request_erasure(job.pk, Job.Erasure.IMAGES, now=now):
        return
    try:
        keys = job_erasure.storage_keys([job])
        if run_within(lambda: job_erasure.erase_files(keys), by_s=ERASE_BY_S, started=started):
            job_erasure.delete_rows([job.pk])
    except Exception as error:  # Each storage backend has its own errors.
        logger.warning("images_not_erased", extra={"job_id": job.pk, "error": type(error).__name__})


def _turn_page(interaction: Interaction, direction: str, job_id: int) -> dict[str, Any]:
    bound = {"before": job_id} if direction == "older" else {"after": job_id}
    page = queries.load_history(interaction.required_guild_id, interaction.user_id, **bound)
    return payloads.update(responses.history(submission.guild_locale(interaction), page, url_of=commands.grid_url))
