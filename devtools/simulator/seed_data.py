"""The servers that the simulator starts with. Running it again changes nothing that was there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from guilds.command_definitions import all_commands
from guilds.models import Guild

from . import client, command_registry, permissions, store
from .errors_and_rate_limits import Refused
from .models import SimChannel, SimGuild, SimMember, SimRole, SimUser

# Discord's ids are large: 2^53 and more, where a float would lose the last digits.
FIRST_USER = 1_100_000_000_000_000_100
FIRST_GUILD = 1_100_000_000_000_001_001
JOINED = timedelta(days=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    name: str
    hue: int
    roles: tuple[str, ...] = ()
    locale: str = "en-US"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Channel:
    name: str
    topic: str = ""
    nsfw: bool = False
    bot: int = permissions.BOT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    name: str
    hue: int
    people: tuple[_Person, ...]
    """The first one owns it."""
    channels: tuple[_Channel, ...]


MODERATOR = permissions.MANAGE_GUILD | permissions.MANAGE_MESSAGES | permissions.MODERATE_MEMBERS
# Name -> hue and permissions.
ROLES = {"Moderator": (152, MODERATOR), "Artist": (286, 0), "Newcomer": (205, 0)}
SERVERS = (
    _Server(
        name="Pixel Garden",
        hue=152,
        people=(
            _Person(name="Ada", hue=12),
            _Person(name="Milo", hue=152, roles=("Moderator",)),
            _Person(name="Yuki", hue=286, roles=("Artist",)),
            _Person(name="Nadia", hue=205, roles=("Newcomer",)),
            _Person(name="Guest", hue=40),
        ),
        channels=(
            _Channel(name="sparkle", topic="Create images with /sparkle"),
            _Channel(name="general", topic="Everything else"),
            _Channel(name="after-dark", topic="Adults only", nsfw=True),
            _Channel(
                name="announcements",
                topic="Sparkle can't post here",
                bot=permissions.BOT & ~permissions.SEND_MESSAGES & ~permissions.ATTACH_FILES,
            ),
        ),
    ),
    _Server(
        name="Night Owls",
        hue=232,
        people=(
            _Person(name="Otis", hue=232),
            _Person(name="Lena", hue=330, roles=("Moderator",), locale="de"),
            _Person(name="Yuki", hue=286, roles=("Artist",)),
            _Person(name="Pablo", hue=24, roles=("Newcomer",), locale="es-ES"),
            _Person(name="Guest", hue=40),
        ),
        channels=(
            _Channel(name="midnight-gallery", topic="Images of the night"),
            _Channel(name="lounge"),
            _Channel(name="uncensored", topic="Adults only", nsfw=True),
            _Channel(name="rules", topic="Sparkle can't post here", bot=permissions.VIEW_CHANNEL),
        ),
    ),
    _Server(
        name="Retro Arcade",
        hue=18,
        people=(
            _Person(name="Rosa", hue=350),
            _Person(name="Kenji", hue=190, roles=("Moderator",), locale="ja"),
            _Person(name="Ada", hue=12, roles=("Artist",)),
            _Person(name="Bruno", hue=95, roles=("Newcomer",), locale="pt-BR"),
            _Person(name="Guest", hue=40),
        ),
        channels=(
            _Channel(name="insert-coin", topic="One prompt, four images"),
            _Channel(name="high-scores"),
            _Channel(name="back-room", topic="Adults only", nsfw=True),
            _Channel(name="noticeboard", topic="Sparkle can't post here", bot=permissions.VIEW_CHANNEL),
        ),
    ),
)


def run(*, now: datetime | None = None) -> None:
    """Make the servers, register the commands, and tell the application that it was installed."""
    now = now or timezone.now()
    servers = make_servers(now=now)
    register_commands(now=now)
    for server in servers:
        install(server, now=now)


def make_servers(*, now: datetime) -> list[SimGuild]:
    """Create servers, channels, roles and members. Sends no event to the application."""
    with transaction.atomic():
        store.bot()
        users = _users()
        return [_server(n, server, users, now=now) for n, server in enumerate(SERVERS)]


def _users() -> dict[str, SimUser]:
    people = {person.name: person for server in SERVERS for person in server.people}
    users = {}
    for n, person in enumerate(people.values()):
        users[person.name], _ = SimUser.objects.get_or_create(
            pk=FIRST_USER + n,
            defaults={
                "username": person.name.lower(),
                "global_name": person.name,
                "hue": person.hue,
                "locale": person.locale,
                # One member accepts no direct messages, so that the demo shows that case.
                "accepts_dms": person.name != "Nadia",
            },
        )
    return users


def _server(n: int, server: _Server, users: dict[str, SimUser], *, now: datetime) -> SimGuild:
    guild_id = FIRST_GUILD + n * 1000
    guild, _ = SimGuild.objects.get_or_create(
        pk=guild_id,
        defaults={"name": server.name, "hue": server.hue, "owner": users[server.people[0].name], "position": n},
    )
    SimRole.objects.get_or_create(
        pk=guild_id, defaults={"guild": guild, "name": "@everyone", "permissions": permissions.MEMBER}
    )
    role_ids = {}
    for m, (name, (hue, bits)) in enumerate(ROLES.items()):
        role_ids[name] = guild_id + 100 + m
        SimRole.objects.get_or_create(
            pk=role_ids[name],
            defaults={"guild": guild, "name": name, "hue": hue, "permissions": bits, "position": len(ROLES) - m},
        )
    for m, channel in enumerate(server.channels):
        SimChannel.objects.get_or_create(
            pk=guild_id + 200 + m,
            defaults={
                "guild": guild,
                "name": channel.name,
                "topic": channel.topic,
                "nsfw": channel.nsfw,
                "bot_permissions": channel.bot,
                "position": m,
            },
        )
    for m, person in enumerate(server.people):
        SimMember.objects.get_or_create(
            guild=guild,
            user=users[person.name],
            defaults={
                "role_ids": [role_ids[role] for role in person.roles],
                "joined_at": now - JOINED,
                "position": m,
            },
        )
    return guild


def register_commands(*, now: datetime) -> None:
    """Register the application's own commands globally, under Discord's rules. Raises ValueError if they break one."""
    result = command_registry.overwrite(all_commands(), guild_id=None, now=now)
    if isinstance(result, Refused):
        raise ValueError(f"Discord would refuse the commands: {result.body()}")


def install(server: SimGuild, *, now: datetime) -> None:
    """Install the bot in a server; Discord sends the application a webhook event."""
    server.installed = True
    server.save(update_fields=["installed"])
    known = Guild.objects.filter(pk=server.pk, left_at=None)
    if known.exists():
        return
    data = {
        "integration_type": 0,
        "user": store.user_json(server.owner),
        "scopes": ["applications.commands", "bot"],
        "guild": store.guild_json(server),
    }
    status = client.send_event("APPLICATION_AUTHORIZED", data, now=now)
    if status != 204 or not known.exists():
        raise RuntimeError(f"The application did not take note of its installation (HTTP status {status}).")


def uninstall(server: SimGuild, *, now: datetime) -> int:
    """Remove the bot; Discord's event names only the user who did it. Return the event's HTTP status."""
    server.installed = False
    server.save(update_fields=["installed"])
    return client.send_event("APPLICATION_DEAUTHORIZED", {"user": store.user_json(server.owner)}, now=now)
