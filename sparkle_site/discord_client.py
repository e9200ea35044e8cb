"""The site's Discord client: one for the process, so that rate limits and refusals are remembered between pages."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from discord_api.client import DiscordClient
from guilds.discord_client import from_settings

# A person waits for the page, which shows the last known names in place of an answer.
TIMEOUT_S = 2.0


def client() -> DiscordClient:
    """Return the client of the current settings."""
    return _client(settings.DISCORD_API_BASE, settings.DISCORD_APPLICATION_ID)


@cache
def _client(base: str, application_id: int) -> DiscordClient:
    return from_settings(timeout_s=TIMEOUT_S, attempts=1, max_wait_s=1.0)
