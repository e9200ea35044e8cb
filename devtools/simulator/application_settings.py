"""The application's own settings (resources/application), and Discord's check of an endpoint that is to be saved.

Before Discord saves an interactions endpoint or an event webhook, it sends a PING that must be acknowledged, and the
same PING with a forged signature that must be refused with 401
(interactions/overview#setting-up-an-endpoint, events/webhook-events#preparing-for-events).
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from nacl.signing import SigningKey

from . import body_schemas, client, errors_and_rate_limits, rest_api
from .body_validation import FormErrors, errors_of
from .errors_and_rate_limits import Refused
from .models import SimApplication, SimGuild
from .rest_api import Call, Result

# Seconds that Discord waits for an endpoint.
TIMEOUT_S = 3.0
# What null means.
_CLEARED: dict[str, Any] = {"event_webhooks_status": 1, "event_webhooks_types": []}
_LOCAL = {"127.0.0.1", "localhost"}
_PINGS: dict[str, dict[str, Any]] = {
    "interactions_endpoint_url": {"id": "1", "type": 1, "version": 1},
    "event_webhooks_url": {"type": 0, "version": 1},
}
_NAMES = {"interactions_endpoint_url": "interactions endpoint url", "event_webhooks_url": "event webhooks url"}


def application_get(call: Call) -> Result:
    return 200, _json(_application())


def application_edit(call: Call) -> Result:
    """Save the changed settings, all or none. An address that is new is checked first."""
    body = rest_api.read_body(call.request)
    if isinstance(body, Refused):
        return body
    errors = errors_of(body_schemas.APPLICATION, body.json)
    if errors.tree:
        return errors_and_rate_limits.bad_form(errors.tree)
    application = _application()
    for name in _PINGS:
        url = body.json.get(name)
        if url and url != getattr(application, name):
            _check_endpoint(name, url, errors)
    if errors.tree:
        return errors_and_rate_limits.bad_form(errors.tree)
    for name in body_schemas.APPLICATION.optional:
        if name in body.json:
            setattr(application, name, body.json[name] or _CLEARED.get(name, ""))
    application.save()
    return 200, _json(application)


def _application() -> SimApplication:
    application, _ = SimApplication.objects.select_for_update().get_or_create(pk=settings.DISCORD_APPLICATION_ID)
    return application


def _check_endpoint(name: str, url: str, errors: FormErrors) -> None:
    parts = urlsplit(url)
    # Discord takes https alone; a simulator's application runs on the same machine.
    if parts.scheme != "https" and parts.hostname not in _LOCAL:
        errors.add((name,), "URL_TYPE_INVALID_SCHEME", f"Scheme \"{parts.scheme}\" must be one of ('https',).")
    elif not (_acknowledges(name, url) and _refuses_a_forgery(name, url)):
        code = f"APPLICATION_{name.upper()}_INVALID"
        errors.add((name,), code, f"The specified {_NAMES[name]} could not be verified.")


def _acknowledges(name: str, url: str) -> bool:
    answer = _post(name, url, signing_key=settings.SIMULATOR_SIGNING_KEY)
    if answer is None:
        return False
    if name == "event_webhooks_url":
        return answer.status_code == 204 and not answer.content
    try:
        return answer.status_code == 200 and answer.json()["type"] == 1
    except (ValueError, KeyError, TypeError):
        return False


def _refuses_a_forgery(name: str, url: str) -> bool:
    answer = _post(name, url, signing_key=SigningKey.generate().encode().hex())
    return answer is not None and answer.status_code == 401


def _post(name: str, url: str, *, signing_key: str) -> httpx.Response | None:
    """Send a PING; return the response, or None where none came in time."""
    ping = _PINGS[name] | {"application_id": str(settings.DISCORD_APPLICATION_ID)}
    body, timestamp = json.dumps(ping, separators=(",", ":")).encode(), str(int(time.time()))
    try:
        return httpx.post(
            url,
            content=body,
            headers=client.signed_headers(body, timestamp, signing_key=signing_key),
            timeout=TIMEOUT_S,
        )
    except (httpx.HTTPError, httpx.InvalidURL):
        return None


def _json(application: SimApplication) -> dict[str, Any]:
    return {
        "id": str(application.pk),
        "name": "Sparkle",
        "icon": None,
        "description": application.description,
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": SigningKey(bytes.fromhex(settings.SIMULATOR_SIGNING_KEY)).verify_key.encode().hex(),
        "flags": 0,
        "approximate_guild_count": SimGuild.objects.filter(installed=True).count(),
        "redirect_uris": [],
        "interactions_endpoint_url": application.interactions_endpoint_url or None,
        "event_webhooks_url": application.event_webhooks_url or None,
        "event_webhooks_status": application.event_webhooks_status,
        "event_webhooks_types": application.event_webhooks_types,
    }
