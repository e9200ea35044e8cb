"""The slash commands and the message command."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage

from guilds import installs, quota
from guilds.discord import cdn, wire
from guilds.discord.commands import REMIX
from guilds.discord.text import t
from guilds.discord.wire import TextInput
from guilds.models import Guild, QuotaRule
from guilds.policy import Refusal
from jobs import actions, messages, pictures, queries
from jobs.access import may_manage
from jobs.lifecycle import OPEN, Status
from jobs.models import Job

from . import asking, replies
from . import interaction as parsing
from .interaction import Interaction
from .router import REMIX_MODAL

_ID = re.compile(r"\s*#?([0-9]{1,18})\s*", re.ASCII)


def act(interaction: Interaction, *, now: datetime, started: float) -> dict[str, Any]:
    """Answer a command that the router knows. Raise WrongType for options that are not as declared."""
    name = parsing.name(interaction.data)
    if name == "sparkle":
        return _sparkle(interaction, now=now, started=started)
    return _OTHERS[name](interaction, now)


def _sparkle(interaction: Interaction, *, now: datetime, started: float) -> dict[str, Any]:
    data = interaction.data
    said = parsing.options(data)
    size = asking.size(said.text("size"))
    if isinstance(size, Refusal):
        return replies.refuse(asking.language(interaction), size)
    attachment = said.attachment("image", data)
    source_url = ""
    if attachment is not None:
        found = source(attachment)
        if isinstance(found, Refusal):
            return replies.refuse(asking.language(interaction), found)
        source_url = found
    return asking.answer(
        interaction,
        now=now,
        started=started,
        prompt=said.text("prompt") or "",
        negative_prompt=said.text("negative_prompt"),
        seed=said.integer("seed"),
        steps=said.integer("steps"),
        sampler=said.text("sampler"),
        width=size[0] if size else None,
        height=size[1] if size else None,
        guidance=said.number("guidance"),
        count=said.integer("count"),
        style=said.text("style"),
        model=said.text("model"),
        kind=Job.Kind.IMG2IMG if source_url else Job.Kind.TXT2IMG,
        source_url=source_url,
        strength=said.number("strength"),
    )


def source(attachment: Any) -> str | Refusal:
    """Return the address of an attachment that can be a start, or why it cannot."""
    url, size = attachment.get("url"), attachment.get("size")
    if cdn.media_type(attachment) not in cdn.TYPES:
        return Refusal(code="image_type")
    if type(size) is int and size > cdn.MAX_BYTES:
        return Refusal(code="image_too_large", params={"limit": cdn.MAX_BYTES // (1024 * 1024)})
    return from_cdn(url)


def from_cdn(url: object) -> str | Refusal:
    """Return `url` if it is on Discord's CDN, or why it cannot be a start."""
    hosts, insecure = settings.DISCORD_CDN_HOSTS, settings.DISCORD_CDN_INSECURE
    if not isinstance(url, str) or not cdn.is_discords(url, hosts=hosts, insecure=insecure):
        return Refusal(code="image_not_from_discord")
    return url


def _guild(interaction: Interaction, now: datetime) -> Guild:
    guild = Guild.objects.filter(pk=interaction.home).first()
    # The event that told of the installation may be late or lost.
    return guild or installs.install({"id": interaction.home}, now)


def _quota(interaction: Interaction, now: datetime) -> dict[str, Any]:
    guild = _guild(interaction, now)
    standings = quota.standing(guild.pk, interaction.user_id, interaction.role_ids, now=now)
    return replies.quota(guild.language or interaction.locale, standings)


def _history(interaction: Interaction, now: datetime) -> dict[str, Any]:
    guild = _guild(interaction, now)
    page = queries.history(guild.pk, interaction.user_id)
    return wire.reply(replies.history(guild.language or interaction.locale, page, url_of=grid_url))


def grid_url(job: Job) -> str:
    """Return an address of the job's grid that expires, or "" where there is nothing to show."""
    key = pictures.visible_grid(job)
    url: str = default_storage.url(key) if key else ""
    return settings.SITE_URL + url if url.startswith("/") else url


