"""Which commands Discord registers. Pure. Source: interactions/application-commands."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from . import body_schemas
from .body_validation import FormErrors, Path, errors_of
from .errors_and_rate_limits import Refused, bad_form

SLASH, USER, MESSAGE, ENTRY_POINT = 1, 2, 3, 4
SUBCOMMAND, SUBCOMMAND_GROUP, STRING, INTEGER, CHANNEL, NUMBER = 1, 2, 3, 4, 7, 10
MAX_COMMANDS = {SLASH: 100, USER: 15, MESSAGE: 15, ENTRY_POINT: 1}
MAX_CHARACTERS = 8000
# The blocks of the scripts that the name's pattern admits with all of their signs.
_DEVANAGARI = ((0x0900, 0x0963), (0x0966, 0x097F), (0xA8E0, 0xA8FF))
_THAI = ((0x0E01, 0x0E3A), (0x0E40, 0x0E5B))


def is_slash_name(name: str) -> bool:
    r"""Return whether `name` matches ^[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}$ in lower case."""
    return 1 <= len(name) <= 32 and name == name.lower() and all(_is_name_character(each) for each in name)


def _is_name_character(character: str) -> bool:
    if character in "-_'" or unicodedata.category(character)[0] in "LN":
        return True
    code = ord(character)
    return any(first <= code <= last for first, last in (*_DEVANAGARI, *_THAI))


def check_commands(body: Any) -> Refused | None:
    """Check a bulk registration."""
    errors = errors_of(body_schemas.COMMANDS, body)
    if errors.tree:
        return bad_form(errors.tree)
    names: dict[int, list[str]] = {}
    for n, command in enumerate(body):
        kind = command.get("type") or SLASH
        names.setdefault(kind, []).append(command["name"])
        _check_command(command, kind, (n,), errors)
    for kind, most in MAX_COMMANDS.items():
        if len(names.get(kind, [])) > most:
            return Refused(status=400, code=30032, message=f"Maximum number of application commands reached ({most}).")
        if len(set(names.get(kind, []))) < len(names.get(kind, [])):
            errors.add((), "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
    return bad_form(errors.tree) if errors.tree else None


def _check_command(command: Mapping[str, Any], kind: int, at: Path, errors: FormErrors) -> None:
    if kind == SLASH:
        _check_names(command, at, errors)
        if not command.get("description"):
            errors.add((*at, "description"), "BASE_TYPE_REQUIRED", "This field is required")
        if _weight(command) > MAX_CHARACTERS:
            errors.add(at, "APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)")
        _check_options(command.get("options") or [], (*at, "options"), errors, parent=None)
        return
    for name in ("description", "options", "description_localizations"):
        if command.get(name) and kind != ENTRY_POINT:
            errors.add(
                (*at, name), "APPLICATION_COMMAND_FIELD_NOT_ALLOWED", "Context menu commands cannot have this field"
            )


def _check_names(node: Mapping[str, Any], at: Path, errors: FormErrors) -> None:
    if not is_slash_name(node["name"]):
        errors.add((*at, "name"), "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
    for locale, name in (node.get("name_localizations") or {}).items():
        if name is not None and not is_slash_name(name):
            errors.add(
                (*at, "name_localizations", locale), "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid"
            )


def _check_options(options: Sequence[Mapping[str, Any]], at: Path, errors: FormErrors, *, parent: int | None) -> None:
    _check_unique_names(options, at, errors)
    kinds = {option["type"] for option in options}
    nested = kinds & {SUBCOMMAND, SUBCOMMAND_GROUP}
    if nested and kinds - nested:
        errors.add(
            at,
            "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
            "Sub-command option types are mutually exclusive to other option types",
        )
    is_allowed = {None: {SUBCOMMAND, SUBCOMMAND_GROUP}, SUBCOMMAND_GROUP: {SUBCOMMAND}}.get(parent, set())
    optional_seen = False
    for n, option in enumerate(options):
        here = (*at, n)
        kind = option["type"]
        if kind in nested and kind not in is_allowed:
            errors.add((*here, "type"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "Not at this depth")
        if parent == SUBCOMMAND_GROUP and kind != SUBCOMMAND:
            errors.add((*here, "type"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "A group holds sub-commands alone")
        _check_names(option, here, errors)
        if option.get("required"):
            if optional_seen:
                errors.add(
                    here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", "Required options must be placed first"
                )
        elif kind not in nested:
            optional_seen = True
        _check_option_fields(option, kind, here, errors)
        _check_options(option.get("options") or [], (*here, "options"), errors, parent=kind)


def _check_unique_names(options: Sequence[Mapping[str, Any]], at: Path, errors: FormErrors) -> None:
    seen: set[tuple[str, str]] = set()
    for n, option in enumerate(options):
        names = {"": option["name"]} | dict(option.get("name_localizations") or {})
        for locale, name in names.items():
            if name is None:
                continue
            if (locale, name) in seen:
                where = ("name_localizations", locale) if locale else ("name",)
                errors.add(
                    (*at, n, *where), "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", "Option name already exists"
                )
            seen.add((locale, name))


def _check_option_fields(option: Mapping[str, Any], kind: int, at: Path, errors: FormErrors) -> None:
    for names, kinds in (
        (("min_length", "max_length"), {STRING}),
        (("min_value", "max_value"), {INTEGER, NUMBER}),
        (("choices", "autocomplete"), {STRING, INTEGER, NUMBER}),
        (("channel_types",), {CHANNEL}),
        (("options",), {SUBCOMMAND, SUBCOMMAND_GROUP}),
    ):
        for name in names:
            if option.get(name) and kind not in kinds:
                errors.add((*at, name), "APPLICATION_COMMAND_OPTIONS_FIELD_INVALID", "Not for this type of option")
    for low, high in (("min_value", "max_value"), ("min_length", "max_length")):
        least, most = option.get(low), option.get(high)
        if least is not None and most is not None and least > most:
            errors.add((*at, low), "APPLICATION_COMMAND_OPTIONS_MIN_GREATER_THAN_MAX", f"{low} is greater than {high}")
    choices = option.get("choices") or []
    if choices and option.get("autocomplete"):
        errors.add((*at, "autocomplete"), "APPLICATION_COMMAND_AUTOCOMPLETE_WITH_CHOICES", "Not beside choices")
    _check_choices(choices, kind, (*at, "choices"), errors)


def _check_choices(choices: Sequence[Mapping[str, Any]], kind: int, at: Path, errors: FormErrors) -> None:
    types: dict[int, type | tuple[type, ...]] = {STRING: str, INTEGER: int, NUMBER: (int, float)}
    for n, choice in enumerate(choices):
        value = choice["value"]
        if kind in types and not isinstance(value, types[kind]):
            errors.add(
                (*at, n, "value"), "STRING_TYPE_CONVERT" if kind == STRING else "NUMBER_TYPE_COERCE", "Wrong type."
            )
    names = [choice["name"] for choice in choices]
    if len(set(names)) < len(names):
        errors.add(at, "APPLICATION_COMMAND_OPTIONS_CHOICE_NAME_EXISTS", "Choice names must be unique")


def _weight(node: Mapping[str, Any]) -> int:
    """Characters of names, descriptions and values; of the localised ones the longest counts."""
    total = 0
    for key in ("name", "description"):
        texts = [node.get(key) or "", *((node.get(f"{key}_localizations") or {}).values())]
        total += max(len(text or "") for text in texts)
    for choice in node.get("choices") or []:
        total += len(choice["name"]) + len(str(choice["value"]))
    return total + sum(_weight(option) for option in node.get("options") or [])
