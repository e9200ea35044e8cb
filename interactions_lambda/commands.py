"""The slash commands and the message command."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage

from discord_api import cdn_urls, custom_id, payloads, snowflakes
from discord_api.custom_id import pack
from discord_api.i18n import translate
from discord_api.payloads import Option, SelectInput, TextInput
from guilds import features, installations, quota
from guilds.command_definitions import REMIX, WHO
from guilds.generation_params import RequestedParams
from guilds.models import Guild
from guilds.policy import Refusal
from jobs import progress_messages, queries, reports, result_messages, transitions, welcome
from jobs.job_status import OPEN, Status
from jobs.models import Job

from . import defaults, responses, settings_panel, submission
from . import interaction as parsing
from .interaction import Interaction
from .modal_fields import REMIX_MODAL

_ID = re.compile(r"\s*#?([0-9]{1,18})\s*", re.ASCII)


def handle_command(interaction: Interaction, *, now: datetime, started: float) -> dict[str, Any]:
    """Handle a command that the router knows. Raise WrongType for an option that is not of its declared type."""
    name = parsing.command_name(interaction.data)
    if name == "sparkle":
        return _sparkle(interaction, now=now, started=started)
    if off := submission.refuse_if_off(interaction, features.OF_COMMAND.get(name)):
        return off
    return _OTHERS[name](interaction, now)


def _sparkle(interaction: Interaction, *, now: datetime, started: float) -> dict[str, Any]:
    data = interaction.data
    options = parsing.options(data)
    size = submission.parse_size(options.text("size"))
    if isinstance(size, Refusal):
        return responses.refusal(submission.guild_locale(interaction), size)
    attachment = options.attachment("image", data)
    source_url = ""
    if attachment is not None:
        checked = source_image_url(attachment)
        if isinstance(checked, Refusal):
            return responses.refusal(submission.guild_locale(interaction), checked)
        source_url = checked
    params = RequestedParams(
        prompt=options.text("prompt") or "",
        negative_prompt=options.text("negative_prompt"),
        seed=options.integer("seed"),
        steps=options.integer("steps"),
        sampler=options.text("sampler"),
        width=size[0] if size else None,
        height=size[1] if size else None,
        guidance=options.number("guidance"),
        count=options.integer("count"),
        style=options.text("style"),
        model=options.text("model"),
        loras=options.text("lora") or "",
        kind=Job.Kind.IMG2IMG if source_url else Job.Kind.TXT2IMG,
        source_url=source_url,
        strength=options.number("strength"),
        speed=options.text("speed"),
        uses_defaults=True,
        preset=options.text("preset"),
        is_private=defaults.chosen_privacy(options),
    )
    return submission.submit(interaction, params, now=now, started=started)


def try_prompt(interaction: Interaction, index: int, *, now: datetime, started: float) -> dict[str, Any]:
    """Request one of the prompts of the welcome message, with the member's defaults."""
    language = find_guild(interaction, now).language
    params = RequestedParams(prompt=welcome.prompt(language, index), uses_defaults=True)
    return submission.submit(interaction, params, now=now, started=started)


