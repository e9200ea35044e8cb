"""Error response with a reference to the log. Works without Django."""

from __future__ import annotations

import logging
import secrets
import sys
from typing import Any

from discord_api import i18n, payloads
from telemetry.logs import JsonFormatter

from .verification import Response, VerifiedRequest

logger = logging.getLogger(__name__)
_AUTOCOMPLETE = 4


def create(error: Exception, verified: VerifiedRequest | None) -> Response:
    """Log `error` (its class and traceback, never its message) and return the response to Discord."""
    reference = secrets.token_hex(4)
    _ensure_logging()
    payload = verified.payload if verified else {}
    logger.error(
        "interaction_failed",
        extra={
            "reference": reference,
            "request_id": verified.request_id if verified else "",
            "interaction_id": str(payload.get("id", ""))[:32],
            "type": payload.get("type"),
        },
        exc_info=error,
    )
    if verified is None:
        return Response(status=400, body={"error": "the request could not be read", "reference": reference})
    if verified.kind == "event":
        # The sync with the bot's guild list makes up for a lost event.
        return Response(status=204)
    if payload.get("type") == _AUTOCOMPLETE:
        return Response(status=200, body=payloads.choices([]))
    key = _message_key(error)
    locale: Any = payload.get("locale")
    message = payloads.Message(
        content=i18n.translate(i18n.nearest_locale(locale), key, reference=reference), ephemeral=True
    )
    return Response(status=200, body=payloads.reply(message))


def _message_key(error: Exception) -> str:
    # This module must not load Django. Where it was never loaded, its errors cannot have been raised.
    db, deadline = sys.modules.get("django.db"), sys.modules.get(f"{__package__}.deadline")
    if deadline is not None and isinstance(error, deadline.ResponseDeadlineExceeded):
        return "error.late"
    if db is not None and isinstance(error, db.OperationalError | db.InterfaceError):
        return "error.unavailable"
    return "error.unexpected"


def _ensure_logging() -> None:
    """Add our JSON handler to the root logger if Django's setup failed before that."""
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers):
        to_stderr = logging.StreamHandler()
        to_stderr.setFormatter(JsonFormatter())
        root.addHandler(to_stderr)
