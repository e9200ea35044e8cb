"""Bodies against Discord's own OpenAPI document: DISCORD_OPENAPI, or `shared` beside the checkout."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "discord-openapi.json"
CALLBACKS = {
    1: "PongInteractionCallbackRequest",
    4: "CreateMessageInteractionCallbackRequest",
    6: "UpdateMessageInteractionCallbackRequest",
    7: "UpdateMessageInteractionCallbackRequest",
    8: "ApplicationCommandAutocompleteCallbackRequest",
    9: "ModalInteractionCallbackRequest",
}


def document_path() -> Path | None:
    path = Path(os.environ.get("DISCORD_OPENAPI") or _BESIDE)
    return path if path.is_file() else None


@cache
def _validator(path: Path, schema: str) -> Draft202012Validator:
    components = _document(path)["components"]
    return Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": components})


@cache
def _document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def check(schema: str, body: Any) -> None:
    """Fail unless `body` is as the schema says. Without the document it passes, but fails in CI."""
    path = document_path()
    if path is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("Discord's OpenAPI document is missing: set DISCORD_OPENAPI to its path.")
        return
    error = best_match(_validator(path, schema).iter_errors(body))
    assert error is None, f"{schema}: {error.json_path}: {error.message[:300]}"


def check_callback(callback: dict[str, Any]) -> None:
    """Fail unless Discord would take the callback, by the document and by the stricter limits of its prose."""
    assert callback["type"] in CALLBACKS
    check(CALLBACKS[callback["type"]], callback)
    if callback["type"] in (4, 7):
        check_message(callback["data"])


def check_message(data: dict[str, Any]) -> None:
    """The limits that the document does not have, or has wider."""
    assert data["allowed_mentions"]["parse"] == []
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


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
