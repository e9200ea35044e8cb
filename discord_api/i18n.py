"""Translations: `locales/<locale>.toml`, one sentence for each key."""

from __future__ import annotations

import contextlib
import functools
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT = "en-US"
LOCALES = ("en-US", "de", "fr", "es-ES", "ja", "pt-BR", "zh-CN")
_FOLDER = Path(__file__).parent / "locales"
_COMMAND = re.compile(r"`?/(sparkle[-\w]*)`?")
_BY_LANGUAGE = {locale.partition("-")[0]: locale for locale in LOCALES}


@functools.lru_cache(maxsize=len(LOCALES))
def phrases(locale: str) -> dict[str, str]:
    """Return all sentences of one of LOCALES by dotted key."""
    with (_FOLDER / f"{locale}.toml").open("rb") as file:
        return dict(_flat(tomllib.load(file)))


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in table.items():
        pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, str(value))]
    return pairs


def nearest_locale(locale: object) -> str:
    """Return the member of LOCALES for Discord's `locale`: itself, else one of its language, else English."""
    if not isinstance(locale, str):
        return DEFAULT
    return locale if locale in LOCALES else _BY_LANGUAGE.get(locale.partition("-")[0], DEFAULT)


def has_translation(key: str) -> bool:
    """Return whether `key` has a sentence."""
    return key in phrases(DEFAULT)


def translate(locale: str | None, key: str, **params: object) -> str:
    """Return the sentence for `key` with its parameters filled in. Raises KeyError for an unknown key."""
    nearest = nearest_locale(locale)
    sentence = _with_commands(phrases(nearest).get(key) or phrases(DEFAULT)[key], nearest)
    return sentence.format_map(params) if params else sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLocale:
    """The reader's client shows command names in its own `locale`, whatever language the guild has chosen."""

    locale: str
    command_ids: Callable[[], Mapping[str, int]]


_reader: ContextVar[ReaderLocale | None] = ContextVar("reader", default=None)


@contextlib.contextmanager
def use_reader_locale(locale: ReaderLocale) -> Iterator[None]:
    """In this block, translate() names commands as this reader sees them."""
    token = _reader.set(locale)
    try:
        yield
    finally:
        _reader.reset(token)


def _with_commands(sentence: str, locale: str) -> str:
    """Return the sentence with its commands as mentions, or with the names that the reader sees.

    https://discord.com/developers/docs/reference#message-formatting
    """
    reads = _reader.get()
    if reads is None or "/sparkle" not in sentence:
        return sentence
    named, theirs, ids = _command_names(locale), phrases(nearest_locale(reads.locale)), reads.command_ids()

    def name(match: re.Match[str]) -> str:
        command = named.get(match[1])
        if command is None:
            return match[0]
        if command in ids:
            return f"</{command}:{ids[command]}>"
        return match[0].replace(match[1], theirs[f"command.{command}.name"])

    return _COMMAND.sub(name, sentence)


@functools.lru_cache(maxsize=len(LOCALES))
def _command_names(locale: str) -> dict[str, str]:
    """Return each command's registered name by its name in `locale`."""
    keys = (re.fullmatch(r"command\.(sparkle[-\w]*)\.name", key) for key in phrases(locale))
    return {phrases(locale)[key[0]]: key[1] for key in keys if key}
