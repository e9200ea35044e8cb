"""What a member does in Discord's client: use a command, press a button, fill a form.

Each builds the payload that Discord would send, signs it, hands it to the real handler as API Gateway would, and
does with the answer what Discord does: show it, or say that the application did not respond.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from nacl.signing import SigningKey

from .. import api_gateway
from . import (
    body_schemas,
    command_registry,
    component_rules,
    errors_and_rate_limits,
    message_rules,
    permissions,
    snowflake_generator,
    store,
)
from .errors_and_rate_limits import Refused
from .models import SimAttachment, SimChannel, SimInteraction, SimMember, SimMessage, SimUser

PING, COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 1, 2, 3, 4, 5
SUB_COMMAND, SUB_COMMAND_GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = range(
    1, 12
)
CHAT_INPUT_MESSAGE, REPLY_MESSAGE, CONTEXT_MENU_MESSAGE = 20, 19, 23
INTERACTIONS_PATH = "/interactions"
EVENTS_PATH = "/events"
NO_ANSWER = "The application did not respond"

Handler = Callable[[dict[str, Any], object], dict[str, Any]]


class Unusable(Exception):
    """Discord's client would not have sent this: the message says what it shows under the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an interaction. `problem` is empty when the application answered as it should."""

    interaction_id: int
    token: str = field(repr=False)
    http_status: int = 0
    callback_type: int | None = None
    message: SimMessage | None = None
    choices: Sequence[Mapping[str, Any]] = ()
    modal: Mapping[str, Any] | None = None
    problem: str = ""


def real_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The Lambda's entry point, in this process."""
    from interactions_lambda.handler import handler

    return handler(event, context)


def sign(body: bytes, *, timestamp: str, signing_key: str = "") -> str:
    """Sign as Discord does: Ed25519 over the timestamp and the raw body, in hex. The default key is Discord's."""
    key = SigningKey(bytes.fromhex(signing_key or settings.SIMULATOR_SIGNING_KEY))
    return key.sign(timestamp.encode() + body).signature.hex()


def signed_headers(body: bytes, timestamp: str, *, signing_key: str = "") -> dict[str, str]:
    """Return the headers of Discord's request with this body."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "Discord-Interactions/1.0 (+https://discord.com)",
        "X-Signature-Ed25519": sign(body, timestamp=timestamp, signing_key=signing_key),
        "X-Signature-Timestamp": timestamp,
    }


def signed_event(payload: Any, *, path: str = INTERACTIONS_PATH, now: datetime | None = None) -> dict[str, Any]:
    """Return the API Gateway event of a signed request that carries `payload`."""
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    timestamp = str(int((now or timezone.now()).timestamp()))
    return api_gateway.event("POST", path, signed_headers(body, timestamp), body)


# Payloads.


def base_payload(
    kind: int, *, channel: SimChannel, user: SimUser, data: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any]:
    """Return what all interactions carry (interactions/receiving-and-responding, Interaction Object)."""
    payload: dict[str, Any] = {
        "id": str(snowflake_generator.make(now)),
        "application_id": str(settings.DISCORD_APPLICATION_ID),
        "type": kind,
        "token": secrets.token_urlsafe(120),
        "version": 1,
        "channel": store.channel_json(channel),
        "channel_id": str(channel.pk),
        "locale": user.locale,
        "entitlements": [],
        "entitlement_sku_ids": [],
        "attachment_size_limit": errors_and_rate_limits.DEFAULT_FILE_LIMIT,
        "app_permissions": str(channel.bot_permissions),
    }
    if data is not None:
        payload["data"] = dict(data)
    if channel.guild is None:
        payload |= {
            "user": store.user_json(user),
            "context": 1,
            "authorizing_integration_owners": {"0": "0"},
        }
        return payload
    guild = channel.guild
    member = SimMember.objects.select_related("user", "guild").get(guild=guild, user=user)
    payload |= {
        "member": store.member_json(member),
        "guild_id": str(guild.pk),
        "guild_locale": "en-US",
        "guild": {"id": str(guild.pk), "locale": "en-US", "features": []},
        "context": 0,
        "authorizing_integration_owners": {"0": str(guild.pk)},
    }
    payload["channel"]["permissions"] = str(member.permissions)
    return payload


def command_data(
    command: Mapping[str, Any], options: Mapping[str, Any], *, channel: SimChannel, now: datetime
) -> dict[str, Any]:
    """Return a slash command's data, its options checked as the client checks them (Unusable) and resolved."""
    data: dict[str, Any] = {"id": command["id"], "name": command["name"], "type": 1}
    resolved: dict[str, Any] = {}
    found = []
    known = {option["name"]: option for option in command.get("options") or []}
    for name in options:
        if name not in known:
            raise Unusable(f"/{command['name']} has no option {name}")
    for name, option in known.items():
        value = options.get(name)
        if value is None:
            if option.get("required"):
                raise Unusable(f"{name}: this option is required")
            continue
        found.append({"name": name, "type": option["type"], "value": _value(option, value, resolved, now=now)})
    if found:
        data["options"] = found
    if resolved:
        data["resolved"] = resolved
    if command.get("guild_id"):
        data["guild_id"] = command["guild_id"]
    return data


