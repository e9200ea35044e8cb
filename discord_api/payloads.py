"""Builders of Discord's payloads: messages, components, modals and interaction callbacks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

EPHEMERAL = 1 << 6
LAYOUT = 1 << 15
# Callback types (docs: interactions/receiving-and-responding).
MESSAGE = 4
UPDATE = 7
AUTOCOMPLETE = 8
MODAL = 9

# Limits (docs: resources/message).
MAX_CONTENT = 2000
MAX_ALT_TEXT = 1024
MAX_CHOICES = 25
MAX_INPUTS = 5
MAX_INPUT = 4000
MAX_OPTIONS = 25
MAX_FILES = 10
MAX_LAYOUT_TEXT = 4000
# Discord takes requests of 25 MiB (docs: reference, Uploading Files). The rest is for the message itself.
MAX_REQUEST_BYTES = 25 * 1024 * 1024 - 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to upload. `description` is its alt text."""

    name: str
    content: bytes
    content_type: str
    description: str | None = None
    spoiler: bool = False

    @property
    def wire_name(self) -> str:
        """The uploaded file's name. Discord recognizes a spoiler by its prefix."""
        return f"SPOILER_{self.name}" if self.spoiler else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A whole message. An edit replaces everything except the attachments whose ids are in `keep`.

    A layout (Components V2) shows its content, its files as a gallery, `details`, and its components. It has no embeds.
    Discord keeps a message a layout once it is one.
    """

    content: str | None = None
    embeds: tuple[dict[str, Any], ...] = ()
    components: tuple[dict[str, Any], ...] = ()
    files: tuple[File, ...] = ()
    keep: tuple[int, ...] = ()
    ephemeral: bool = False
    mention_users: tuple[int, ...] = ()
    nonce: str | None = None
    is_layout: bool = False
    details: str = ""


def length(text: str) -> int:
    """Return the length in UTF-16 units, as Discord counts: an emoji is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def truncate(text: str, limit: int) -> str:
    """Return `text` in at most `limit` UTF-16 units, with an ellipsis if it is shortened."""
    if length(text) <= limit:
        return text
    units = text.encode("utf-16-le", "surrogatepass")[: 2 * (limit - 1)]
    return units.decode("utf-16-le", "ignore").rstrip() + "…"


def to_payload(message: Message, *, edit: bool) -> dict[str, Any]:
    """Return the JSON body. An edit contains every field, since Discord keeps those that are absent.

    Every body contains `allowed_mentions`: without it an edit would ping users.
    """
    payload: dict[str, Any] = {
        "allowed_mentions": {"parse": [], "users": [str(user) for user in message.mention_users]}
        if message.mention_users
        else {"parse": []}
    }
    attachments: list[dict[str, Any]] = [{"id": str(kept)} for kept in message.keep]
    for number, file in enumerate(message.files):
        attachment = {"id": str(number), "filename": file.wire_name}
        if file.description:
            attachment["description"] = truncate(file.description, MAX_ALT_TEXT)
        attachments.append(attachment)
    if message.is_layout:
        payload |= {"content": None, "embeds": None} if edit else {}
        payload["components"] = _layout(message)
    else:
        if edit or message.content:
            payload["content"] = truncate(message.content or "", MAX_CONTENT)
        if edit or message.embeds:
            payload["embeds"] = list(message.embeds)
        if edit or message.components:
            payload["components"] = list(message.components)
    if edit or attachments:
        payload["attachments"] = attachments
    # An edit cannot change whether a message is ephemeral.
    flags = (EPHEMERAL if message.ephemeral and not edit else 0) | (LAYOUT if message.is_layout else 0)
    if flags:
        payload["flags"] = flags
    if message.nonce and not edit:
        payload["nonce"] = message.nonce
        payload["enforce_nonce"] = True
    return payload


def _layout(message: Message) -> list[dict[str, Any]]:
    content = truncate(message.content or "", MAX_CONTENT)
    parts: list[dict[str, Any]] = [{"type": 10, "content": content}] if content else []
    if message.files:
        parts.append({"type": 12, "items": [_gallery_item(file) for file in message.files]})
    details = truncate(message.details, MAX_LAYOUT_TEXT - length(content))
    if details:
        parts.append({"type": 10, "content": details})
    return [*parts, *message.components]


def _gallery_item(file: File) -> dict[str, Any]:
    item: dict[str, Any] = {"media": {"url": f"attachment://{file.wire_name}"}}
    if file.description:
        item["description"] = truncate(file.description, MAX_ALT_TEXT)
    if file.spoiler:
        item["spoiler"] = True
    return item


