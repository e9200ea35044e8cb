"""Answers name commands so that each reader finds them: by mention, else by the names of the reader's own client."""

from __future__ import annotations

import pytest

from discord_api import i18n
from discord_api.i18n import ReaderLocale, translate, use_reader_locale
from guilds.command_definitions import all_commands

IDS = {command["name"]: 100 + n for n, command in enumerate(all_commands())}


def test_a_command_is_mentioned_by_its_id_in_every_language():
    for locale in i18n.LOCALES:
        with use_reader_locale(ReaderLocale(locale="ja", command_ids=lambda: IDS)):
            assert f"</sparkle-settings:{IDS['sparkle-settings']}>" in translate(locale, "refusal.guild_disabled")
            body = translate(locale, "help.body", days=9)
            for name in ("sparkle", "sparkle-history", "sparkle-show", "sparkle-cancel", "sparkle-quota"):
                assert f"</{name}:{IDS[name]}>" in body
            assert "`</" not in body, "a mention inside code is not shown as one"


@pytest.mark.parametrize("theirs", i18n.LOCALES)
@pytest.mark.parametrize("servers", i18n.LOCALES)
def test_without_ids_the_readers_own_names_are_used(servers: str, theirs: str):
    with use_reader_locale(ReaderLocale(locale=theirs, command_ids=dict)):
        sentence = translate(servers, "refusal.unknown_command")
    assert f"/{i18n.phrases(theirs)['command.sparkle-help.name']}" in sentence


def test_what_members_write_is_left_alone():
    with use_reader_locale(ReaderLocale(locale="de", command_ids=lambda: IDS)):
        assert translate("en-US", "refusal.term_blocked", term="/sparkle-help").count("/sparkle-help") == 1


def test_outside_an_interaction_sentences_are_as_written():
    assert "/sparkle-settings" in translate("en-US", "refusal.guild_disabled")
    with use_reader_locale(ReaderLocale(locale="de", command_ids=lambda: IDS)):
        pass
    assert "/sparkle-settings" in translate("en-US", "refusal.guild_disabled")


def test_no_offered_language_falls_back_to_english():
    for command in all_commands():
        assert {"es-419", "zh-TW"} <= command["name_localizations"].keys()
