"""An interaction payload as a value. Pure. A field of the wrong type counts as absent, so no payload raises later.

docs: interactions/receiving-and-responding, "Interaction Structure".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from discord_api import i18n, payloads, snowflakes

COMMAND = 2
COMPONENT = 3
AUTOCOMPLETE = 4
MODAL = 5

SLASH = 1
ON_MESSAGE = 3

_DEFAULT_SIZE_LIMIT = 10 * 1024 * 1024
_MAX_SIZE_LIMIT = 2**31 - 1


class Malformed(Exception):
    """The payload lacks a field that every interaction has."""


class WrongType(Exception):
    """An option's value is not of its declared type. `args[0]` is the option's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """An interaction. `guild_id` is None in a DM; `app_permissions` is None if Discord omitted it."""

    id: int
    application_id: int
    type: int
    token: str = field(repr=False)
    guild_id: int | None
    channel_id: int
    channel: Mapping[str, Any] = field(repr=False)
    user_id: int
    member_name: str = field(repr=False)
    role_ids: frozenset[int]
    permissions: int
    app_permissions: int | None
    locale: str
    attachment_size_limit: int
    # The message of the component, also for a modal that a component opened.
    message_id: int | None
    message_flags: int
    data: Mapping[str, Any] = field(repr=False)

    @property
    def required_guild_id(self) -> int:
        """The guild's id, for handlers that the router never calls for a DM."""
        assert self.guild_id is not None  # noqa: S101
        return self.guild_id

    @property
    def parent_channel_id(self) -> int | None:
        """A thread's parent channel, or a channel's category, if Discord names it."""
        return snowflakes.parse(self.channel.get("parent_id"))

    @property
    def pressed_message_id(self) -> int | None:
        """The message whose component made this request, unless only the member sees it."""
        return None if self.message_flags & payloads.EPHEMERAL else self.message_id

    @property
    def is_on_layout(self) -> bool:
        """Whether an update of the component's message must be a layout."""
        return bool(self.message_flags & payloads.LAYOUT)


def parse(payload: Mapping[str, Any]) -> Interaction:
    """Return the payload as an Interaction. Raise Malformed if id, type, token, channel or user is missing."""
    kind = payload.get("type")
    interaction_id = snowflakes.parse(payload.get("id"))
    token = payload.get("token")
    member = _mapping(payload.get("member"))
    user = _mapping(member.get("user")) or _mapping(payload.get("user"))
    user_id = snowflakes.parse(user.get("id"))
    channel = _mapping(payload.get("channel"))
    channel_id = snowflakes.parse(payload.get("channel_id")) or snowflakes.parse(channel.get("id"))
    if type(kind) is not int or interaction_id is None or not isinstance(token, str):
        raise Malformed
    if user_id is None or channel_id is None:
        raise Malformed
    roles = member.get("roles")
    names = (member.get("nick"), user.get("global_name"), user.get("username"))
    # Without a member, roles and permissions are unknown: treat it as a DM.
    guild_id = snowflakes.parse(payload.get("guild_id")) if member else None
    size_limit = payload.get("attachment_size_limit")
    message = _mapping(payload.get("message"))
    return Interaction(
        id=interaction_id,
        application_id=snowflakes.parse(payload.get("application_id")) or 0,
        type=kind,
        token=clean(token),
        guild_id=guild_id,
        channel_id=channel_id,
        channel=channel,
        user_id=user_id,
        member_name=next((clean(name) for name in names if isinstance(name, str) and name), ""),
        role_ids=frozenset(role_id for role in roles if (role_id := snowflakes.parse(role)) is not None)
        if isinstance(roles, list)
        else frozenset(),
        permissions=_bits(member.get("permissions")) or 0,
        app_permissions=_bits(payload.get("app_permissions")),
        locale=i18n.nearest_locale(payload.get("locale")),
        attachment_size_limit=size_limit
        if type(size_limit) is int and 0 < size_limit <= _MAX_SIZE_LIMIT
        else _DEFAULT_SIZE_LIMIT,
        message_id=snowflakes.parse(message.get("id")),
        message_flags=_bits(message.get("flags")) or 0,
        data=_mapping(payload.get("data")),
    )


