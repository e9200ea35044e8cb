"""What members read, in their language: `words/<locale>.toml`, one sentence a key."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

DEFAULT = "en-US"
LOCALES = ("en-US", "de", "fr", "es-ES", "ja", "pt-BR", "zh-CN")
_WORDS = Path(__file__).parent / "words"
_BY_LANGUAGE = {locale.partition("-")[0]: locale for locale in LOCALES}


@functools.lru_cache(maxsize=len(LOCALES))
def words(locale: str) -> dict[str, str]:
    """Return all sentences of one of LOCALES by dotted key."""
    with (_WORDS / f"{locale}.toml").open("rb") as file:
        return dict(_flat(tomllib.load(file)))


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, str(value))]
    return found


def best(locale: object) -> str:
    """Return the one of LOCALES nearest to Discord's `locale`: itself, else its language, else English."""
    if not isinstance(locale, str):
        return DEFAULT
    return locale if locale in LOCALES else _BY_LANGUAGE.get(locale.partition("-")[0], DEFAULT)


def has(key: str) -> bool:
    """Return whether there is a sentence for `key`."""
    return key in words(DEFAULT)


def t(locale: str | None, key: str, **params: object) -> str:
    """Return the sentence for `key` with its parameters filled in. Raise KeyError for one that is in no language."""
    sentence = words(best(locale)).get(key) or words(DEFAULT)[key]
    return sentence.format_map(params) if params else sentence
