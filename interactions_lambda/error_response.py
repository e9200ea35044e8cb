"""The answer to what nobody planned: a sentence, and a reference that is in the log too. Django is not needed."""

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


def answer(error: Exception, signed: VerifiedRequest | None) -> Response:
    """Log `error` (its class and place, never its words) and return what Discord is told."""
    reference = secrets.token_hex(4)
    _ensure_logging()
    payload = signed.payload if signed else {}
    logger.error(
        "interaction_failed",
        extra={
            "reference": reference,
            "request_id": signed.request_id if signed else "",
            "interaction_id": str(payload.get("id", ""))[:32],
            "type": payload.get("type"),
        },
        exc_info=error,
    )
    if signed is None:
        return Response(status=400, body={"error": "the request could not be read", "reference": reference})
    if signed.kind == "event":
        # The reconciliation by the bot's guild list finds what a lost event would have told.
        return Response(status=204)
    if payload.get("type") == _AUTOCOMPLETE:
        return Response(status=200, body=payloads.choices([]))
    key = _sentence(error)
    locale: Any = payload.get("locale")
    message = payloads.Message(
        content=i18n.translate(i18n.nearest_locale(locale), key, reference=reference), ephemeral=True
    )
    return Response(status=200, body=payloads.reply(message))


def _sentence(error: Exception) -> str:
    # This module must not load Django. Where it was never loaded, its errors cannot have been raised.
    db, deadline = sys.modules.get("django.db"), sys.modules.get(f"{__package__}.deadline")
    if deadline is not None and isinstance(error, deadline.ResponseDeadlineExceeded):
        return "error.late"
    if db is not None and isinstance(error, db.OperationalError | db.InterfaceError):
        return "error.unavailable"
    return "error.unexpected"


def _ensure_logging() -> None:
    """Give the root logger a handler of ours where Django's set-up did not come that far."""
    root = logging.getLogger()
    if not any(isinstance(each.formatter, JsonFormatter) for each in root.handlers):
        to_stderr = logging.StreamHandler()
        to_stderr.setFormatter(JsonFormatter())
        root.addHandler(to_stderr)