def clean(value: str) -> str:
    """Return `value` without NUL, which PostgreSQL cannot store, and lone surrogates, which UTF-8 cannot encode."""
    return value.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _bits(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 30:
        return int(value)
    return value if type(value) is int and value >= 0 else None


def command_name(data: Mapping[str, Any]) -> str:
    """Return the name of the command, "" if there is none."""
    name = data.get("name")
    return name if isinstance(name, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A command's options by name, with a reader for each type."""

    values: Mapping[str, Any]
    focused: str | None = None

    def text(self, option: str) -> str | None:
        """Return a string option, None if it was not given. Raise WrongType."""
        value = self.values.get(option)
        if value is not None and not isinstance(value, str):
            raise WrongType(option)
        return None if value is None else clean(value)

    def integer(self, option: str) -> int | None:
        """Return an integer option, None if it was not given. Raise WrongType."""
        value = self.values.get(option)
        if value is not None and (type(value) is not int or abs(value) > 2**53 - 1):
            raise WrongType(option)
        return value

    def number(self, option: str) -> float | None:
        """Return a finite number option, None if it was not given. Raise WrongType."""
        value = self.values.get(option)
        if value is None:
            return None
        # Negated, because every comparison with NaN is false.
        if type(value) not in (int, float) or not abs(value) <= 2**53:
            raise WrongType(option)
        return float(value)

    def attachment(self, option: str, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the resolved attachment of an option, None if it was not given. Raise WrongType."""
        value = self.values.get(option)
        if value is None:
            return None
        resolved = _mapping(_mapping(data.get("resolved")).get("attachments"))
        attachment = resolved.get(value) if isinstance(value, str) else None
        if not isinstance(attachment, dict):
            raise WrongType(option)
        return attachment


def options(data: Mapping[str, Any]) -> Options:
    """Return a command's options. Raise WrongType unless they are a list of named values."""
    options = data.get("options")
    if options is None:
        options = []
    if not isinstance(options, list):
        raise WrongType("options")
    values: dict[str, Any] = {}
    focused = None
    for option in options:
        if not isinstance(option, dict) or not isinstance(option.get("name"), str):
            raise WrongType("options")
        values[option["name"]] = option.get("value")
        if option.get("focused") is True:
            focused = option["name"]
    return Options(values=values, focused=focused)


def text_inputs(data: Mapping[str, Any]) -> dict[str, str]:
    """Return a submitted modal's texts and choices by custom id, whether in action rows or in labels."""
    values: dict[str, str] = {}
    components = data.get("components")
    for outer in map(_mapping, components if isinstance(components, list) else []):
        inner = outer.get("components")
        for component in map(_mapping, [*(inner if isinstance(inner, list) else []), outer.get("component")]):
            custom_id, value = component.get("custom_id"), component.get("value", selected(component))
            if isinstance(custom_id, str) and isinstance(value, str):
                values[custom_id] = clean(value).strip()
    return values


def custom_ids(message: Mapping[str, Any]) -> Iterator[object]:
    """Yield the custom ids of a message's components, also inside rows and containers."""
    pending = [message]
    while pending:
        inside = pending.pop().get("components")
        for component in map(_mapping, inside if isinstance(inside, list) else []):
            yield component.get("custom_id")
            pending.append(component)


def selected(component: Mapping[str, Any]) -> str | None:
    """Return the first chosen value of a select, None if there is none."""
    values = component.get("values")
    return values[0] if isinstance(values, list) and values and isinstance(values[0], str) else None


def target_message(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the message that a message command was used on, empty if it is not resolved."""
    messages = _mapping(_mapping(data.get("resolved")).get("messages"))
    target = data.get("target_id")
    return _mapping(messages.get(target)) if isinstance(target, str) else {}
