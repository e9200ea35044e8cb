"""Upkeep tasks that call Discord. An outage ends a task; the next run tries again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from discord_api import payloads
from discord_api.client import DiscordClient
from discord_api.errors import DiscordError, TooLarge, is_webhook_gone
from guilds import channels, command_ids, installations
from guilds.models import Channel, Guild
from jobs import progress_messages, result_messages, storage, transitions
from jobs.delivery import Delivered, deliver, fetch_reply_id
from jobs.job_status import ENDED, OPEN, Status
from jobs.models import Job
from jobs.result_messages import LateImage

from .task import TaskRun, due, upkeep_task

GIVE_UP_AFTER = timedelta(hours=1)
# An outage is not the request's fault.
OUTAGE_GIVE_UP_AFTER = timedelta(days=1)
NOTE_BEFORE = timedelta(minutes=5)
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=15)


def _postponed(work: TaskRun, do: Callable[[Job], Any]) -> Callable[[int], Any]:
    """Call `do` with the job of an id. After an error, postpone the job for as long as it has waited already.

    So a request that Discord always refuses does not block the others. An outage is not the request's fault: it is
    tried again in a minute, since it ends the task anyway and its images should come soon after Discord is back.
    """

    def postponed(pk: int) -> Any:
        job = Job.objects.select_related("guild").get(pk=pk)
        try:
            return do(job)
        except Exception as error:
            waited = work.now - (job.ended_at or job.created_at)
            is_outage = isinstance(error, DiscordError) and error.outage
            pause = FIRST_PAUSE if is_outage else min(max(waited, FIRST_PAUSE), LONGEST_PAUSE)
            Job.objects.filter(pk=pk).update(notify_after=work.now + pause)
            raise

    return postponed


def _delivery_due(work: TaskRun) -> Q:
    return Q(notify_after=None) | Q(notify_after__lte=work.now)


@upkeep_task(budget_s=15, needs_discord=True)
def notify_ended(work: TaskRun) -> int:
    """Deliver the final message of ended jobs that no worker delivered."""
    after = timedelta(seconds=settings.SPARKLE_ANNOUNCE_AFTER_SECONDS)
    pending = Job.objects.filter(_delivery_due(work), notified_at=None, ended_at__lt=work.now - after, status__in=ENDED)

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

    return work.for_each(due(pending, by=Coalesce("notify_after", "ended_at")), _postponed(work, announce))


def _deliver(job: Job, *, client: DiscordClient, now: datetime) -> Delivered:
    if job.status != Status.COMPLETED:
        return deliver(job, progress_messages.ended(job), client=client, now=now)
    layout = job.guild.result_layout
    try:
        return deliver(
            job, result_messages.completed_late(job, _late_images(job), layout=layout), client=client, now=now
        )
    except TooLarge:
        return deliver(job, result_messages.completed_late(job, (), layout=layout), client=client, now=now)


def _late_images(job: Job) -> list[LateImage]:
    """Return the grid or the single images, as the guild has chosen."""
    rows = list(job.images.all())
    if job.guild.result_layout != Guild.ResultLayout.GRID:
        return [
            LateImage(content=storage.fetch(row.key), blurred=row.blurred, number=row.index + 1)
            for row in rows[: payloads.MAX_FILES]
        ]
    if not job.grid_key:
        return []
    return [LateImage(content=storage.fetch(job.grid_key), blurred=any(row.blurred for row in rows))]


@upkeep_task(budget_s=8, needs_discord=True)
def save_reply_ids(work: TaskRun) -> int:
    """Save the message ids of original responses whose tokens expire before the job ends.

    Then the bot can delete the response, which nobody can edit any more, when it posts the result.
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
                # The token has expired.
                Job.objects.filter(pk=job.pk, encrypted_token=job.encrypted_token).update(encrypted_token=b"")
                return False
            raise
        return True

    return work.for_each(due(soon, by=F("reply_deadline")), _postponed(work, note))


@upkeep_task(budget_s=5, needs_discord=True)
def fetch_requested_channels(work: TaskRun) -> int:
    """Fetch the channels that requests needed and did not have."""
    if not Channel.objects.exclude(fetch_requested_at=None).exists():
        return 0
    return channels.refresh(work.client.channel, now=work.now)


@upkeep_task(budget_s=3, needs_discord=True)
def refresh_command_ids(work: TaskRun) -> int:
    """Every 15 minutes, fetch the ids of the global commands."""
    return 0 if work.now.minute % 15 else command_ids.save(work.client.commands())


@upkeep_task(budget_s=5, needs_discord=True)
def sync_guilds(work: TaskRun) -> int:
    """Every 15 minutes, fetch the bot's guilds, to find those that joined, left or returned without an event."""
    if work.now.minute % 15:
        return 0
    result = installations.sync_guilds(work.client.guilds(), work.now)
    return result.joined + result.left + result.returned
