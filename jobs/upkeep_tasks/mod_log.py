"""Post new entries to the guilds' mod-log channels, one message per guild and minute."""

from __future__ import annotations

from datetime import timedelta

from guilds.models import Guild, ModLogEntry
from jobs import mod_log

from .task import Row, TaskRun, upkeep_task

# Old entries are deleted; their keys kept them from being written twice in one window, the longest of which is a month.
FORGET_AFTER = timedelta(days=32)
_AT_ONCE = 200


@upkeep_task(budget_s=4, needs_discord=True)
def post_mod_log(work: TaskRun) -> int:
    """Return to how many guilds entries were posted."""
    ModLogEntry.objects.filter(at__lt=work.now - FORGET_AFTER).delete()
    waiting = ModLogEntry.objects.filter(posted_at=None)
    waiting.filter(at__lt=work.now - mod_log.KEPT_FOR).update(posted_at=work.now)
    guild_ids = list(waiting.order_by("guild_id").values_list("guild_id", flat=True).distinct()[:_AT_ONCE])

    def post(guild_id: int) -> bool:
        entries = list(waiting.filter(guild_id=guild_id).order_by("pk")[:_AT_ONCE])
        guild = Guild.objects.get(pk=guild_id)
        return bool(entries) and mod_log.post(guild, entries, client=work.client, now=work.now)

    return work.for_each((Row(pk=guild_id, guild_id=guild_id) for guild_id in guild_ids), post)
