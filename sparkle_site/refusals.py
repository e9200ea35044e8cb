"""Refusals as plain text: they are written for Discord, which shows times and bold text by signs."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from guilds.policy import Refusal
from interactions_lambda.responses import refusal_text

# Discord shows such a time in the reader's zone.
_TIME = re.compile(r"<t:([0-9]+):R>", re.ASCII)


def plain_text(locale: str, refusal: Refusal) -> str:
    """Return the text of a refusal without Discord's signs; times in UTC by ISO 8601."""
    return _TIME.sub(_iso_time, refusal_text(locale, refusal)).replace("**", "")


def _iso_time(match: re.Match[str]) -> str:
    return f"at {datetime.fromtimestamp(int(match[1]), UTC).isoformat()}"
