"""Greet servers that have just installed the bot, once, with prompts to try."""

from __future__ import annotations

from datetime import timedelta

from discord_api.errors import DiscordError
from guilds.models import Guild
from jobs import welcome

from .task import Row, TaskRun, upkeep_task

# Older installations were there before this, or could not be greeted for so long.
WITHIN = timedelta(days=1)
_AT_ONCE = 100


@upkeep_task(budget_s=4, needs_discord=True)
def welcome_guilds(work: TaskRun) -> int:
    """Return how many guilds are done: greeted, or without a channel for it."""
    new = Guild.objects.filter(welcomed_at=None, left_at=None, installed_at__gt=work.now - WITHIN)
    guild_ids = list(new.order_by("installed_at").values_list("pk", flat=True)[:_AT_ONCE])

    def greet(guild_id: int) -> bool:
        guild = Guild.objects.get(pk=guild_id)
        try:
            welcome.post(guild, client=work.client)
        except DiscordError as error:
            if not error.permanent:
                raise
        Guild.objects.filter(pk=guild_id).update(welcomed_at=work.now)
        return True

    return work.for_each((Row(pk=guild_id, guild_id=guild_id) for guild_id in guild_ids), greet)
