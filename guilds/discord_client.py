"""The Discord client, configured from Django's settings."""

from __future__ import annotations

from django.conf import settings

from discord_api.client import ATTEMPTS, MAX_RETRY_AFTER_S, DiscordClient

from .app_version import __version__
from .aws_secrets import bot_token


def from_settings(
    *, timeout_s: float = 10, attempts: int = ATTEMPTS, max_wait_s: float = MAX_RETRY_AFTER_S
) -> DiscordClient:
    """Return a client made from Django's settings; the bot token is fetched on first use."""
    return DiscordClient(
        settings.DISCORD_API_BASE,
        application_id=settings.DISCORD_APPLICATION_ID,
        bot_token=bot_token,
        timeout_s=timeout_s,
        attempts=attempts,
        max_wait_s=max_wait_s,
        user_agent=f"DiscordBot ({settings.SITE_URL}, {__version__})",
    )
