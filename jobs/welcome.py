"""The message that greets a server, with three prompts that a button requests."""

from __future__ import annotations

from discord_api import snowflakes
from discord_api.client import DiscordClient
from discord_api.custom_id import pack
from discord_api.i18n import translate
from discord_api.payloads import Message, button, row
from guilds.models import Guild

PROMPTS = 3


def message(guild: Guild) -> Message:
    """Return the greeting."""
    locale = guild.language
    buttons = (button(pack("try", index), prompt(guild.language, index), emoji="✨") for index in range(PROMPTS))
    # Each in a row of its own, since prompts are long.
    return Message(content=translate(locale, "welcome.text"), components=tuple(row(each) for each in buttons))


def prompt(language: str, index: int) -> str:
    """Return one of the prompts, in a guild's language or in English. The button and its request agree by it."""
    return translate(language, f"welcome.prompt_{index + 1}")


def post(guild: Guild, *, client: DiscordClient) -> bool:
    """Post the greeting in the channel that Discord uses for its own; False if the server has none.

    Raises DiscordError.
    """
    client = client.for_guild(guild.pk)
    channel_id = snowflakes.parse(client.guild(guild.pk).get("system_channel_id"))
    if channel_id is None:
        return False
    client.create_message(channel_id, message(guild))
    return True
