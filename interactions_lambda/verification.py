"""From raw bytes to a payload that Discord signed, or to a response. Pure; imports nothing but PyNaCl.

The signature over the raw body is verified before the body is parsed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from discord_api.signature import verify

# Discord's payloads are far smaller; API Gateway accepts 10 MB.
MAX_BODY = 512 * 1024
# The maximum age of a signed request. Discord waits 3 s for an interaction and retries events for 10 minutes.
MAX_AGE_S = {"interaction": 300, "event": 900}
# The tolerated clock difference.
MAX_AHEAD_S = 300
_PONG = {"type": 1}
# The AWS sample's CORS headers. Discord's servers need none.
_HEADERS = {
    "Access-Control-Allow-Origin": "https://discord.com",
    "Access-Control-Allow-Headers": "Content-Type,X-Signature-Ed25519,X-Signature-Timestamp",
    "Access-Control-Allow-Methods": "POST,OPTIONS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request. Header names are lower case; `body` is raw, None if it should be base64 and is not.

    `id` is API Gateway's request id, as in its access log.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response, without a body if `body` is None."""

    status: int
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRequest:
    """A payload that Discord signed recently. `kind` is "interaction" or "event"."""

    kind: str
    payload: Mapping[str, Any] = field(repr=False)
    request_id: str = ""


def read(event: Mapping[str, Any]) -> Request:
    """Return the request in an API Gateway event, payload format 2.0."""
    context = event.get("requestContext") or {}
    http = context.get("http") or {}
    headers = {str(name).lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    body = event.get("body") or ""
    raw: bytes | None
    if event.get("isBase64Encoded"):
        try:
            raw = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raw = None
    else:
        raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else None
    return Request(
        method=str(http.get("method") or "POST").upper(),
        path=str(event.get("rawPath") or http.get("path") or ""),
        headers=headers,
        body=raw,
        id=str(context.get("requestId") or "")[:64],
    )


def verify_request(request: Request, *, public_key: str, now: float) -> Response | VerifiedRequest:
    """Return the response if Django is not needed for it, otherwise the payload. `now` is in Unix seconds."""
    if request.method == "OPTIONS":
        return Response(status=204)
    if request.method != "POST":
        return _refuse(405, "POST only")
    if request.body is None:
        return _refuse(400, "the body is not base64")
    if len(request.body) > MAX_BODY:
        return _refuse(413, "the body is too large")
    timestamp = request.headers.get("x-signature-timestamp")
    if not verify(public_key, request.headers.get("x-signature-ed25519"), timestamp, request.body):
        return _refuse(401, "invalid request signature")
    try:
        payload = json.loads(request.body.decode("utf-8"))
    except (ValueError, RecursionError):
        return _refuse(400, "the body is not JSON in UTF-8")
    if not isinstance(payload, dict):
        return _refuse(400, "the body is not a JSON object")
    kind = "event" if request.path.rstrip("/").endswith("/events") else "interaction"
    # A replayed PING is harmless; everything else must be recent.
    if payload.get("type") == (0 if kind == "event" else 1) and not isinstance(payload["type"], bool):
        return Response(status=204) if kind == "event" else Response(status=200, body=_PONG)
    if not _is_fresh(timestamp, now=now, max_age_s=MAX_AGE_S[kind]):
        return _refuse(401, "the request is too old")
    return VerifiedRequest(kind=kind, payload=payload, request_id=request.id)


def _is_fresh(timestamp: str | None, *, now: float, max_age_s: int) -> bool:
    if not timestamp or not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        return False
    return -MAX_AHEAD_S <= now - int(timestamp) <= max_age_s


def _refuse(status: int, why: str) -> Response:
    return Response(status=status, body={"error": why})


def write(response: Response) -> dict[str, Any]:
    """Return the response in API Gateway's payload format 2.0."""
    if response.body is None:
        return {"statusCode": response.status, "headers": dict(_HEADERS), "body": ""}
    return {
        "statusCode": response.status,
        "headers": {"Content-Type": "application/json", **_HEADERS},
        "body": json.dumps(response.body, separators=(",", ":")),
    }
