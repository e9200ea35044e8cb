"""Checks bodies against Discord's own OpenAPI document, where a copy of it is at hand.

The document is not part of the project: DISCORD_OPENAPI names its file, else it is looked for in a folder `shared`
beside the checkout. Without it every check passes.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

# Callback type -> schema (components/schemas of the document).
CALLBACKS = {
    1: "PongInteractionCallbackRequest",
    4: "CreateMessageInteractionCallbackRequest",
    5: "CreateMessageInteractionCallbackRequest",
    6: "UpdateMessageInteractionCallbackRequest",
    7: "UpdateMessageInteractionCallbackRequest",
    8: "ApplicationCommandAutocompleteCallbackRequest",
    9: "ModalInteractionCallbackRequest",
}
WEBHOOK_EDIT = "IncomingWebhookUpdateRequestPartial"
FOLLOWUP = "IncomingWebhookInteractionRequest"
MESSAGE_CREATE = "MessageCreateRequest"
MESSAGE_EDIT = "MessageEditRequestPartial"
COMMAND = "ApplicationCommandUpdateRequest"
OPEN_DM = "CreatePrivateChannelRequest"
MESSAGE = "MessageResponse"


def location() -> Path | None:
    """Return where the document lies, or None where there is no copy."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "discord-openapi.json"
    path = Path(os.environ.get("DISCORD_OPENAPI") or beside)
    return path if path.is_file() else None


@cache
def _document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@cache
def _validator(path: Path, schema: str) -> Draft202012Validator:
    components = _document(path)["components"]
    return Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": components})


def problems(schema: str, body: Any) -> list[str]:
    """Return what is wrong with `body`, a line each: `path: what`. Nothing is wrong where there is no document."""
    path = location()
    if path is None:
        return []
    found = []
    for error in _validator(path, schema).iter_errors(_as_documented(body)):
        # Of a union's branches the nearest one says most.
        deepest = best_match([error]) or error
        where = ".".join(str(part) for part in deepest.absolute_path)
        found.append(f"{where or schema}: {deepest.message[:200]}")
    return found


def _as_documented(body: Any) -> Any:
    """The prose wants permission sets as strings, the schema as integers; both name the same bits."""
    if isinstance(body, list):
        return [_as_documented(each) for each in body]
    if not isinstance(body, dict):
        return body
    return {
        key: int(value)
        if key == "default_member_permissions" and isinstance(value, str) and value.isdigit()
        else _as_documented(value)
        for key, value in body.items()
    }
