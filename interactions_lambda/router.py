"""Which part answers which payload. What can be answered without the database is answered before Django is loaded."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from discord_api import custom_id, i18n, payloads, snowflakes
from guilds.command_definitions import REMIX
from telemetry import tracing

from . import interaction as parsing
from . import responses
from .interaction import Interaction, Malformed, WrongType
from .modal_fields import REMIX_MODAL
from .verification import Response, VerifiedRequest

logger = logging.getLogger(__name__)

Act = Callable[[Interaction, datetime, float], dict[str, Any]]


def respond(signed: VerifiedRequest, *, started: float) -> Response:
    """Act on what Discord signed and return the answer. `started` is on time.monotonic's clock."""
    if signed.kind == "event":
        setup_django()
        from . import deadline, webhook_events

        deadline.run(lambda: webhook_events.receive(signed.payload, now=datetime.now(UTC)), started=started)
        return Response(status=204)
    callback = _callback(signed, started)
    _log(signed, callback, started)
    return Response(status=200, body=callback)


def _log(signed: VerifiedRequest, callback: dict[str, Any], started: float) -> None:
    """One event an interaction: with its ids it can be followed from API Gateway to the picture. No member's words."""
    payload = signed.payload
    fields: dict[str, Any] = {
        "request_id": signed.request_id,
        "interaction_id": snowflakes.parse(payload.get("id")),
        "guild_id": snowflakes.parse(payload.get("guild_id")),
        "type": payload.get("type"),
        "callback": callback["type"],
        "ms": round((time.monotonic() - started) * 1000),
    }
    data = payload.get("data")
    if isinstance(data, dict):
        action = custom_id.parse(data.get("custom_id"))
        name = parsing.name(data)
        fields["what"] = action.name if action else name if name in _SLASH or name == REMIX else "other"
    logger.info("answered", extra=fields | {"metrics": {"AnswerTime": (fields["ms"], "Milliseconds")}})
    if tracing.is_enabled():
        _trace(fields, started)


def _trace(fields: dict[str, Any], started: float) -> None:
    from . import deadline

    now = datetime.now(UTC)
    span = tracing.Span(
        name=f"interaction {fields.get('what', fields['type'])}",
        began=now - timedelta(seconds=time.monotonic() - started),
        ended=now,
        attributes={f"sparkle.{name}": str(value) for name, value in fields.items() if value is not None},
    )
    tracing.root(fields["interaction_id"] or 0, span)
    deadline.run_within(tracing.flush, by_s=deadline.SEND_BY_S, started=started)


def _callback(signed: VerifiedRequest, started: float) -> dict[str, Any]:
    try:
        interaction = parsing.parse(signed.payload)
    except Malformed:
        # An autocomplete may come without a user; only choices may answer it.
        if signed.payload.get("type") == parsing.AUTOCOMPLETE:
            return payloads.choices([])
        return responses.ephemeral(i18n.nearest_locale(signed.payload.get("locale")), "refusal.malformed")
    completing = interaction.type == parsing.AUTOCOMPLETE
    if interaction.guild_id is None:
        return payloads.choices([]) if completing else responses.ephemeral(interaction.locale, "refusal.in_server_only")
    act = _act(interaction)
    if isinstance(act, str):
        return payloads.choices([]) if completing else responses.ephemeral(interaction.locale, act)
    setup_django()
    from . import deadline

    try:
        return deadline.run(lambda: _read(interaction, act, started), started=started)
    except WrongType as wrong:
        if completing:
            return payloads.choices([])
        return responses.ephemeral(interaction.locale, "refusal.wrong_type", parameter=wrong.args[0])


def _read(interaction: Interaction, act: Act, started: float) -> dict[str, Any]:
    from guilds import command_ids

    with i18n.reader(i18n.ReaderLocale(locale=interaction.locale, command_ids=command_ids.current)):
        return act(interaction, datetime.now(UTC), started)


def _act(interaction: Interaction) -> Act | str:
    """Return what acts on the interaction, or the key of the sentence why nothing does."""
    data = interaction.data
    # Each part is imported when it is first needed: they load the models, and so Django.
    if interaction.type == parsing.COMMAND:
        name, kind = parsing.name(data), data.get("type")
        if kind is None:
            kind = parsing.ON_MESSAGE if name == REMIX else parsing.SLASH
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


def _command(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import commands

    return commands.handle_command(interaction, now=now, started=started)


def _complete(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import autocomplete

    return autocomplete.complete(interaction)


def _press(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import components

    return components.handle_component(interaction, now=now, started=started)


def _modal(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import modals

    return modals.submit(interaction, now=now, started=started)


def setup_django() -> None:
    """Set Django up once a process."""
    from django.apps import apps

    if not apps.ready:
        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkle_site.settings.headless")
        django.setup()
        # What is loaded by now stays, and a request leaves hardly a cycle: the collector need not look so often.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