def _named_job(interaction: Interaction, guild: Guild, typed: str) -> Job | Refusal:
    """Return the job that the member named: an own one, or a moderator's choice of the server's."""
    match = _ID.fullmatch(typed)
    job = queries.find(guild.pk, int(match[1])) if match else None
    if job is None or (job.user_id != interaction.user_id and not asking.may_moderate(interaction, job)):
        return Refusal(code="not_found", params={"id": f"#{match[1]}" if match else "?"})
    return job


def _show(interaction: Interaction, now: datetime) -> dict[str, Any]:
    guild = _guild(interaction, now)
    locale = guild.language or interaction.locale
    job = _named_job(interaction, guild, parsing.options(interaction.data).text("id") or "")
    if isinstance(job, Refusal):
        return replies.refuse(locale, job)
    url = grid_url(job)
    if job.status == Status.COMPLETED and url:
        # Deleting belongs to the message that all can see.
        buttons = messages.result_buttons(job, delete=False)
    elif job.status in OPEN:
        buttons = messages.cancel_button(job)
    else:
        buttons = ()
    return wire.reply(replies.shown(locale, job, url=url, embed=messages.details(job), buttons=buttons))


def _cancel(interaction: Interaction, now: datetime) -> dict[str, Any]:
    guild = _guild(interaction, now)
    locale = guild.language or interaction.locale
    typed = parsing.options(interaction.data).text("id")
    if typed:
        job = _named_job(interaction, guild, typed)
        if isinstance(job, Refusal):
            return replies.refuse(locale, job)
    else:
        newest = queries.newest_open(guild.pk, interaction.user_id)
        if newest is None:
            return replies.say(locale, "refusal.nothing_to_cancel")
        job = newest
    reason = "cancelled_by_member" if job.user_id == interaction.user_id else "cancelled_by_moderator"
    if not actions.cancel(job.pk, by=interaction.user_id, reason=reason, now=now):
        return replies.say(locale, "refusal.already_ended")
    job.refresh_from_db(fields=["status"])
    done = "done.cancelled" if job.status == Status.CANCELLED else "done.stopping"
    return replies.say(locale, done, id=f"#{job.pk}")


def _settings(interaction: Interaction, now: datetime) -> dict[str, Any]:
    guild = _guild(interaction, now)
    locale = guild.language or interaction.locale
    if not may_manage(interaction.permissions):
        return replies.say(locale, "refusal.moderators_only")
    rules = QuotaRule.objects.filter(guild=guild).order_by("subject", "metric", "window", "pk")[:10]
    return replies.settings(
        locale,
        guild,
        rules=list(rules),
        models=list(guild.models_offered.values_list("name", flat=True)),
        admin_url=f"{settings.SITE_URL}/admin/guilds/guild/{guild.pk}/change/",
    )


def _help(interaction: Interaction, now: datetime) -> dict[str, Any]:
    guild = _guild(interaction, now)
    return replies.help_(guild.language or interaction.locale, days=guild.retention_days)


def _remix(interaction: Interaction, now: datetime) -> dict[str, Any]:
    locale = asking.language(interaction)
    found = list(cdn.pictures_of(parsing.target_message(interaction.data)))
    url = next((each for each in found if isinstance(from_cdn(each), str)), None)
    if url is None:
        return replies.say(locale, "refusal.image_not_from_discord" if found else "refusal.no_image_in_message")
    return wire.modal(
        REMIX_MODAL,
        t(locale, "modal.remix"),
        (
            TextInput(custom_id="prompt", label=t(locale, "option.prompt.description"), long=True, required=True),
            TextInput(custom_id="negative_prompt", label=t(locale, "option.negative_prompt.description"), long=True),
            TextInput(custom_id="strength", label=t(locale, "field.strength"), value="0.6", max_length=6),
            # An address is longer than a custom id may be, so the modal carries it where it can be seen.
            TextInput(
                custom_id="image", label=t(locale, "modal.image"), value=url, required=True, max_length=cdn.MAX_URL
            ),
        ),
    )


_OTHERS: dict[str, Callable[[Interaction, datetime], dict[str, Any]]] = {
    "sparkle-quota": _quota,
    "sparkle-history": _history,
    "sparkle-show": _show,
    "sparkle-cancel": _cancel,
    "sparkle-settings": _settings,
    "sparkle-help": _help,
    REMIX: _remix,
}
