"""Blocked terms are imported and exported as lists, one term a line."""

from __future__ import annotations

import pytest

from guilds import blocked_term_lists
from guilds.models import BlockedTerm

pytestmark = pytest.mark.django_db
IMPORT, EXPORT = "/admin/guilds/blockedterm/import/", "/admin/guilds/blockedterm/export/"


def listed(guild):
    return set(BlockedTerm.objects.filter(guild=guild).values_list("phrase", "nsfw"))


def test_a_list_is_added_and_what_was_there_stays(moderator_a, guild_a):
    BlockedTerm.objects.create(guild=guild_a, phrase="Gore")
    text = "# ours\n\nweapon of war\ngore\nnude | Adult\na|b\n"
    assert moderator_a.post(IMPORT, {"guild": guild_a.pk, "terms": text}).status_code == 302
    assert listed(guild_a) == {("Gore", False), ("weapon of war", False), ("nude", True), ("a|b", False)}
    assert "Added 3 terms. 1 was blocked already." in moderator_a.get("/admin/guilds/blockedterm/").text
    assert "weapon of war" in moderator_a.get("/admin/audit/").text


def test_what_is_exported_can_be_imported(moderator_a, guild_a, guild_b):
    moderator_a.post(IMPORT, {"guild": guild_a.pk, "terms": "gore\nnude | adult\n=cmd"})
    BlockedTerm.objects.create(guild=guild_b, phrase="their secret")
    text = moderator_a.get(EXPORT).text
    assert "their secret" not in text
    before = listed(guild_a)
    BlockedTerm.objects.filter(guild=guild_a).delete()
    blocked_term_lists.add(guild_a.pk, blocked_term_lists.parse_terms(text))
    assert listed(guild_a) == before


def test_wrong_lines_are_named_and_the_others_added(moderator_a, guild_a):
    page = moderator_a.post(IMPORT, {"guild": guild_a.pk, "terms": f"gore\n!!!\n{'x' * 101}\ncelebrity"}).text
    assert "Line 2: Write at least one letter or digit." in page
    assert "Line 3: Ensure this value has at most 100 characters" in page
    assert "!!!" in page, "the wrong lines can be corrected"
    assert listed(guild_a) == {("gore", False), ("celebrity", False)}


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ("", "Paste the terms, one a line."),
        ("# nothing\n", "no term in this list"),
        ("x\n" * 2001, "at most 2,000 terms"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_in_words(moderator_a, guild_a, terms, said):
    answer = moderator_a.post(IMPORT, {"guild": guild_a.pk, "terms": terms})
    assert answer.status_code == 422
    assert said in answer.text
    assert not listed(guild_a)


def test_a_moderator_imports_into_their_own_server_alone(moderator_a, observer, guild_a, guild_b):
    assert moderator_a.post(IMPORT, {"guild": guild_b.pk, "terms": "gore"}).status_code == 422
    assert moderator_a.post(IMPORT, {"guild": "", "terms": "gore"}).status_code == 422
    assert observer.post(IMPORT, {"guild": guild_a.pk, "terms": "gore"}).status_code == 403
    assert not BlockedTerm.objects.exists()


def test_an_operator_imports_for_all_servers(operator):
    assert operator.post(IMPORT, {"guild": "", "terms": "gore"}).status_code == 302
    assert listed(None) == {("gore", False)}
