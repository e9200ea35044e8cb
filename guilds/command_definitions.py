"""The commands that Sparkle registers, in every language (docs: interactions/application-commands)."""

from __future__ import annotations

from typing import Any

from discord_api import i18n
from discord_api.permissions import MANAGE_GUILD

from .policy import SPEEDS

_SLASH = 1
_ON_MESSAGE = 3
_STRING, _INTEGER, _NUMBER, _ATTACHMENT = 3, 4, 10, 11
_IN_SERVERS = {"contexts": [0], "integration_types": [0]}
# Locales of Discord that use another locale's translation; else they fall back to English.
_ALSO = {"es-ES": ("es-419",), "zh-CN": ("zh-TW",)}

REMIX = "Remix with Sparkle"
WHO = "Who made this?"
ON_MESSAGE = frozenset({REMIX, WHO})


def all_commands() -> list[dict[str, Any]]:
    """Return all commands, for one bulk overwrite."""
    return [
        _slash(
            "sparkle",
            _option(_STRING, "prompt", required=True, min_length=1, max_length=6000),
            _option(_STRING, "negative_prompt", max_length=6000),
            _option(_INTEGER, "seed", min_value=-1, max_value=2**32 - 1),
            _option(_INTEGER, "steps", min_value=1, max_value=150),
            _option(_STRING, "sampler", autocomplete=True, max_length=40),
            _option(_STRING, "size", autocomplete=True, max_length=9),
            _option(_NUMBER, "guidance", min_value=0, max_value=30),
            _option(_INTEGER, "count", min_value=1, max_value=4),
            _option(_STRING, "style", autocomplete=True, max_length=40),
            _option(_STRING, "model", autocomplete=True, max_length=50),
            _option(_STRING, "lora", autocomplete=True, max_length=100),
            _option(_ATTACHMENT, "image"),
            _option(_NUMBER, "strength", min_value=0.05, max_value=1),
            _option(_STRING, "speed", choices=[_choice("speed", value) for value in SPEEDS]),
            _preset(),
            _visibility(),
        ),
        _slash("sparkle-quota"),
        _slash("sparkle-history"),
        _slash("sparkle-show", _option(_STRING, "id", required=True, autocomplete=True, max_length=100)),
        _slash("sparkle-cancel", _option(_STRING, "id", autocomplete=True, max_length=100)),
        _slash(
            "sparkle-defaults",
            _option(_STRING, "model", autocomplete=True, max_length=50),
            _option(_STRING, "style", autocomplete=True, max_length=40),
            _option(_STRING, "size", autocomplete=True, max_length=9),
            _option(_INTEGER, "steps", min_value=1, max_value=150),
            _option(_INTEGER, "count", min_value=1, max_value=4),
            _option(_STRING, "lora", autocomplete=True, max_length=100),
            _visibility(),
            _preset(),
        ),
        {**_slash("sparkle-settings"), "default_member_permissions": MANAGE_GUILD},
        _slash("sparkle-help"),
        _on_message(REMIX, "remix"),
        _on_message(WHO, "who"),
    ]


def _preset() -> dict[str, Any]:
    return _option(_STRING, "preset", autocomplete=True, max_length=32)


def _visibility() -> dict[str, Any]:
    return _option(_STRING, "visibility", choices=[_choice("visibility", value) for value in ("public", "private")])


def _slash(name: str, *options: dict[str, Any]) -> dict[str, Any]:
    command: dict[str, Any] = {"type": _SLASH, **_named("command", name), **_IN_SERVERS}
    if options:
        command["options"] = list(options)
    return command


def _on_message(name: str, key: str) -> dict[str, Any]:
    return {"type": _ON_MESSAGE, "name": name, "name_localizations": _words(f"command.{key}.name"), **_IN_SERVERS}


def _option(kind: int, name: str, **rules: Any) -> dict[str, Any]:
    return {"type": kind, **_named("option", name), **rules}


def _choice(option: str, value: str) -> dict[str, Any]:
    key = f"choice.{option}.{value}"
    return {"name": i18n.phrases(i18n.DEFAULT)[key], "name_localizations": _words(key), "value": value}


def _named(what: str, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "name_localizations": _words(f"{what}.{name}.name"),
        "description": i18n.phrases(i18n.DEFAULT)[f"{what}.{name}.description"],
        "description_localizations": _words(f"{what}.{name}.description"),
    }


def _words(key: str) -> dict[str, str]:
    return {
        spelling: i18n.phrases(locale)[key]
        for locale in i18n.LOCALES
        if locale != i18n.DEFAULT
        for spelling in (locale, *_ALSO.get(locale, ()))
    }


_DEFAULTS: dict[str, Any] = {
    "type": _SLASH,
    "description": "",
    "required": False,
    "autocomplete": False,
    "nsfw": False,
    "options": [],
    "choices": [],
    "name_localizations": {},
    "description_localizations": {},
}
_COMPARED = frozenset(
    {
        "type", "name", "name_localizations", "description", "description_localizations", "options", "choices", "value",
        "required", "autocomplete", "min_length", "max_length", "min_value", "max_value", "channel_types",
        "default_member_permissions", "contexts", "integration_types", "nsfw",
    }
)  # fmt: skip


def normalized(commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return `commands` in a form in which Sparkle's definitions and Discord's responses compare equal.

    Discord adds ids and defaults, writes permissions as text, and orders commands itself.
    """
    return sorted(
        (_normalized_part(command) for command in commands),
        key=lambda command: (command.get("type", _SLASH), command["name"]),
    )


def _normalized_part(part: dict[str, Any]) -> dict[str, Any]:
    compared: dict[str, Any] = {}
    for key, value in part.items():
        if key not in _COMPARED or value is None or (key in _DEFAULTS and value == _DEFAULTS[key] and key != "type"):
            continue
        if key in ("options", "choices"):
            compared[key] = [_normalized_part(item) for item in value]
        elif key in ("contexts", "integration_types", "channel_types"):
            compared[key] = sorted(value)
        elif key == "default_member_permissions":
            compared[key] = int(value)
        else:
            compared[key] = value
    return compared
