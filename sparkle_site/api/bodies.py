"""The body of a new request: checked by the schema of the OpenAPI document, then as parameters of a request. Pure."""

from __future__ import annotations

import json
from typing import Any

from guilds.policy import RequestedParams

from .openapi import NEW_REQUEST, SIZE

_TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float)}


class InvalidBody(Exception):
    """The body is not what the OpenAPI document says. Its text is one sentence for the client."""


def parse(body: bytes) -> RequestedParams:
    """Return the parameters that the body sets. Raises InvalidBody."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidBody("Send a JSON object.") from error
    if not isinstance(given, dict):
        raise InvalidBody("Send a JSON object.")
    known = NEW_REQUEST["properties"]
    for name, value in given.items():
        if name not in known:
            raise InvalidBody(f"“{name[:40]}” is not a parameter. Use: {', '.join(known)}.")
        if wrong := _wrong(value, known[name]):
            raise InvalidBody(f"“{name}” {wrong}.")
    for name in NEW_REQUEST["required"]:
        if name not in given:
            raise InvalidBody(f"“{name}” is missing.")
    fields = dict(given)
    if size := fields.pop("size", None):
        fields["width"], fields["height"] = (int(side) for side in size.split("x"))
    return RequestedParams(**fields)


def _wrong(value: Any, schema: dict[str, Any]) -> str | None:
    """Return why the value does not follow the schema, or None."""
    kind = schema["type"]
    if not isinstance(value, _TYPES[kind]) or isinstance(value, bool):
        return f"must be a{'n' if kind == 'integer' else ''} {kind}"
    if isinstance(value, str):
        return _wrong_text(value, schema)
    # Written so that NaN, which compares as false, fails.
    if not schema["minimum"] <= value <= schema["maximum"]:
        return f"must be from {schema['minimum']} to {schema['maximum']}"
    return None


def _wrong_text(value: str, schema: dict[str, Any]) -> str | None:
    if "\x00" in value:
        return "must not have NUL characters"
    if any("\ud800" <= char <= "\udfff" for char in value):
        return "must not have half of a surrogate pair"
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1000):
        return f"must have {schema.get('minLength', 0)} to {schema.get('maxLength', 1000)} characters"
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {', '.join(schema['enum'])}"
    if "pattern" in schema and not SIZE.search(value):
        return f"must look like {schema['example']}"
    return None
