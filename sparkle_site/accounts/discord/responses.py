"""Strict parsing of Discord's responses during sign-in, so that a wrong type fails here and not later. Pure.

https://discord.com/developers/docs/resources/user#user-object
https://discord.com/developers/docs/resources/user#get-current-user-guilds
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from discord_api import snowflakes

MAX_BYTES = 1 << 20
_PERMISSION_DIGITS = 40


class InvalidResponse(Exception):
    """Discord's response does not match its documentation. `what` names the field, never its value."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server of the user, with their permissions."""

    id: int
    name: str
    icon: str
    owner: bool
    permissions: int


def parse(content: bytes) -> Any:
    """Return the JSON in `content`. Raises: InvalidResponse."""
    if len(content) > MAX_BYTES:
        raise InvalidResponse("size")
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    # RecursionError: deep nesting. ValueError: invalid JSON, or an integer of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise InvalidResponse("json") from error


def token(answer: Any) -> dict[str, Any]:
    """Return only the access token, because sign-in needs nothing else. Raises: InvalidResponse."""
    value = _object(answer, "token").get("access_token")
    # It is used as a header's value.
    if not isinstance(value, str) or not 0 < len(value) <= 2000 or not value.isascii() or not value.isprintable():
        raise InvalidResponse("access_token")
    return {"access_token": value}


def user(answer: Any) -> dict[str, Any]:
    """Return the user: `id` as text, the cleaned names and avatar hash or None. Raises: InvalidResponse."""
    fields = _object(answer, "user")
    return {
        "id": str(_snowflake(fields.get("id"))),
        "username": _text(fields.get("username"), 100) or None,
        "global_name": _text(fields.get("global_name"), 100) or None,
        "avatar": _text(fields.get("avatar"), 64) or None,
    }


def servers(answer: Any) -> list[Server]:
    """Return the user's servers. Raises: InvalidResponse."""
    if not isinstance(answer, list):
        raise InvalidResponse("guilds")
    return [_server(guild) for guild in answer]


def _server(answer: Any) -> Server:
    fields = _object(answer, "guild")
    owner = fields.get("owner", False)
    if owner is not None and not isinstance(owner, bool):
        raise InvalidResponse("owner")
    return Server(
        id=_snowflake(fields.get("id")),
        name=_text(fields.get("name"), 100),
        icon=_text(fields.get("icon"), 64),
        owner=bool(owner),
        permissions=_permissions(fields.get("permissions")),
    )


def _object(answer: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise InvalidResponse(what)
    return answer


def _snowflake(value: Any) -> int:
    snowflake = snowflakes.parse(value) if isinstance(value, str) else None
    if snowflake is None:
        raise InvalidResponse("id")
    return snowflake


def _permissions(value: Any) -> int:
    # Absent in partial guilds: grant none.
    if value is None:
        return 0
    if not isinstance(value, str) or not (value.isascii() and value.isdigit()) or len(value) > _PERMISSION_DIGITS:
        raise InvalidResponse("permissions")
    return int(value)


def _text(value: Any, length: int) -> str:
    """Return a text without control characters and lone surrogates, "" for null or an absent field."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidResponse("text")
    return "".join(char for char in value if unicodedata.category(char) not in {"Cc", "Cs"})[:length]


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