def multipart(message: Message, *, edit: bool) -> dict[str, Any]:
    """Return httpx's keyword arguments for the body: JSON alone, or a form of payload_json and files[n]."""
    payload = json.dumps(to_payload(message, edit=edit), ensure_ascii=False, separators=(",", ":")).encode()
    if not message.files:
        return {"content": payload, "headers": {"Content-Type": "application/json"}}
    form: list[tuple[str, tuple[str | None, bytes, str]]] = [("payload_json", (None, payload, "application/json"))]
    form += [
        (f"files[{number}]", (file.wire_name, file.content, file.content_type))
        for number, file in enumerate(message.files)
    ]
    return {"files": form}


def reply(message: Message) -> dict[str, Any]:
    """Return the callback that responds with a new message."""
    return {"type": MESSAGE, "data": to_payload(message, edit=False)}


def update(message: Message) -> dict[str, Any]:
    """Return the callback that edits the message of the component."""
    return {"type": UPDATE, "data": to_payload(message, edit=True)}


def choices(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the autocomplete callback. `pairs` are names and string values."""
    return {
        "type": AUTOCOMPLETE,
        "data": {
            "choices": [
                {"name": truncate(name, 100) or "-", "value": value}
                for name, value in pairs[:MAX_CHOICES]
                if len(value) <= 100
            ]
        },
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a select."""

    value: str
    label: str
    description: str = ""
    emoji: str | None = None
    is_default: bool = False


def select(
    custom_id: str, options: tuple[Option, ...], *, placeholder: str = "", any_number: bool = False
) -> dict[str, Any]:
    """Return a select of one, or with `any_number` of any number, of at most MAX_OPTIONS options.

    It fills a row of a message, or a label of a modal.
    """
    component: dict[str, Any] = {
        "type": 3,
        "custom_id": custom_id,
        "options": [_select_option(option) for option in options[:MAX_OPTIONS]],
    }
    if any_number:
        component |= {"min_values": 0, "max_values": len(component["options"])}
    if placeholder:
        component["placeholder"] = truncate(placeholder, 150)
    return component


def _select_option(option: Option) -> dict[str, Any]:
    shown: dict[str, Any] = {"label": truncate(option.label, 100), "value": option.value}
    if option.description:
        shown["description"] = truncate(option.description, 100)
    if option.emoji:
        shown["emoji"] = {"name": option.emoji}
    if option.is_default:
        shown["default"] = True
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectInput:
    """A choice in a modal."""

    custom_id: str
    label: str
    options: tuple[Option, ...]
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextInput:
    """A field of a modal."""

    custom_id: str
    label: str
    value: str = ""
    long: bool = False
    required: bool = False
    max_length: int = MAX_INPUT


def modal(custom_id: str, title: str, inputs: tuple[TextInput | SelectInput, ...]) -> dict[str, Any]:
    """Return the callback that opens a modal of one to five inputs."""
    return {
        "type": MODAL,
        "data": {
            "custom_id": custom_id,
            "title": truncate(title, 45),
            "components": [_modal_input(field) for field in inputs],
        },
    }


def _modal_input(field: TextInput | SelectInput) -> dict[str, Any]:
    if isinstance(field, TextInput):
        return {"type": 1, "components": [_text_input(field)]}
    labelled: dict[str, Any] = {
        "type": 18,
        "label": truncate(field.label, 45),
        "component": select(field.custom_id, field.options),
    }
    if field.description:
        labelled["description"] = truncate(field.description, 100)
    return labelled


def _text_input(field: TextInput) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": 4,
        "custom_id": field.custom_id,
        "label": truncate(field.label, 45),
        "style": 2 if field.long else 1,
        "required": field.required,
        "max_length": field.max_length,
    }
    if field.value:
        component["value"] = truncate(field.value, field.max_length)
    return component


def button(custom_id: str, label: str, *, style: int = 2, emoji: str | None = None) -> dict[str, Any]:
    """Return a button. Styles: 1 blurple, 2 grey, 3 green, 4 red."""
    component: dict[str, Any] = {"type": 2, "style": style, "custom_id": custom_id, "label": truncate(label, 80)}
    if emoji:
        component["emoji"] = {"name": emoji}
    return component


def link_button(url: str, label: str) -> dict[str, Any]:
    """Return a button that opens `url`."""
    return {"type": 2, "style": 5, "url": url, "label": truncate(label, 80)}


def row(*components: dict[str, Any]) -> dict[str, Any]:
    """Return an action row of one to five components."""
    return {"type": 1, "components": list(components)}
