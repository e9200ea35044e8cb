"""Signed requests as API Gateway passes them to the handler, and recorded payloads of Discord."""

from __future__ import annotations

import base64
import copy
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from interactions_lambda.handler import handler
from tests.discord.payload_contract import check_callback

PAYLOADS = Path(__file__).parent / "payloads"
KEY = SigningKey(b"\x07" * 32)


@pytest.fixture(autouse=True)
def _public_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_PUBLIC_KEY", KEY.verify_key.encode().hex())


@pytest.fixture(autouse=True)
def _discords_cdn(settings: Any) -> None:
    settings.DISCORD_CDN_HOSTS = ["cdn.discordapp.com", "media.discordapp.net"]
    settings.DISCORD_CDN_INSECURE = False


@pytest.fixture
def now() -> datetime:
    """The current time: the handler uses the real clock, and earlier requests must fall on the same day."""
    return datetime.now(UTC)


def event(
    body: bytes,
    *,
    path: str = "/interactions",
    timestamp: str | None = None,
    signature: str | None = None,
    as_base64: bool = False,
    method: str = "POST",
) -> dict[str, Any]:
    """Return an event of payload format 2.0, signed with the tests' key unless a signature is given."""
    timestamp = str(int(time.time())) if timestamp is None else timestamp
    if signature is None:
        signature = KEY.sign(timestamp.encode() + body).signature.hex()
    return {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "user-agent": "Discord-Interactions/1.0 (+https://discord.com)",
            "x-signature-ed25519": signature,
            "x-signature-timestamp": timestamp,
        },
        "requestContext": {"http": {"method": method, "path": path, "protocol": "HTTP/1.1"}, "stage": "$default"},
        "body": base64.b64encode(body).decode() if as_base64 else body.decode("utf-8", "surrogateescape"),
        "isBase64Encoded": as_base64,
    }


def payload(name: str, **changes: Any) -> dict[str, Any]:
    """Return a recorded payload with some top-level fields changed."""
    found: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return copy.deepcopy(found) | changes


def options(**values: Any) -> list[dict[str, Any]]:
    """Return command options as Discord sends them."""
    kinds = {str: 3, int: 4, bool: 5, float: 10}
    return [{"name": name, "type": kinds.get(type(value), 3), "value": value} for name, value in values.items()]


@pytest.fixture
def send() -> Callable[..., dict[str, Any]]:
    """Send a signed payload and return the callback, which must be valid for Discord."""

    def send_(body: dict[str, Any]) -> dict[str, Any]:
        answer = handler(event(json.dumps(body).encode()), None)
        assert answer["statusCode"] == 200, answer
        assert answer["headers"]["Content-Type"] == "application/json"
        callback: dict[str, Any] = json.loads(answer["body"])
        check_callback(callback)
        return callback

    return send_


@pytest.fixture
def slash(send: Callable[..., dict[str, Any]], snowflake: Callable[[], int]) -> Callable[..., dict[str, Any]]:
    """Use a slash command in a guild."""

    def slash_(guild: Any, command: str = "sparkle", values: dict[str, Any] | None = None, **changes: Any) -> Any:
        body = payload("slash", id=str(snowflake()), guild_id=str(guild.pk), **changes)
        body["data"] |= {"name": command, "options": options(**(values or {}))}
        return send(body)

    return slash_


@pytest.fixture
def press(send: Callable[..., dict[str, Any]], snowflake: Callable[[], int]) -> Callable[..., dict[str, Any]]:
    """Press a button in a guild, or choose `values` in a select."""

    def press_(guild: Any, custom_id: str, *, values: list[str] | None = None, **changes: Any) -> Any:
        body = payload("component", id=str(snowflake()), guild_id=str(guild.pk), **changes)
        body["data"]["custom_id"] = custom_id
        if values is not None:
            body["data"] |= {"component_type": 3, "values": values}
        return send(body)

    return press_


def message_text(callback: dict[str, Any]) -> str:
    """Return the text of an ephemeral response."""
    assert callback["type"] == 4, callback
    assert callback["data"]["flags"] == 64, callback
    assert callback["data"]["allowed_mentions"]["parse"] == []
    content: str = callback["data"].get("content", "")
    return content
