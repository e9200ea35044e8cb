"""What upkeep says to Discord, or asks it. The first outage ends each of these parts; the next minute tries again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError, TooLarge, is_webhook_gone
from guilds import channels, command_ids, installations
from guilds.models import Channel
from jobs import messages, storage, transitions
from jobs.delivery import Delivered, deliver, fetch_reply_id
from jobs.lifecycle import ENDED, OPEN, Status
from jobs.models import Job

from .task import TaskRun, due, upkeep_task

GIVE_UP_AFTER = timedelta(hours=1)
# An outage says nothing about the one request that met it.
OUTAGE_GIVE_UP_AFTER = timedelta(days=1)
NOTE_BEFORE = timedelta(minutes=5)
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=15)


def _postponed(work: TaskRun, do: Callable[[Job], Any]) -> Callable[[int], Any]:
    """Do it with the job of an id; one that fails is left alone for as long as it has waited already.

    So one request to which Discord always answers with an error does not stand before all others each minute.
    """

    def postponed(pk: int) -> Any:
        job = Job.objects.select_related("guild").get(pk=pk)
        try:
            return do(job)
        except Exception:
            waited = work.now - (job.ended_at or job.created_at)
            pause = min(max(waited, FIRST_PAUSE), LONGEST_PAUSE)
            Job.objects.filter(pk=pk).update(notify_after=work.now + pause)
            raise

    return postponed


def _delivery_due(work: TaskRun) -> Q:
    return Q(notify_after=None) | Q(notify_after__lte=work.now)


@upkeep_task(budget_s=15, needs_discord=True)
def notify_ended(work: TaskRun) -> int:
    """Tell the requesters whose job ended without anyone there to say so; the row says where it was said."""
    after = timedelta(seconds=settings.SPARKLE_ANNOUNCE_AFTER_SECONDS)
    unsaid = Job.objects.filter(_delivery_due(work), notified_at=None, ended_at__lt=work.now - after, status__in=ENDED)

    def announce(job: Job) -> bool:
        try:
            delivered = _deliver(job, client=work.client, now=work.now)
        except DiscordError as error:
            patience = OUTAGE_GIVE_UP_AFTER if error.outage else GIVE_UP_AFTER
            if not error.permanent and job.ended_at and job.ended_at > work.now - patience:
                raise
            transitions.mark_notified(job.pk, via=Job.Via.GALLERY, message_id=None, now=work.now)
        else:
            transitions.mark_notified(job.pk, via=delivered.via, message_id=delivered.message_id, now=work.now)
        return True

    return work.for_each(due(unsaid, by=Coalesce("notify_after", "ended_at")), _postponed(work, announce))


def _deliver(job: Job, *, client: DiscordClient, now: datetime) -> Delivered:
    if job.status != Status.COMPLETED:
        return deliver(job, messages.ended(job), client=client, now=now)
    grid = storage.fetch(job.grid_key) if job.grid_key else b""
    blurred = job.images.filter(blurred=True).exists()
    try:
        return deliver(job, messages.completed_late(job, grid=grid, blurred=blurred), client=client, now=now)
    except TooLarge:
        return deliver(job, messages.completed_late(job, grid=b"", blurred=blurred), client=client, now=now)


@upkeep_task(budget_s=8, needs_discord=True)
def save_reply_ids(work: TaskRun) -> int:
    """Ask which messages the replies are whose tokens die before their jobs may have ended.

    The bot posts another message then, and takes the reply away that would say for ever that the job is in line.
    """
    soon = Job.objects.filter(_delivery_due(work), status__in=OPEN, message_id=None, ephemeral=False).exclude(
        encrypted_token=b""
    )
    soon = soon.filter(reply_deadline__range=(work.now, work.now + NOTE_BEFORE))

    def note(job: Job) -> bool:
        try:
            fetch_reply_id(job, client=work.client.for_guild(job.guild_id))
        except DiscordError as error:
            if is_webhook_gone(error):
                # Nothing can be said or asked by this token any more.
                Job.objects.filter(pk=job.pk, encrypted_token=job.encrypted_token).update(encrypted_token=b"")
                return False
            raise
        return True

    return work.for_each(due(soon, by=F("reply_deadline")), _postponed(work, note))


@upkeep_task(budget_s=5, needs_discord=True)
def refresh_channels(work: TaskRun) -> int:
    """Read the channels above threads in which requests were made without knowing them."""
    if not Channel.objects.exclude(wanted_at=None).exists():
        return 0
    return channels.refresh(work.client.channel, now=work.now)


@upkeep_task(budget_s=3, needs_discord=True)
def refresh_command_ids(work: TaskRun) -> int:
    """Every quarter of an hour, read the ids of the commands that are registered everywhere."""
    return 0 if work.now.minute % 15 else command_ids.save(work.client.commands())


@upkeep_task(budget_s=5, needs_discord=True)
def sync_guilds(work: TaskRun) -> int:
    """Every quarter of an hour, ask Discord where the bot is: who joined, left or returned without an event."""
    if work.now.minute % 15:
        return 0
    found = installations.sync_guilds(work.client.guilds(), work.now)
    return found.joined + found.left + found.returned
