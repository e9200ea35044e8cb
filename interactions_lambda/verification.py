"""From raw bytes to a payload that Discord signed, or to the answer. Pure, and loads nothing beyond PyNaCl.

The signature is checked over the raw body before anything reads it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from discord_api.signature import verify

# Discord's own payloads stay far below; API Gateway takes 10 MB.
MAX_BODY = 512 * 1024
# How old a signed request may be. An interaction's first answer is void after 3 s; events are retried for 10 minutes.
MAX_AGE_S = {"interaction": 300, "event": 900}
# A clock ahead of ours by this much is no replay.
MAX_AHEAD_S = 300
_PONG = {"type": 1}
# The sample's CORS headers. Discord calls from its servers and needs none.
_HEADERS = {
    "Access-Control-Allow-Origin": "https://discord.com",
    "Access-Control-Allow-Headers": "Content-Type,X-Signature-Ed25519,X-Signature-Timestamp",
    "Access-Control-Allow-Methods": "POST,OPTIONS",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came over HTTP. Header names in lower case; `body` is raw, None where base64 was promised and not sent.

    `id` is API Gateway's, as its access log has it.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What goes back over HTTP; no body at all where `body` is None."""

    status: int
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRequest:
    """A payload that is truly Discord's and fresh. `kind` is "interaction" or "event"."""

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
    """Return the answer where it is clear without Django, else the payload to act upon. `now` in Unix seconds."""
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
    # A PING asks for nothing, so an old one can do no harm; everything else must be fresh.
    if payload.get("type") == (0 if kind == "event" else 1) and not isinstance(payload["type"], bool):
        return Response(status=204) if kind == "event" else Response(status=200, body=_PONG)
    if not _fresh(timestamp, now=now, max_age_s=MAX_AGE_S[kind]):
        return _refuse(401, "the request is too old")
    return VerifiedRequest(kind=kind, payload=payload, request_id=request.id)


def _fresh(timestamp: str | None, *, now: float, max_age_s: int) -> bool:
    if not timestamp or not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        return False
    return -MAX_AHEAD_S <= now - int(timestamp) <= max_age_s


def _refuse(status: int, why: str) -> Response:
    return Response(status=status, body={"error": why})


def write(answer: Response) -> dict[str, Any]:
    """Return `answer` as API Gateway's payload format 2.0 wants it."""
    if answer.body is None:
        return {"statusCode": answer.status, "headers": dict(_HEADERS), "body": ""}
    return {
        "statusCode": answer.status,
        "headers": {"Content-Type": "application/json", **_HEADERS},
        "body": json.dumps(answer.body, separators=(",", ":")),
    }