def source_image_url(attachment: Any) -> str | Refusal:
    """Return the URL of an attachment that can be a source image, or why it cannot."""
    url, size = attachment.get("url"), attachment.get("size")
    if cdn_urls.media_type(attachment) not in cdn_urls.TYPES:
        return Refusal(code="image_type")
    if type(size) is int and size > cdn_urls.MAX_BYTES:
        return Refusal(code="image_too_large", params={"limit": cdn_urls.MAX_BYTES // (1024 * 1024)})
    return check_cdn_url(url)


def check_cdn_url(url: object) -> str | Refusal:
    """Return `url` if it is on Discord's CDN, or why it cannot be a source image."""
    hosts, insecure = settings.DISCORD_CDN_HOSTS, settings.DISCORD_CDN_INSECURE
    if not isinstance(url, str) or not cdn_urls.is_discord_url(url, hosts=hosts, insecure=insecure):
        return Refusal(code="image_not_from_discord")
    return url


def find_guild(interaction: Interaction, now: datetime) -> Guild:
    """Return the interaction's guild, which is created if it is unknown."""
    guild = Guild.objects.filter(pk=interaction.required_guild_id).first()
    # The installation event may be late or lost.
    return guild or installations.install({"id": interaction.required_guild_id}, now)


def _quota(interaction: Interaction, now: datetime) -> dict[str, Any]:
    guild = find_guild(interaction, now)
    places = submission.places(interaction)
    statuses = quota.load_status(guild.pk, interaction.user_id, interaction.role_ids, now=now, places=places)
    return responses.quota(guild.language or interaction.locale, statuses)


def _history(interaction: Interaction, now: datetime) -> dict[str, Any]:
    guild = find_guild(interaction, now)
    page = queries.load_history(guild.pk, interaction.user_id)
    return payloads.reply(responses.history(guild.language or interaction.locale, page, url_of=grid_url))


def grid_url(job: Job) -> str:
    """Return a URL of the job's grid that expires, or "" if there is nothing to show."""
    key = reports.visible_grid(job)
    return storage_url(key) if key else ""


def storage_url(key: str) -> str:
    """Return a URL of a stored file that expires."""
    url: str = default_storage.url(key)
    return settings.SITE_URL + url if url.startswith("/") else url


def _named_job(interaction: Interaction, guild: Guild, typed: str) -> Job | Refusal:
    """Return the job with the typed id if it is the member's own, or if they may moderate it."""
    match = _ID.fullmatch(typed)
    job = queries.find(guild.pk, int(match[1])) if match else None
    if job is None or (job.user_id != interaction.user_id and not submission.may_moderate(interaction, job)):
        return Refusal(code="not_found", params={"id": f"#{match[1]}" if match else "?"})
    return job


def _show(interaction: Interaction, now: datetime) -> dict[str, Any]:
    return show(interaction, find_guild(interaction, now), parsing.options(interaction.data).text("id") or "")


def show_chosen(interaction: Interaction, now: datetime) -> dict[str, Any]:
    """Show the request that was chosen in the history."""
    return show(interaction, find_guild(interaction, now), parsing.selected(interaction.data) or "")


def show(interaction: Interaction, guild: Guild, typed: str) -> dict[str, Any]:
    """Show the request with the typed id again, to the member only."""
    locale = guild.language or interaction.locale
    job = _named_job(interaction, guild, typed)
    if isinstance(job, Refusal):
        return responses.refusal(locale, job)
    url = grid_url(job)
    if job.status == Status.COMPLETED and url:
        buttons = result_messages.result_controls(job, is_copy=True)
    elif job.status in OPEN:
        buttons = progress_messages.cancel_button(job)
    else:
        buttons = ()
    return payloads.reply(
        responses.job_details(locale, job, url=url, embed=result_messages.details(job), buttons=buttons)
    )


def _cancel(interaction: Interaction, now: datetime) -> dict[str, Any]:
    guild = find_guild(interaction, now)
    locale = guild.language or interaction.locale
    typed = parsing.options(interaction.data).text("id")
    if typed:
        job = _named_job(interaction, guild, typed)
        if isinstance(job, Refusal):
            return responses.refusal(locale, job)
    else:
        newest = queries.find_newest_open(guild.pk, interaction.user_id)
        if newest is None:
            return responses.ephemeral(locale, "refusal.nothing_to_cancel")
        job = newest
    reason = "cancelled_by_member" if job.user_id == interaction.user_id else "cancelled_by_moderator"
    if not transitions.cancel(job.pk, by=interaction.user_id, reason=reason, now=now):
        return responses.ephemeral(locale, "refusal.already_ended")
    job.refresh_from_db(fields=["status"])
    done = "done.cancelled" if job.status == Status.CANCELLED else "done.stopping"
    return responses.ephemeral(locale, done, id=f"#{job.pk}")


def _settings(interaction: Interaction, now: datetime) -> dict[str, Any]:
    return settings_panel.show(interaction, find_guild(interaction, now))


def _help(interaction: Interaction, now: datetime) -> dict[str, Any]:
    guild = find_guild(interaction, now)
    return responses.help_(guild.language or interaction.locale, days=guild.retention_days)


def _remix(interaction: Interaction, now: datetime) -> dict[str, Any]:
    locale = submission.guild_locale(interaction)
    job = _job_of_message(interaction)
    numbers = reports.visible_indexes(job) if job and submission.may_see(interaction, job) else []
    if job is not None and numbers:
        return _remix_result(locale, job, numbers)
    urls = list(cdn_urls.images_of(parsing.target_message(interaction.data)))
    url = next((url for url in urls if isinstance(check_cdn_url(url), str)), None)
    if url is None:
        return responses.ephemeral(locale, "refusal.image_not_from_discord" if urls else "refusal.no_image_in_message")
    return payloads.modal(
        REMIX_MODAL,
        translate(locale, "modal.remix"),
        (
            *_remix_fields(locale),
            # A URL is too long for a custom id, so a visible text input holds it.
            TextInput(
                custom_id="image",
                label=translate(locale, "modal.image"),
                value=url,
                required=True,
                max_length=cdn_urls.MAX_URL,
            ),
        ),
    )


def _remix_result(locale: str, job: Job, indexes: Sequence[int]) -> dict[str, Any]:
    """Open the modal for one of our own results, whose images are known by their request."""
    options = tuple(
        Option(
            value=str(index), label=translate(locale, "modal.image_number", n=index + 1), is_default=index == indexes[0]
        )
        for index in indexes
    )
    which = SelectInput(custom_id="image", label=translate(locale, "modal.which_image"), options=options)
    return payloads.modal(pack("remix", job.pk), translate(locale, "modal.remix"), (which, *_remix_fields(locale)))


def _remix_fields(locale: str) -> tuple[TextInput, ...]:
    return (
        TextInput(custom_id="prompt", label=translate(locale, "option.prompt.description"), long=True, required=True),
        TextInput(
            custom_id="negative_prompt", label=translate(locale, "option.negative_prompt.description"), long=True
        ),
        TextInput(custom_id="strength", label=translate(locale, "field.strength"), value="0.6", max_length=6),
    )


def _who(interaction: Interaction, now: datetime) -> dict[str, Any]:
    """Show the request behind a result of the bot, where the reader may see it."""
    locale = submission.guild_locale(interaction)
    job = _job_of_message(interaction)
    if job is None or not submission.may_see(interaction, job):
        return responses.ephemeral(locale, "refusal.who_unknown")
    return responses.who(locale, job, embed=result_messages.details(job))


def _job_of_message(interaction: Interaction) -> Job | None:
    """Return the job whose result the target message is, None if it is no result of this bot in this server.

    Only the bot writes components with its custom ids in its own messages, so the author decides.
    """
    message = parsing.target_message(interaction.data)
    author = message.get("author")
    authors = (author.get("id") if isinstance(author, dict) else None, message.get("application_id"))
    if interaction.application_id not in map(snowflakes.parse, authors):
        return None
    actions = (custom_id.parse(found) for found in parsing.custom_ids(message))
    action = next((action for action in actions if action is not None and action.job_id), None)
    return queries.find(interaction.required_guild_id, action.job_id) if action else None


def _defaults(interaction: Interaction, now: datetime) -> dict[str, Any]:
    return defaults.handle_command(interaction, find_guild(interaction, now))


_OTHERS: dict[str, Callable[[Interaction, datetime], dict[str, Any]]] = {
    "sparkle-quota": _quota,
    "sparkle-history": _history,
    "sparkle-show": _show,
    "sparkle-cancel": _cancel,
    "sparkle-defaults": _defaults,
    "sparkle-settings": _settings,
    "sparkle-help": _help,
    REMIX: _remix,
    WHO: _who,
}