def _value(option: Mapping[str, Any], value: Any, resolved: dict[str, Any], *, now: datetime) -> Any:
    name, kind = option["name"], option["type"]
    try:
        if kind == INTEGER:
            value = int(value)
        elif kind == NUMBER:
            value = float(value)
        elif kind == BOOLEAN:
            value = value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
        elif kind == ATTACHMENT:
            file = value if isinstance(value, SimAttachment) else SimAttachment.objects.get(pk=int(value))
            resolved.setdefault("attachments", {})[str(file.pk)] = store.attachment_json(file, now=now) | {
                "ephemeral": True
            }
            return str(file.pk)
        elif kind == USER:
            user = value if isinstance(value, SimUser) else SimUser.objects.get(pk=int(value))
            resolved.setdefault("users", {})[str(user.pk)] = store.user_json(user)
            return str(user.pk)
        else:
            value = str(value)
    except (ValueError, KeyError, SimAttachment.DoesNotExist, SimUser.DoesNotExist) as exc:
        kinds = {INTEGER: "a whole number", NUMBER: "a number", BOOLEAN: "true or false"}
        raise Unusable(f"{name}: this must be {kinds.get(kind, 'one of the choices')}") from exc
    if kind in {INTEGER, NUMBER}:
        least, most = option.get("min_value"), option.get("max_value")
        if (least is not None and value < least) or (most is not None and value > most) or abs(value) > 2**53 - 1:
            raise Unusable(f"{name}: this must be between {least} and {most}")
    if kind == STRING:
        least, most = option.get("min_length") or 0, option.get("max_length") or 6000
        if not least <= len(value) <= most:
            raise Unusable(f"{name}: this must have {least} to {most} characters")
    choices = option.get("choices")
    if choices and value not in [choice["value"] for choice in choices]:
        raise Unusable(f"{name}: this must be one of the choices")
    return value


# What a member does.


def use_command(
    *,
    channel: SimChannel,
    user: SimUser,
    name: str,
    options: Mapping[str, Any] | None = None,
    handler: Handler = real_handler,
    now: datetime | None = None,
) -> Outcome:
    """Use a registered slash command. Raises Unusable for input that Discord's client would not send."""
    now = now or timezone.now()
    command = _offered(name, channel=channel, user=user)
    data = command_data(command, options or {}, channel=channel, now=now)
    return send(base_payload(COMMAND, channel=channel, user=user, data=data, now=now), handler=handler, now=now)


def use_message_command(
    *, message: SimMessage, user: SimUser, name: str, handler: Handler = real_handler, now: datetime | None = None
) -> Outcome:
    """Use a registered message command ("Apps" in a message's menu)."""
    now = now or timezone.now()
    command = _offered(name, channel=message.channel, user=user, kind=3)
    data = {
        "id": command["id"],
        "name": name,
        "type": 3,
        "target_id": str(message.pk),
        "resolved": {"messages": {str(message.pk): store.message_json(message, now=now)}},
    }
    payload = base_payload(COMMAND, channel=message.channel, user=user, data=data, now=now)
    return send(payload, handler=handler, now=now, source=message)


def complete(
    *,
    channel: SimChannel,
    user: SimUser,
    name: str,
    focused: str,
    options: Mapping[str, Any],
    handler: Handler = real_handler,
    now: datetime | None = None,
) -> Outcome:
    """Ask for the choices of the option that is being typed. What has been typed need not be valid yet."""
    now = now or timezone.now()
    command = _offered(name, channel=channel, user=user)
    found: list[dict[str, Any]] = []
    for option in command.get("options") or []:
        value = options.get(option["name"])
        if option["name"] == focused:
            found.append({"name": focused, "type": option["type"], "value": str(value or ""), "focused": True})
        elif value is not None and option["type"] != ATTACHMENT:
            try:
                typed = _value(option, value, {}, now=now)
            except Unusable:
                continue
            found.append({"name": option["name"], "type": option["type"], "value": typed})
    data = {"id": command["id"], "name": name, "type": 1, "options": found}
    return send(base_payload(AUTOCOMPLETE, channel=channel, user=user, data=data, now=now), handler=handler, now=now)


