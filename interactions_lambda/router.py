"""Maps interactions to handlers. Whatever needs no database is answered before Django is loaded."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from discord_api import custom_id, i18n, payloads, snowflakes
from guilds.command_definitions import ON_MESSAGE
from telemetry import tracing

from . import interaction as parsing
from . import responses
from .interaction import Interaction, Malformed, WrongType
from .modal_fields import REMIX_MODAL
from .verification import Response, VerifiedRequest

logger = logging.getLogger(__name__)

Handler = Callable[[Interaction, datetime, float], dict[str, Any]]


def respond(verified: VerifiedRequest, *, started: float) -> Response:
    """Handle a verified request and return the response. `started` is a time.monotonic() value."""
    if verified.kind == "event":
        setup_django()
        from . import deadline, webhook_events

        deadline.run(lambda: webhook_events.receive(verified.payload, now=datetime.now(UTC)), started=started)
        return Response(status=204)
    callback = _callback(verified, started)
    _log(verified, callback, started)
    return Response(status=200, body=callback)


def _log(verified: VerifiedRequest, callback: dict[str, Any], started: float) -> None:
    """Log one event per interaction. Its ids link API Gateway's log to the job. It holds no text of the member."""
    payload = verified.payload
    fields: dict[str, Any] = {
        "request_id": verified.request_id,
        "interaction_id": snowflakes.parse(payload.get("id")),
        "guild_id": snowflakes.parse(payload.get("guild_id")),
        "type": payload.get("type"),
        "callback": callback["type"],
        "ms": round((time.monotonic() - started) * 1000),
    }
    data = payload.get("data")
    if isinstance(data, dict):
        action = custom_id.parse(data.get("custom_id"))
        name = parsing.command_name(data)
        fields["what"] = action.name if action else name if name in _SLASH or name in ON_MESSAGE else "other"
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
    tracing.record_root(fields["interaction_id"] or 0, span)
    deadline.run_within(tracing.flush, by_s=deadline.SEND_BY_S, started=started)


def _callback(verified: VerifiedRequest, started: float) -> dict[str, Any]:
    try:
        interaction = parsing.parse(verified.payload)
    except Malformed:
        # An autocomplete request may lack a user; only choices may answer it.
        if verified.payload.get("type") == parsing.AUTOCOMPLETE:
            return payloads.choices([])
        return responses.ephemeral(i18n.nearest_locale(verified.payload.get("locale")), "refusal.malformed")

    def refuse(key: str, **params: object) -> dict[str, Any]:
        if interaction.type == parsing.AUTOCOMPLETE:
            return payloads.choices([])
        return responses.ephemeral(interaction.locale, key, **params)

    if interaction.guild_id is None:
        return refuse("refusal.in_server_only")
    handle = _handler(interaction)
    if isinstance(handle, str):
        return refuse(handle)
    setup_django()
    from . import deadline

    try:
        return deadline.run(lambda: _run(interaction, handle, started), started=started)
    except WrongType as error:
        return refuse("refusal.wrong_type", parameter=error.args[0])


def _run(interaction: Interaction, handle: Handler, started: float) -> dict[str, Any]:
    from guilds import command_ids

    with i18n.use_reader_locale(i18n.ReaderLocale(locale=interaction.locale, command_ids=command_ids.current)):
        return handle(interaction, datetime.now(UTC), started)


def _handler(interaction: Interaction) -> Handler | str:
    """Return the handler, or the key of the message that says why there is none."""
    data = interaction.data
    # Handlers import their module on first use: it loads the models, and with them Django.
    if interaction.type == parsing.COMMAND:
        name, kind = parsing.command_name(data), data.get("type")
        if kind is None:
            kind = parsing.ON_MESSAGE if name in ON_MESSAGE else parsing.SLASH
        known = name in _SLASH if kind == parsing.SLASH else kind == parsing.ON_MESSAGE and name in ON_MESSAGE
        return _command if known else "refusal.unknown_command"
    if interaction.type == parsing.AUTOCOMPLETE:
        return _complete if parsing.command_name(data) in _SLASH else "refusal.unknown_command"
    if interaction.type in (parsing.COMPONENT, parsing.MODAL):
        if interaction.type == parsing.MODAL and data.get("custom_id") == REMIX_MODAL:
            return _modal
        if str(data.get("custom_id")).startswith(custom_id.SETTINGS_PREFIX):
            return _setting
        if custom_id.parse(data.get("custom_id")) is None:
            return "refusal.unknown_interaction"
        return _component if interaction.type == parsing.COMPONENT else _modal
    return "refusal.unknown_interaction"


_SLASH = frozenset(
    f"sparkle{suffix}" for suffix in ("", "-quota", "-history", "-show", "-cancel", "-defaults", "-settings", "-help")
)


def _command(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import commands

    return commands.handle_command(interaction, now=now, started=started)


def _complete(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import autocomplete

    return autocomplete.complete(interaction)


def _component(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import components

    return components.handle_component(interaction, now=now, started=started)


def _setting(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import commands, settings_panel

    return settings_panel.handle(interaction, commands.find_guild(interaction, now), now=now)


def _modal(interaction: Interaction, now: datetime, started: float) -> dict[str, Any]:
    from . import modals

    return modals.submit(interaction, now=now, started=started)


def setup_django() -> None:
    """Set up Django once per process."""
    from django.apps import apps

    if not apps.ready:
        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkle_site.settings.headless")
        django.setup()
        # Loaded modules stay, and a request leaves few reference cycles: run the collector less often.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
