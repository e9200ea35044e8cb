"""Every language says the same things, with the same facts in them, within Discord's limits."""

from __future__ import annotations

import re
import string

import pytest

from discord_api import i18n
from guilds.command_definitions import all_commands

OTHERS = [locale for locale in i18n.LOCALES if locale != i18n.DEFAULT]


def params(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("locale", OTHERS)
def test_every_language_has_every_sentence_and_no_other(locale: str) -> None:
    assert i18n.phrases(locale).keys() == i18n.phrases(i18n.DEFAULT).keys()


@pytest.mark.parametrize("locale", OTHERS)
def test_every_translation_names_the_same_facts(locale: str) -> None:
    ours, english = i18n.phrases(locale), i18n.phrases(i18n.DEFAULT)
    assert {key: params(ours[key]) for key in english} == {key: params(english[key]) for key in english}


@pytest.mark.parametrize("locale", i18n.LOCALES)
def test_no_sentence_is_empty_and_labels_fit_discord(locale: str) -> None:
    for key, sentence in i18n.phrases(locale).items():
        assert sentence.strip(), key
        limit = 80 if key.startswith("button.") else 45 if key.startswith("modal.") else 2000
        assert len(sentence) <= limit, key


@pytest.mark.parametrize("locale", i18n.LOCALES)
def test_commands_named_in_sentences_exist_in_that_language(locale: str) -> None:
    words = i18n.phrases(locale)
    names = {words[key] for key in words if key.startswith("command.") and key.endswith(".name")}
    for key, sentence in words.items():
        for named in re.findall(r"/(sparkle[-\w]*)", sentence):
            assert named in names, (key, named)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("de", "de"),
        ("en-GB", "en-US"),
        ("es-419", "es-ES"),
        ("zh-TW", "zh-CN"),
        ("pt-BR", "pt-BR"),
        ("ko", "en-US"),
        ("", "en-US"),
        (None, "en-US"),
        (5, "en-US"),
        ("../../etc/passwd", "en-US"),
    ],
)
def test_the_nearest_language_is_chosen(given: object, chosen: str) -> None:
    assert i18n.nearest_locale(given) == chosen


def test_every_command_is_told_in_every_language() -> None:
    for command in all_commands():
        assert set(command["name_localizations"]) >= set(OTHERS), command["name"]
