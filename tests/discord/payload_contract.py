"""Bodies of ours, judged twice: by the simulator's rules, and by Discord's own schema where Node is installed.

The schema is the npm package discord-api-spec. In CI Node must be there (tests/discord/node_tools.py).
"""

from __future__ import annotations

import json
from typing import Any

from devtools.simulator import command_rules, component_rules, message_rules
from devtools.simulator.errors_and_rate_limits import Refused

from . import node_tools

CALLBACKS = {
    1: "PongInteractionCallbackRequest",
    4: "CreateMessageInteractionCallbackRequest",
    6: "UpdateMessageInteractionCallbackRequest",
    7: "UpdateMessageInteractionCallbackRequest",
    8: "ApplicationCommandAutocompleteCallbackRequest",
    9: "ModalInteractionCallbackRequest",
}


def check(schema: str, body: Any) -> None:
    """Fail unless Discord would take `body`, by the simulator's rules and by the schema of that name."""
    refused = refusal_of(schema, body)
    assert refused is None, f"{schema}: {refused.message} {json.dumps(refused.errors or {})}"
    checker = node_tools.checker()
    if checker is not None:
        problems = checker.problems(schema, as_documented(body))
        assert problems == [], f"{schema}: {problems[:3]}"


def refusal_of(schema: str, body: Any) -> Refused | None:
    """Return the simulator's refusal of `body`, or None."""
    if schema.startswith("ApplicationCommand") and "Autocomplete" not in schema:
        return command_rules.check_commands([body])
    if schema in CALLBACKS.values():
        kind, data = body["type"], body.get("data")
        if kind == 8:
            return component_rules.check_choices(data)
        if kind == 9:
            return component_rules.check_modal(data)
        if kind not in (4, 7):
            return None
        body = data
    named = [int(each["id"]) for each in body.get("attachments") or []]
    # A small number is a file of the request, a snowflake one that the message has.
    uploads = [number for number in named if number < message_rules.MAX_ATTACHMENTS]
    result = message_rules.check_message(
        body,
        files=[
            message_rules.Upload(index=number, filename="a.png", content_type="image/png", content=b"x")
            for number in uploads
        ],
        before=message_rules.Before(
            content="" if "Create" in schema else "before", attachment_ids=frozenset(named) - frozenset(uploads)
        ),
    )
    return result if isinstance(result, Refused) else None


def as_documented(body: Any) -> Any:
    """The prose wants permission sets as strings, the schema as integers; both name the same bits."""
    if isinstance(body, list):
        return [as_documented(each) for each in body]
    if not isinstance(body, dict):
        return body
    return {
        key: int(value) if key == "default_member_permissions" and isinstance(value, str) else as_documented(value)
        for key, value in body.items()
    }


def check_callback(callback: dict[str, Any]) -> None:
    """Fail unless Discord would take the callback, by the document and by the stricter limits of its prose."""
    assert callback["type"] in CALLBACKS
    check(CALLBACKS[callback["type"]], callback)
    if callback["type"] in (4, 7):
        check_message(callback["data"])


def check_message(data: dict[str, Any]) -> None:
    """The limits that the document does not have, or has wider."""
    assert data["allowed_mentions"]["parse"] == []
    if (data.get("flags") or 0) & message_rules.COMPONENTS_V2:
        _check_layout(data)
        return
    assert _units(data.get("content") or "") <= 2000
    assert data.get("content") or data.get("embeds"), "an empty message is refused (50006)"
    total = 0
    for embed in data.get("embeds", []):
        assert _units(embed.get("description", "")) <= 4096
        assert _units(embed.get("title", "")) <= 256
        assert len(embed.get("fields", [])) <= 25
        for field in embed.get("fields", []):
            assert 1 <= _units(field["name"]) <= 256
            assert 1 <= _units(field["value"]) <= 1024
        total += sum(_units(embed.get(part, "")) for part in ("title", "description"))
        total += sum(_units(field["name"]) + _units(field["value"]) for field in embed.get("fields", []))
        total += _units(embed.get("footer", {}).get("text", ""))
    assert total <= 6000
    rows = data.get("components", [])
    assert len(rows) <= 5
    ids = [each["custom_id"] for row in rows for each in row["components"] if "custom_id" in each]
    assert len(ids) == len(set(ids)), "custom ids must be unique in a message"
    assert all(1 <= len(row["components"]) <= 5 for row in rows)


def _check_layout(data: dict[str, Any]) -> None:
    assert not data.get("content")
    assert not data.get("embeds")
    parts = data["components"]
    assert parts, "an empty message is refused (50006)"
    assert sum(_units(part["content"]) for part in parts if part["type"] == 10) <= 4000
    ids = [each["custom_id"] for each in component_rules.interactive(parts) if "custom_id" in each]
    assert len(ids) == len(set(ids)), "custom ids must be unique in a message"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
