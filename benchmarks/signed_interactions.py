"""Discord's side: interactions as it sends them, signed by a throwaway key."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

KEY = SigningKey(b"\x21" * 32)
PUBLIC_KEY = KEY.verify_key.encode().hex()
RECORDED = Path(__file__).resolve().parents[1] / "tests" / "ingress" / "payloads"
GUILDS = 1_000_000_000_000_000_000
MEMBERS = 1_100_000_000_000_000_000

PING = b'{"id":"786008729715212338","application_id":"1","type":1,"token":"t","version":1}'
_slash: dict[str, Any] = {}
_ids = itertools.count(1_200_000_000_000_000_000 + (time.time_ns() & 0xFFFFFFFFFFFF))


def sparkle(number: int, *, guilds: int) -> bytes:
    """The recorded `/sparkle` with a new id, from one of `guilds` servers by turns and a hundred members in each."""
    if not _slash:
        _slash.update(json.loads((RECORDED / "slash.json").read_text()))
    guild = GUILDS + number % guilds
    payload = _slash | {
        "id": str(next(_ids)),
        "guild_id": str(guild),
        "authorizing_integration_owners": {"0": str(guild)},
        "member": _slash["member"]
        | {"user": _slash["member"]["user"] | {"id": str(MEMBERS + guild % 10_000 * 100 + number // guilds % 100)}},
        "data": {
            "id": "1",
            "name": "sparkle",
            "type": 1,
            "options": [{"name": "prompt", "type": 3, "value": f"a lighthouse over the sea, style {number % 5000}"}],
        },
    }
    return json.dumps(payload).encode()


def headers(body: bytes, *, forged: bool = False) -> dict[str, str]:
    """The headers that Discord sends with `body`."""
    timestamp = str(int(time.time()))
    signature = "0" * 128 if forged else KEY.sign(timestamp.encode() + body).signature.hex()
    return {
        "content-type": "application/json",
        "user-agent": "Discord-Interactions/1.0 (+https://discord.com)",
        "x-signature-ed25519": signature,
        "x-signature-timestamp": timestamp,
    }


def event(body: bytes, *, forged: bool = False) -> dict[str, Any]:
    """The same as API Gateway hands it to the Lambda."""
    return {
        "version": "2.0",
        "rawPath": "/interactions",
        "headers": headers(body, forged=forged),
        "requestContext": {"http": {"method": "POST", "path": "/interactions"}},
        "body": body.decode(),
        "isBase64Encoded": False,
    }
