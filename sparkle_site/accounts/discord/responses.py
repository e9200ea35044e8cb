"""What Discord answers at a sign-in, read strictly: a value of the wrong kind is an error here and nowhere later. Pure.

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


class NotUnderstood(Exception):
    """Discord's answer is not what its documentation says; `what` names the part, never its value."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server of the user's: what they may do there, and what it is called today."""

    id: int
    name: str
    icon: str
    owner: bool
    permissions: int


def parse(content: bytes) -> Any:
    """Return the JSON in `content`. Raises NotUnderstood."""
    if len(content) > MAX_BYTES:
        raise NotUnderstood("size")
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    # A deeply nested text exhausts the parser's stack, an integer of thousands of digits is a ValueError.
    except (ValueError, RecursionError) as error:
        raise NotUnderstood("json") from error


def token(answer: Any) -> dict[str, Any]:
    """Return the token answer with its access token alone, which is all that a sign-in uses. Raises NotUnderstood."""
    value = _object(answer, "token").get("access_token")
    # It becomes a header's value.
    if not isinstance(value, str) or not 0 < len(value) <= 2000 or not value.isascii() or not value.isprintable():
        raise NotUnderstood("access_token")
    return {"access_token": value}


def user(answer: Any) -> dict[str, Any]:
    """Return the user as plain values: `id` as text, the names and the avatar cleaned or None. Raises NotUnderstood."""
    found = _object(answer, "user")
    return {
        "id": str(_snowflake(found.get("id"))),
        "username": _text(found.get("username"), 100) or None,
        "global_name": _text(found.get("global_name"), 100) or None,
        "avatar": _text(found.get("avatar"), 64) or None,
    }


def servers(answer: Any) -> list[Server]:
    """Return the user's servers. Raises NotUnderstood."""
    if not isinstance(answer, list):
        raise NotUnderstood("guilds")
    return [_server(each) for each in answer]


def _server(answer: Any) -> Server:
    found = _object(answer, "guild")
    owner = found.get("owner", False)
    if owner is not None and not isinstance(owner, bool):
        raise NotUnderstood("owner")
    return Server(
        id=_snowflake(found.get("id")),
        name=_text(found.get("name"), 100),
        icon=_text(found.get("icon"), 64),
        owner=bool(owner),
        permissions=_permissions(found.get("permissions")),
    )


def _object(answer: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise NotUnderstood(what)
    return answer


def _snowflake(value: Any) -> int:
    found = snowflakes.parse(value) if isinstance(value, str) else None
    if found is None:
        raise NotUnderstood("id")
    return found


def _permissions(value: Any) -> int:
    # Absent in partial guilds: no permission is known, so none is given.
    if value is None:
        return 0
    if not isinstance(value, str) or not (value.isascii() and value.isdigit()) or len(value) > _PERMISSION_DIGITS:
        raise NotUnderstood("permissions")
    return int(value)


def _text(value: Any, length: int) -> str:
    """Return a name without what PostgreSQL cannot hold or a page cannot show; "" for null or an absent one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NotUnderstood("text")
    # Control characters (NUL among them) and lone surrogates.
    return "".join(char for char in value if unicodedata.category(char) not in {"Cc", "Cs"})[:length]


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
