"""Blocked terms: one table of what each finds and does not, in the languages that members write."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest

from guilds.terms import Matcher, find, fold

TABLE = tomllib.loads((Path(__file__).parent / "blocked_terms.toml").read_text())
CASES = [
    pytest.param(term, prompt, expected == "found", id=f"{language}-{expected}-{term}-{why}")
    for language, kinds in TABLE.items()
    for expected, rows in kinds.items()
    for term, prompt, why in rows
]


def test_the_table_has_both_kinds_for_every_language():
    assert len(CASES) >= 150
    assert set(TABLE) >= {"en", "de", "fr", "es", "pt", "ja", "zh"}
    assert all(kinds["found"] and kinds["other"] for kinds in TABLE.values())


@pytest.mark.parametrize(("term", "prompt", "expected"), CASES)
def test_finds_what_people_read_as_the_term_and_nothing_else(term: str, prompt: str, expected: bool):
    folded = fold(term)
    assert folded
    assert find(prompt, [folded]) == (folded if expected else None)
    # The answer does not depend on what else the list holds.
    others = [fold(f"{word} {n}") for n in range(40) for word in ("zebra", "斑马", "シマウマ", "얼룩말")]
    assert find(prompt, [*others, folded]) == (folded if expected else None)


@pytest.mark.parametrize(("term", "prompt", "expected"), [case for case in CASES if case.values[2]])
def test_finds_a_term_in_the_middle_of_a_long_prompt(term: str, prompt: str, expected: bool):
    around = "masterpiece, best quality, a lighthouse at dusk, " * 20
    assert find(f"{around}{prompt}, {around}", [fold(term)]) == fold(term)


@pytest.mark.parametrize("empty", ["", "  ", "\u200b", "\u200b\u2060\ufeff", "!!!", "...", "🦊", "|", "\u0301"])
def test_what_has_no_letter_is_no_term(empty: str):
    assert fold(empty) == ""
    assert find("a fox", [fold("fox")]) == "fox"


def test_equal_terms_are_equal_folded_and_others_are_not():
    assert fold("Dark Magic") == fold("dark-magic") == fold("ＤＡＲＫ　ＭＡＧＩＣ") == fold("dárk mag\u200bic")
    assert len({fold(each) for each in ("año", "ano", "ばか", "はか", "рот", "pot", "p0rn", "porn")}) == 8


HOSTILE = {
    "one letter": "a" * 6000,
    "signs": "!" * 6000,
    "letters and signs": "a!" * 3000,
    "the beginning of a long term": "a " * 3000,
    "Han": "男性交流" * 1500,
    "one Han character": "裸" * 6000,
    "kana": "はばかに" * 1500,
    "Hangul": "누드를을" * 1500,
    "Thai": "เปลือย" * 1000,
    "marks": "g" + "\u0301" * 5999,
    "mixed scripts": "pоrnх " * 1000,
    "mixed scripts, no word twice": " ".join(f"pо{n}rх" for n in range(900)),
    "digits": "1a" * 3000,
    "invisible": "\u200b" * 6000,
}


@pytest.mark.parametrize("prompt", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_prompt_costs_little(prompt: str):
    terms = [fold("a " * 49 + "b"), fold("(a+)+$"), fold("裸裸裸女"), fold("性交"), fold("누드"), fold("เปลือยกาย")]
    terms += [fold(f"term {n} of many") for n in range(500)]
    found = Matcher(terms)
    found.find("warm")
    began = time.process_time()
    found.find(prompt)
    assert time.process_time() - began < 1.0


def test_five_hundred_terms_cost_a_request_about_as_much_as_one():
    prompt = ("masterpiece, best quality, a lighthouse at dusk over a stormy sea, " * 100)[:6000]
    one, many = Matcher([fold("gore")]), Matcher([fold(f"gore{n} of {n} things") for n in range(500)])

    def cost(matcher: Matcher) -> float:
        matcher.find(prompt)
        began = time.process_time()
        for _ in range(50):
            assert matcher.find(prompt) is None
        return (time.process_time() - began) / 50

    assert cost(many) < 4 * cost(one) + 0.0005
    assert cost(many) < 0.005
