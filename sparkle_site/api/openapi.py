"""The OpenAPI document of the HTTP API. Requests are checked by the schema that it shows."""

from __future__ import annotations

import re
from typing import Any

from guilds import lora_selection, policy
from guilds.app_version import __version__
from guilds.models import MAX_STEPS
from guilds.samplers import SAMPLERS
from jobs.job_status import Status

SIZE = re.compile("^[0-9]{2,4}x[0-9]{2,4}$", re.ASCII)
MAX_BODY = 64 * 1024
_PROMPT = {"type": "string", "maxLength": policy.MAX_PROMPT}

NEW_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["prompt"],
    "additionalProperties": False,
    "properties": {
        "prompt": _PROMPT | {"minLength": 1, "description": "What the images show."},
        "negative_prompt": _PROMPT | {"description": "What they must not show."},
        "seed": {"type": "integer", "minimum": 0, "maximum": policy.MAX_SEED},
        "steps": {"type": "integer", "minimum": 1, "maximum": MAX_STEPS},
        "sampler": {"type": "string", "enum": sorted(SAMPLERS)},
        "size": {"type": "string", "pattern": SIZE.pattern, "example": "512x512"},
        "guidance": {"type": "number", "minimum": 0, "maximum": 30},
        "count": {"type": "integer", "minimum": 1, "maximum": 4, "description": "Number of images."},
        "style": {"type": "string", "maxLength": 40, "description": "The slug of one of the server's styles."},
        "model": {"type": "string", "maxLength": 50, "description": "The slug of a model that the server offers."},
        "loras": {
            "type": "string",
            "maxLength": lora_selection.MAX_TEXT,
            "description": f"Up to {lora_selection.MAX_LORAS} LoRAs that the server offers, with weights if you like.",
            "example": "night:0.8, sketch",
        },
    },
}
_IMAGE = {
    "type": "object",
    "required": ["number", "seed", "width", "height", "adult", "url"],
    "additionalProperties": False,
    "properties": {
        "number": {"type": "integer", "minimum": 1},
        "seed": {"type": "integer"},
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "adult": {"type": "boolean", "description": "Whether Discord would show it as a spoiler."},
        "url": {"type": "string", "format": "uri", "description": "The PNG, with the same authorization."},
    },
}
_REQUEST = {
    "type": "object",
    "required": ["id", "status", "reason", "place", "progress", "created_at", "ended_at", "images"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "status": {"type": "string", "enum": [str(status) for status in Status if status != Status.REFUSED]},
        "reason": {"type": ["string", "null"], "description": "Why it ended without images, as a stable code."},
        "place": {"type": ["integer", "null"], "description": "Requests ahead of it, while it waits."},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "created_at": {"type": "string", "format": "date-time"},
        "ended_at": {"type": ["string", "null"], "format": "date-time"},
        "images": {"type": "array", "items": {"$ref": "#/components/schemas/Image"}},
    },
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string", "description": "Stable; the same as on Discord for a refusal."},
                "message": {"type": "string", "description": "One sentence that says what to do next."},
            },
        }
    },
}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}
_NUMBER = {"name": "number", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
_REPEAT = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key returns the same request, so that a call can be repeated safely.",
    "schema": {"type": "string", "maxLength": 100},
}


def _json(schema: str, description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _operation(name: str, summary: str, success: dict[str, Any], *failures: str, **more: Any) -> dict[str, Any]:
    errors = {status: _json("Error", _FAILURES[status]) for status in ("401", *failures)}
    return {"operationId": name, "summary": summary, "responses": success | errors, **more}


_FAILURES = {
    "400": "The body is not what this document says.",
    "401": "The key is missing, wrong or revoked.",
    "403": "The server is paused, or the key's member is banned.",
    "404": "This key made no such request.",
    "409": "The request has ended, or its images are stored.",
    "422": "The server's rules refuse the request.",
    "429": "A quota, a budget or the queue is full.",
    "503": "Sparkle is in maintenance, or its storage cannot be reached.",
}


def document(site_url: str) -> dict[str, Any]:
    """Return the OpenAPI document for the site at `site_url`."""
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewRequest"}}}}
    png = {
        "200": {
            "description": "The image.",
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sparkle",
            "version": __version__,
            "description": "Make images for a Discord server, by the server's own rules and quotas.",
        },
        "servers": [{"url": f"{site_url}/api/v1"}],
        "security": [{"key": []}],
        "paths": {
            "/requests": {
                "post": _operation(
                    "submit", "Make images", {"202": _json("Request", "Accepted.")},
                    "400", "403", "422", "429", "503", parameters=[_REPEAT], requestBody=body,
                )
            },
            "/requests/{id}": {
                "parameters": [_ID],
                "get": _operation("status", "Get a request", {"200": _json("Request", "The request.")}, "404"),
                "delete": _operation(
                    "cancel", "Cancel a request", {"202": _json("Request", "It stops, and is refunded.")}, "404", "409"
                ),
            },
            "/requests/{id}/images/{number}": {
                "parameters": [_ID, _NUMBER],
                "get": _operation("image", "Get an image", png, "404", "503"),
            },
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {"NewRequest": NEW_REQUEST, "Request": _REQUEST, "Image": _IMAGE, "Error": _ERROR},
        },
    }  # fmt: skip