def press(
    *,
    message: SimMessage,
    user: SimUser,
    custom_id: str,
    values: Sequence[str] | None = None,
    handler: Handler = real_handler,
    now: datetime | None = None,
) -> Outcome:
    """Press a button, or choose `values` in a select. Raises Unusable if the message has no such component."""
    now = now or timezone.now()
    offered = component_rules.interactive(message.components)
    component = next((each for each in offered if each.get("custom_id") == custom_id), None)
    if message.deleted_at or component is None:
        raise Unusable("This button no longer exists.")
    if component.get("disabled"):
        raise Unusable("This button is disabled.")
    data: dict[str, Any] = {"custom_id": custom_id, "component_type": component["type"], "id": component.get("id", 1)}
    if component["type"] in body_schemas.SELECTS:
        data |= {"values": _chosen(component, values or [])}
    payload = base_payload(COMPONENT, channel=message.channel, user=user, data=data, now=now)
    payload["message"] = store.message_json(message, now=now)
    return send(payload, handler=handler, now=now, source=message)


def submit_modal(
    *,
    channel: SimChannel,
    user: SimUser,
    modal: Mapping[str, Any],
    values: Mapping[str, str],
    message: SimMessage | None = None,
    handler: Handler = real_handler,
    now: datetime | None = None,
) -> Outcome:
    """Send a filled form. `message` is the one whose button opened it."""
    now = now or timezone.now()
    data = {"custom_id": modal["custom_id"], "components": [_filled(row, values) for row in modal["components"]]}
    payload = base_payload(MODAL_SUBMIT, channel=channel, user=user, data=data, now=now)
    if message is not None:
        payload["message"] = store.message_json(message, now=now)
    return send(payload, handler=handler, now=now, source=message)


