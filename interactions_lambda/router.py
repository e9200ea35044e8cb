"""Which part answers which payload. What can be answered without the database is answered before Django is loaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from guilds.discord import custom_id, wire
from guilds.discord.commands import REMIX

from . import interaction as parsing
from . import replies
from .ingress import Answer, Signed
from .interaction import Interaction, Malformed, WrongType

logger = logging.getLogger(__name__)

Act = Callable[[Interaction, datetime, float], dict[str, Any]]


def respond(signed: Signed, *, started: float) -> Answer:
    """Act on what Discord signed and return the answer. `started` is on time.monotonic's clock."""
    if signed.kind == "event":
        boot()
        from . import events

        with _punctual(started):
            events.receive(signed.payload, now=datetime.now(UTC))
        return Answer(status=204)
    return Answer(status=200, body=_callback(signed, started))


def _callback(signed: Signed, started: float) -> dict[str, Any]:
    try:
        interaction = parsing.parse(signed.payload)
    except Malformed:
        return replies.say("en-US", "refusal.malformed")
    completing = interaction.type == parsing.AUTOCOMPLETE
    if interaction.guild_id is None:
        return wire.choices([]) if completing else replies.say(interaction.locale, "refusal.in_server_only")
    act = _act(interaction)
    if isinstance(act, str):
        return wire.choices([]) if completing else replies.say(interaction.locale, act)
    boot()
    try:
        with _punctual(started):
            return act(interaction, datetime.now(UTC), started)
    except WrongType as wrong:
        if completing:
            return wire.choices([])
        return replies.say(interaction.locale, "refusal.wrong_type", parameter=wrong.args[0])


def _act(interaction: Interaction) -> Act | str:
    """Return what acts on the interaction, or the key of the sentence why nothing does."""
    data = interaction.data
    # Each part is imported when it is first needed: they load the models, and so Django.
    if interaction.type == parsing.COMMAND:
        name, kind = parsing.name(data), data.get("type", parsing.SLASH)
        known = name in _SLASH if kind == parsing.SLASH else kind == parsing.ON_MESSAGE and name == REMIX
        return _command if known else "refusal.unknown_command"
    if interaction.type == parsing.AUTOCOMPLETE:
        return _complete if parsing.name(data) in _SLASH else "refusal.unknown_command"
    if interaction.type in (parsing.COMPONENT, parsing.MODAL):
        if interaction.type == parsing.MODAL and data.get("custom_id") == REMIX_MODAL:
            return _modal
        if custom_id.parse(data.get("custom_id")) is None:
            return "refusal.unknown_interaction"
        return _press if interaction.type == parsing.COMPONENT else _modal
    return "refusal.unknown_interaction"


_SLASH = frozenset(f"sparkle{rest}" for rest in ("", "-quota", "-history", "-show", "-cancel", "-settings", "-help"))
# A remix has no job yet, so its modal's id carries none.
REMIX_MODAL = "s1:remix"


def _command(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import commands

    return commands.act(interaction, now=now, started=started)


def _complete(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import autocomplete

    return autocomplete.complete(interaction)


def _press(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import components

    return components.press(interaction, now=now, started=started)


def _modal(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import modals

    return modals.submit(interaction, now=now, started=started)


def boot() -> None:
    """Set Django up once a process."""
    from django.apps import apps

    if not apps.ready:
        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkle_site.settings.headless")
        django.setup()


def _punctual(started: float) -> Any:
    """Begin a request on this thread's connection: a dead one is replaced, and none may outlast Discord's patience."""
    from django.db import connection

    from .punctual import deadline

    # Within a caller's transaction (a test's) the connection is the caller's.
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    return connection.execute_wrapper(deadline(started))
