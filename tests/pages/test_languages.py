"""The pages for members speak the browser's language."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client, RequestFactory

from discord_api import i18n
from jobs import submission, transitions
from sparkle_site.pages import languages
from tests.admin.conftest import discord_user, signed_in

pytestmark = pytest.mark.django_db
MEMBER = 900000000000000042
ENGLISH = i18n.phrases("en-US")


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        ("de-CH,de;q=0.9,en;q=0.8", "de"),
        ("ko,ja;q=0.5", "ja"),
        ("pt-PT", "pt-BR"),
        ("ko", "en-US"),
        ("", "en-US"),
        ("*;q=0.1,,,;;;" + "x" * 9999, "en-US"),
    ],
)
def test_the_first_language_that_sparkle_speaks_is_taken(header: str, locale: str) -> None:
    assert languages.locale_of(RequestFactory().get("/", headers={"Accept-Language": header})) == locale


@pytest.mark.parametrize("locale", [locale for locale in i18n.LOCALES if locale != "en-US"])
@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/data/delete/", "/no-such-page", "/admin/login/"])
def test_no_english_sentence_is_left_on_a_page(
    path: str, locale: str, make_guild: Any, make_ask: Any, now: Any
) -> None:
    member = signed_in(discord_user(MEMBER)) if path != "/accounts/login/" else Client()
    made = submission.submit(make_ask(make_guild(), user_id=MEMBER, prompt="kreis"), now=now)
    assert isinstance(made, submission.Accepted)
    transitions.cancel(made.job.pk, by=MEMBER, now=now)
    page = member.get(path, headers={"Accept-Language": locale})
    assert f'<html lang="{locale}">' in page.text
    words = re.sub(r"<[^>]+>", "\n", page.text)
    ours = i18n.phrases(locale)
    # A word that is the same in both languages proves nothing.
    left = [
        key for key, english in ENGLISH.items() if key.startswith("web.") and ours[key] != english and english in words
    ]
    assert [key for key in left if re.search(rf"^\s*{re.escape(ENGLISH[key])}\s*$", words, re.MULTILINE)] == []


def test_a_visitor_without_a_language_reads_english(client: Client) -> None:
    assert "Images for your Discord server" in client.get("/").text