def _filled(row: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Return what Discord sends for a row or label of a modal."""
    if row["type"] == body_schemas.TEXT_DISPLAY:
        return {"type": row["type"], "id": 1}
    shown = row["component"] if row["type"] == body_schemas.LABEL else row["components"][0]
    filled: dict[str, Any] = {"type": shown["type"], "custom_id": shown["custom_id"], "id": 2}
    if shown["type"] in body_schemas.SELECTS:
        preset = [option["value"] for option in shown.get("options", []) if option.get("default")]
        chosen = [values[shown["custom_id"]]] if values.get(shown["custom_id"]) else preset
        filled["values"] = _chosen(shown, chosen)
        is_empty = not chosen
    else:
        filled["value"] = values.get(shown["custom_id"], shown.get("value", ""))
        is_empty = not filled["value"]
    if shown.get("required", True) and is_empty:
        raise Unusable(f"{shown.get('label') or row.get('label')}: this is required")
    if row["type"] == body_schemas.LABEL:
        return {"type": row["type"], "id": 1, "component": filled}
    return {"type": row["type"], "id": 1, "components": [filled]}


def _chosen(select: Mapping[str, Any], values: Sequence[str]) -> list[str]:
    """Return the chosen values. Raise Unusable for one that the select does not offer."""
    if select["type"] == body_schemas.STRING_SELECT:
        offered = {option["value"] for option in select["options"]}
        if not set(values) <= offered:
            raise Unusable("This choice no longer exists.")
    return list(values)


def _offered(name: str, *, channel: SimChannel, user: SimUser, kind: int = 1) -> Mapping[str, Any]:
    if channel.guild is not None and not channel.guild.installed:
        raise Unusable("Sparkle is not in this server.")
    for command in command_registry.offered(channel.guild_id):
        if command["name"] == name and command["type"] == kind:
            needed = command.get("default_member_permissions")
            if needed is not None and channel.guild is not None:
                member = SimMember.objects.get(guild=channel.guild, user=user)
                if not permissions.may(member.permissions, int(needed) or permissions.ADMINISTRATOR):
                    break
            return command
    raise Unusable(f"The command {name} isn't available here.")


# Sending, and what Discord does with the answer.


def send(
    payload: dict[str, Any],
    *,
    handler: Handler = real_handler,
    now: datetime,
    source: SimMessage | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Send an interaction and apply the application's answer to what is shown. `clock` in seconds."""
    data = payload.get("data") or {}
    user = payload.get("user") or payload["member"]["user"]
    interaction = SimInteraction.objects.create(
        pk=int(payload["id"]),
        token=payload["token"],
        type=payload["type"],
        name=str(data.get("name") or data.get("custom_id") or "")[:100],
        application_id=int(payload["application_id"]),
        channel_id=int(payload["channel_id"]),
        user_id=int(user["id"]),
        source=source,
        created_at=now,
        attachment_size_limit=payload.get("attachment_size_limit", errors_and_rate_limits.DEFAULT_FILE_LIMIT),
    )
    started = clock()
    answer = handler(signed_event(payload, now=now), None)
    took = clock() - started
    outcome = _receive(interaction, answer, took=took, now=now)
    if outcome.problem:
        interaction.problem = outcome.problem[:300]
        interaction.save(update_fields=["problem"])
    return outcome


def _receive(interaction: SimInteraction, answer: Mapping[str, Any], *, took: float, now: datetime) -> Outcome:
    status = int(answer.get("statusCode") or 0)

    def failed(why: str) -> Outcome:
        return Outcome(
            interaction_id=interaction.pk, token=interaction.token, http_status=status, problem=f"{NO_ANSWER}: {why}"
        )

    if took > errors_and_rate_limits.ACK_LIFE.total_seconds():
        return failed(f"it took {took:.1f} s, Discord waits 3 s")
    if status != 200:
        return failed(f"HTTP status {status}")
    headers = {str(name).lower(): str(value) for name, value in (answer.get("headers") or {}).items()}
    if not headers.get("content-type", "").startswith("application/json"):
        return failed("the answer is not application/json")
    try:
        callback = json.loads(answer.get("body") or "")
        kind = callback["type"]
    except (ValueError, KeyError, TypeError):
        return failed("the answer is not a callback")
    if not isinstance(kind, int) or not isinstance(callback.get("data") or {}, dict):
        return failed("the answer is not a callback")
    applied = _apply(interaction, kind, callback.get("data"), now=now)
    if isinstance(applied, Refused):
        return failed(f"{applied.code} {applied.message} {json.dumps(applied.errors or {})}")
    interaction.refresh_from_db()
    interaction.acked_at = now
    interaction.callback_type = kind
    interaction.original = applied
    interaction.save(update_fields=["acked_at", "callback_type", "original"])
    data = callback.get("data") or {}
    return Outcome(
        interaction_id=interaction.pk,
        token=interaction.token,
        http_status=status,
        callback_type=kind,
        message=applied,
        choices=data.get("choices", ()) if kind == 8 else (),
        modal=data if kind == 9 else None,
    )


_ALLOWED = {
    COMMAND: {4, 5, 9},
    COMPONENT: {4, 5, 6, 7, 9},
    AUTOCOMPLETE: {8},
    MODAL_SUBMIT: {4, 5, 6, 7},
}


def _apply(interaction: SimInteraction, kind: Any, data: Any, *, now: datetime) -> SimMessage | Refused | None:
    allowed = set(_ALLOWED.get(interaction.type, ()))
    if interaction.type == MODAL_SUBMIT and interaction.source is None:
        # Nothing to update: the form was opened by a command.
        allowed -= {6, 7}
    if kind not in allowed:
        return Refused(status=400, code=50035, message=f"callback type {kind} does not answer this interaction")
    if kind == 8:
        return component_rules.check_choices(data)
    if kind == 9:
        return component_rules.check_modal(data)
    if kind == 6:
        return interaction.source
    if kind == 7:
        assert interaction.source is not None
        message = SimMessage.objects.get(pk=interaction.source.pk)
        change = message_rules.check_message(data or {}, before=store.before(message), interaction=True)
        return change if isinstance(change, Refused) else store.edit(message, change, now=now)
    if kind == 5:
        flags = ((data or {}).get("flags") or 0) & message_rules.EPHEMERAL
        draft: message_rules.Draft | Refused = message_rules.Draft(
            content="",
            embeds=[],
            components=[],
            flags=flags | message_rules.LOADING,
            keep=frozenset(),
            files=(),
            pings=message_rules.Pings(),
        )
    else:
        draft = message_rules.check_message(data or {}, interaction=True)
    if isinstance(draft, Refused):
        return draft
    kinds = {COMMAND: CONTEXT_MENU_MESSAGE if interaction.source_id else CHAT_INPUT_MESSAGE}
    return store.post(
        draft,
        channel=interaction.channel,
        author=store.bot(),
        interaction=interaction,
        kind=kinds.get(interaction.type, REPLY_MESSAGE),
        visible_to=interaction.user if draft.flags & message_rules.EPHEMERAL else None,
        reply_to=interaction.source,
        now=now,
    )


# Webhook events.


def send_event(
    kind: str, data: Mapping[str, Any], *, handler: Handler = real_handler, now: datetime | None = None
) -> int:
    """Send a webhook event (events/webhook-events); return the HTTP status, 204 when it was taken."""
    now = now or timezone.now()
    payload = {
        "version": 1,
        "application_id": str(settings.DISCORD_APPLICATION_ID),
        "type": 1,
        "event": {"type": kind, "timestamp": now.isoformat(), "data": dict(data)},
    }
    return int(handler(signed_event(payload, path=EVENTS_PATH, now=now), None)["statusCode"])
