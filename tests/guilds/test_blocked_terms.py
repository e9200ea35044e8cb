"""Blocked terms: one table of what each finds and does not, in the languages that members write."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest

from guilds.blocked_terms import Matcher, find, fold, is_blank

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


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("", True),
        (" \t\n\r", True),
        ("\u3000\u00a0", True),
        # Braille's empty cell, a letter of Hangul and a variation selector: drawn as nothing.
        ("\u2800", True),
        ("\u3164", True),
        ("\u200b\u2060\ufe0f", True),
        ("\0\x07", True),
        ("\u200b a \u200b", False),
        (".", False),
        ("\u2801", False),
        ("🦊", False),
        ("\u0301", False),
    ],
)
def test_a_text_is_blank_where_nothing_of_it_can_be_seen(text: str, blank: bool):
    assert is_blank(text) == blank


@pytest.mark.parametrize(
    ("word", "folded"),
    [
        # One letter of an alphabet's own is that letter; on half of all letters it is decoration.
        ("schön", "schön"),
        ("pörö", "poro"),
        ("pöröx", "pöröx"),
        ("öäü", "oau"),
        ("é", "e"),
        ("crème brûlée", "creme brulee"),
    ],
)
def test_marks_are_letters_until_they_are_decoration(word: str, folded: str):
    assert fold(word) == folded


@pytest.mark.parametrize("before", ["", "我喜欢美丽的风景和蓝色的大海" * 4])
def test_where_words_end_is_seen_far_into_a_text_without_spaces(before: str):
    assert find(f"{before}男性交流会", [fold("性交")]) is None
    assert find(f"{before}裸体画", [fold("裸体")]) == fold("裸体")


def test_a_word_of_several_scripts_is_read_in_each_that_has_all_its_letters():
    # A Greek word with a Latin o, and the Latin word "pop" in Cyrillic and Greek letters.
    assert find("ο κόσμoς μας", [fold("κόσμος")]) == fold("κόσμος")
    assert find("рοр", [fold("pop")]) == "pop"
    # As a term it is the Latin word first.
    assert fold("рοр") == "pop"


@pytest.mark.parametrize("term", ["dark magic", "dark arts", "dark old house"])
def test_terms_with_the_same_beginning_are_all_found(term: str):
    terms = ["dark magic", "dark old house", "dark arts"]
    assert find(f"a {term}", terms) == term
    assert find("a dark room", terms) is None
    # The shorter one is read first.
    assert find(f"a {term}", [*terms, "dark"]) == "dark"


def test_a_word_of_any_length_is_read():
    long = "x" * 70
    assert find(f"a {long}", [fold(long)]) == long
    assert find(long, [fold("x" * 69)]) is None


@pytest.mark.parametrize("prompt", ["n@ked!now", "now!n@ked", "!n@ked!", "so!n@ked!!now"])
def test_an_exclamation_mark_ends_a_word_that_has_other_signs_for_letters(prompt: str):
    assert find(prompt, [fold("naked")]) == "naked"
    assert fold("!n@ked!") == fold("n@ked") == fold("naked")
