"""Exceptions from blocked terms, and terms whose letters stand apart: one table of each."""

from __future__ import annotations

import pytest

from guilds.blocked_terms import fold
from guilds.term_search import TermRules, find

# Term, exception, prompt, whether the term is found, why.
EXCEPTIONS = [
    ("naked", "naked eye", "visible to the naked eye", False, "the whole term is in the exception"),
    ("naked", "naked eye", "a naked man, visible to the naked eye", True, "it is outside too"),
    ("naked", "naked eye", "NAKED-EYE, n4ked eye", False, "in other spellings, as for terms"),
    ("naked", "naked eye", "naked, eye", False, "punctuation is between words"),
    ("naked", "naked eye", "naked eyes", True, "another word"),
    ("eye candy", "naked eye", "naked eye candy", True, "only a part of it is in the exception"),
    ("ass", "pack ass", "a pack ass", False, "the second word"),
    ("ass", "pack ass", "ass pack ass ass", True, "three are outside"),
    ("gore", "naked eye", "gore for the naked eye", True, "another term"),
    ("eye", "naked eye!nude", "naked eye!gore", True, "a sign between words hides nothing"),
    ("nude", "naked eye", "naked eye!nude", True, "a word behind a sign is outside"),
    ("裸", "裸眼", "裸眼の視力", False, "Han, within a run"),
    ("裸", "裸眼", "裸眼裸女", True, "Han, once more in the same run"),
    ("dark magic", "dark magic school", "a dark magic school", False, "a phrase"),
    ("dark magic", "dark magic school", "dark magic", True, "the exception is longer"),
    ("누드", "누드 김밥", "누드 김밥 한 접시", False, "Hangul"),
]
SPACED = [
    ("nude", "n u d e", True, "spaces"),
    ("nude", "N.U.D.E", True, "dots"),
    ("nude", "n-u-d-e woman", True, "hyphens"),
    ("nude", "n u d 3", True, "a digit as a letter"),
    ("nude", "a n u d e woman", True, "after a word of one letter"),
    ("dark magic", "d a r k m a g i c", True, "a phrase"),
    ("порно", "п о р н о", True, "Cyrillic"),
    ("nude", "nu de", False, "not single letters"),
    ("nude", "n u d e s", False, "another word"),
    ("ass", "vitamins A, B, C", False, "a list of letters"),
    ("us", "made in U S", False, "two letters are initials"),
    ("nude", "", False, "nothing"),
]


@pytest.mark.parametrize(
    ("term", "exception", "prompt", "expected"), [row[:4] for row in EXCEPTIONS], ids=[row[4] for row in EXCEPTIONS]
)
def test_a_term_within_an_exception_is_not_found(term: str, exception: str, prompt: str, expected: bool) -> None:
    found = find(prompt, [fold(term)], exceptions=[fold(exception)])
    assert found == (fold(term) if expected else None)


@pytest.mark.parametrize(("term", "prompt", "expected"), [row[:3] for row in SPACED], ids=[row[3] for row in SPACED])
def test_letters_that_stand_apart_are_read_as_a_word_if_asked(term: str, prompt: str, expected: bool) -> None:
    assert find(prompt, [fold(term)], spaced_too=True) == (fold(term) if expected else None)
    assert find(prompt, [fold(term)]) is None


def test_a_servers_exception_makes_none_from_a_term_of_all_servers() -> None:
    terms = {"naked": "naked", "gore": "Gore"}
    own = TermRules(platform_terms=frozenset({"gore"}), exceptions=frozenset({"naked eye", "gore metal"}))
    assert own.find("gore metal", terms) == "gore"
    assert own.find("the naked eye", terms) is None
    everywhere = TermRules(platform_terms=frozenset(terms), platform_exceptions=frozenset({"gore metal"}))
    assert everywhere.find("gore metal", terms) is None
    assert everywhere.find("the naked eye", terms) == "naked"


def test_both_options_work_together() -> None:
    rules = TermRules(exceptions=frozenset({"naked eye"}), spaced_too=True)
    assert rules.find("the naked eye", {"naked": ""}) is None
    assert rules.find("n a k e d eye", {"naked": ""}) == "naked"
