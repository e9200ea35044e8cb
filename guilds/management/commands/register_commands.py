"""Register Sparkle's commands with Discord, in one bulk request and only when something changed."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from discord_api import snowflakes
from discord_api.client import DiscordClient
from discord_api.errors import DiscordError
from guilds.command_definitions import all_commands
from guilds.command_registration import differences, register
from guilds.discord_client import from_settings


class Command(BaseCommand):
    help = "Registers the slash and message commands with Discord where they differ from what is registered."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--guild", type=_snowflake, metavar="ID", help="register in this server only")
        parser.add_argument("--dry-run", action="store_true", help="show what would change without changing it")

    def handle(self, *args: Any, guild: int | None = None, dry_run: bool = False, **options: Any) -> None:
        client = from_settings()
        try:
            self._register(client, guild=guild, dry_run=dry_run)
        except DiscordError as error:
            raise CommandError(
                f"Discord responded with {error.status} ({error.message or 'no reason'}). Check DISCORD_APPLICATION_ID,"
                " DISCORD_BOT_TOKEN and, with --guild, that the bot is in that server."
            ) from None
        finally:
            client.close()

    def _register(self, client: DiscordClient, *, guild: int | None, dry_run: bool) -> None:
        changes = (differences if dry_run else register)(client, guild)
        for change in changes:
            self.stdout.write(f"{change.kind:8} {change.name}")
        if not changes:
            self.stdout.write(f"All {len(all_commands())} commands are up to date.")
        elif dry_run:
            self.stdout.write("Dry run: nothing was changed.")
        else:
            where = "globally" if guild is None else f"in server {guild}"
            self.stdout.write(f"Registered {len(all_commands())} commands {where}.")


def _snowflake(text: str) -> int:
    found = snowflakes.parse(text)
    if found is None:
        raise argparse.ArgumentTypeError("the ID of a server is a number of up to 19 digits")
    return found
