"""Discord's errors, authentication and rate limits. Pure.

Sources (Discord's developer documentation): resources/message, resources/webhook, components/reference,
interactions/receiving-and-responding, topics/rate-limits, topics/opcodes-and-status-codes, reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

TOKEN_LIFE = timedelta(minutes=15)
ACK_LIFE = timedelta(seconds=3)
REQUEST_LIMIT = 25 * 1024 * 1024
DEFAULT_FILE_LIMIT = 10 * 1024 * 1024
MAX_ATTACHMENTS = 10
MAX_FOLLOWUPS_WITHOUT_BOT = 5

# The reference asks for `DiscordBot ($url, $versionNumber)`; clients without the comma are accepted too.
_USER_AGENT = re.compile(r"^DiscordBot \([^\s,()]+,? ?[^()]*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Discord's error: HTTP status, its own code (0 for plain HTTP errors), message and the form's errors."""

    status: int
    code: int
    message: str
    errors: Mapping[str, Any] | None = None
    text: str | None = None
    """What the edge answers in place of JSON, where it does."""

    def body(self) -> dict[str, Any]:
        """The JSON that Discord sends."""
        return {"message": self.message, "code": self.code} | ({"errors": self.errors} if self.errors else {})


UNKNOWN_WEBHOOK = Refused(status=404, code=10015, message="Unknown Webhook")
UNKNOWN_MESSAGE = Refused(status=404, code=10008, message="Unknown Message")
UNKNOWN_CHANNEL = Refused(status=404, code=10003, message="Unknown Channel")
UNKNOWN_GUILD = Refused(status=404, code=10004, message="Unknown Guild")
UNKNOWN_USER = Refused(status=404, code=10013, message="Unknown User")
UNKNOWN_MEMBER = Refused(status=404, code=10007, message="Unknown Member")
UNKNOWN_COMMAND = Refused(status=404, code=10063, message="Unknown application command")
UNKNOWN_APPLICATION = Refused(status=404, code=10002, message="Unknown Application")
NOT_FOUND = Refused(status=404, code=0, message="404: Not Found")
METHOD_NOT_ALLOWED = Refused(status=405, code=0, message="405: Method Not Allowed")
DEAD_TOKEN = Refused(status=401, code=50027, message="Invalid Webhook Token")
UNAUTHORIZED = Refused(status=401, code=0, message="401: Unauthorized")
MISSING_ACCESS = Refused(status=403, code=50001, message="Missing Access")
MISSING_PERMISSIONS = Refused(status=403, code=50013, message="Missing Permissions")
CANNOT_DM = Refused(status=403, code=50007, message="Cannot send messages to this user")
NOT_THE_AUTHOR = Refused(status=403, code=50005, message="Cannot edit a message authored by another user")
TOO_LARGE = Refused(status=413, code=40005, message="Request entity too large")
EMPTY = Refused(status=400, code=50006, message="Cannot send an empty message")
NOT_JSON = Refused(status=400, code=50109, message="The request body contains invalid JSON.")
FOLLOWUPS_SPENT = Refused(
    status=400, code=40094, message="This interaction has reached its maximum number of follow up messages"
)
MAX_FILES = Refused(status=400, code=30015, message="Maximum number of attachments in a message reached (10)")
EDGE_BLOCK = Refused(status=403, code=0, message="Forbidden", text="error code: 1010")


def check_user_agent(user_agent: str | None, *, bot: bool = True) -> Refused | None:
    """Refuse clients without a valid User-Agent; bots must send one as the reference says."""
    named = user_agent and (_USER_AGENT.match(user_agent) or not bot)
    return None if named else EDGE_BLOCK


def check_bot_token(authorization: str | None, *, token: str) -> Refused | None:
    """Refuse unless the header reads `Bot <token>`."""
    return None if authorization == f"Bot {token}" and token else UNAUTHORIZED


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """The state of an interaction's token."""

    application_id: int
    created_at: datetime
    acked_at: datetime | None


def check_token(facts: TokenFacts | None, *, application_id: int, now: datetime) -> Refused | None:
    """Refuse a token that is unknown, not acknowledged (or too late), or older than 15 minutes."""
    if facts is None or facts.application_id != application_id:
        return UNKNOWN_WEBHOOK
    if now - facts.created_at > TOKEN_LIFE:
        return DEAD_TOKEN
    if facts.acked_at is None or facts.acked_at - facts.created_at > ACK_LIFE:
        return UNKNOWN_WEBHOOK
    return None


def bad_form(errors: Mapping[str, Any]) -> Refused:
    """Return the refusal of a body whose fields are wrong; `errors` nests by field name and index."""
    return Refused(status=400, code=50035, message="Invalid Form Body", errors=errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit of requests in a window of seconds."""

    requests: int
    seconds: float


# Discord publishes no numbers and tells clients to read the headers; these are near what is seen there.
LIMITS: Mapping[str, Limit] = {
    "webhook": Limit(requests=5, seconds=2),
    "messages": Limit(requests=5, seconds=5),
    "commands": Limit(requests=5, seconds=20),
    "other": Limit(requests=10, seconds=10),
}
GLOBAL_LIMIT = Limit(requests=50, seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A bucket after a request: what is left, and when it resets."""

    limit: Limit
    remaining: int
    reset_after: float
    exceeded: bool


def spend(limit: Limit, *, used: int, window_started_at: datetime | None, now: datetime) -> tuple[Spent, int, datetime]:
    """Count one request; return the bucket's state, and its new count and window."""
    window = timedelta(seconds=limit.seconds)
    if window_started_at is None or now - window_started_at >= window:
        used, window_started_at = 0, now
    reset_after = (window_started_at + window - now).total_seconds()
    if used >= limit.requests:
        return Spent(limit=limit, remaining=0, reset_after=reset_after, exceeded=True), used, window_started_at
    left = limit.requests - used - 1
    return Spent(limit=limit, remaining=left, reset_after=reset_after, exceeded=False), used + 1, window_started_at
