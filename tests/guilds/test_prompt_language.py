"""Choices and weights in prompts: what they mean, that they are reproducible, and that no prompt takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from guilds import prompt_language, prompt_weights
from guilds.prompt_language import PromptError
from guilds.prompt_weights import WeightedText
from tests.properties import given, st

LISTS = {
    "animal": ["cat", "dog", "owl"],
    "scene": ["__animal__ by {day|night}"],
    "self": ["a __self__"],
    "ping": ["__pong__"],
    "pong": ["__ping__"],
    "bomb": ["__bomb2____bomb2__"],
    "bomb2": ["__bomb3____bomb3__"],
    "bomb3": ["x" * 200],
}


def expand(prompt: str, seed: int = 7, limit: int = 6000) -> str:
    return prompt_language.expand(prompt, lists=LISTS, seed=seed, limit=limit)


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("{red|blue} cat", {"red cat", "blue cat"}),
        ("{a|{b|c}}", {"a", "b", "c"}),
        ("{|very }old", {"old", "very old"}),
        ("an __animal__", {"an cat", "an dog", "an owl"}),
        ("__ANIMAL__", {"cat", "dog", "owl"}),
        ("__scene__", {f"{animal} by {time}" for animal in LISTS["animal"] for time in ("day", "night")}),
        ("{__animal__|boat}", {"cat", "dog", "owl", "boat"}),
    ],
)
def test_seeds_reach_every_choice_and_no_other_text(prompt: str, texts: set[str]) -> None:
    assert {expand(prompt, seed) for seed in range(100)} == texts


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (r"\{red\|blue\}", "{red|blue}"),
        (r"\_\_animal\_\_", "__animal__"),
        (r"C:\temp \n", r"C:\temp \n"),
        (r"\(cat\) \\", r"\(cat\) \\"),
        ('{"subject": "cat", "view": {"from": "above"}}', '{"subject": "cat", "view": {"from": "above"}}'),
        ("} a { b", "} a { b"),
        ("either | or", "either | or"),
        ("snake_case __ and ____", "snake_case __ and ____"),
        ("", ""),
    ],
)
def test_what_is_no_choice_stays_as_it_is(prompt: str, text: str) -> None:
    assert expand(prompt) == text


def test_the_same_seed_makes_the_same_choices() -> None:
    prompt = "{a|b|c|d} {a|b|c|d} __animal__ __scene__"
    assert expand(prompt, 5) == expand(prompt, 5)
    # Written down, so that no later version makes other images of an old seed.
    assert [expand("{a|b|c|d}", seed) for seed in range(6)] == ["b", "d", "a", "b", "a", "a"]


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("{red|blue cat", "prompt_brace_open"),
        ("__dragon__", "prompt_list_unknown"),
        ("__self__", "prompt_list_loop"),
        ("__ping__", "prompt_list_loop"),
        ("{a|b}" * 501, "prompt_too_many_choices"),
        ("__bomb__" * 10, "prompt_too_long_expanded"),
        ("x" * 6001, "prompt_too_long_expanded"),
    ],
)
def test_an_error_has_its_own_code(prompt: str, code: str) -> None:
    with pytest.raises(PromptError) as caught:
        expand(prompt)
    assert caught.value.code == code


def test_a_list_that_leads_back_to_itself_is_found() -> None:
    known = {"a": ["__b__"], "b": ["__c__ and __d__"], "d": ["x"]}
    assert prompt_language.find_cycle("c", ["__a__"], lambda name: known.get(name, [])) == "b"
    assert prompt_language.find_cycle("c", ["__c__"], lambda name: known.get(name, [])) == "c"
    assert prompt_language.find_cycle("e", ["__a__"], lambda name: known.get(name, [])) is None


def steps(run: Callable[[], object]) -> int:
    """Return how many lines of Python `run` executes: unlike its time, the same on every machine."""
    count = 0

    def trace(frame: object, event: str, arg: object) -> object:
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        run()
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize(
    "unit",
    ["(", "[", "((a:1.3)", "(a", ")", "(a:1e9)", "([", "\\(", ":1)", "(a)[b]", "{", "}", "{a}", "__", "_|", "\\"],
)
def test_ten_times_the_brackets_take_ten_times_the_steps(unit: str) -> None:
    def run(times: int) -> int:
        prompt = unit * times
        return steps(lambda: prompt_weights.parse(prompt_language.expand(prompt, lists={}, seed=1, limit=10**6)))

    assert run(2000) <= 11 * run(200)


def test_ten_thousand_nested_brackets_are_read() -> None:
    nested = "(" * 10_000 + "cat" + ")" * 10_000
    assert prompt_weights.parse(nested) == [WeightedText(text="cat", weight=prompt_weights.MOST)]
    assert expand("{" * 5_000 + "cat" + "}" * 5_000, limit=20_000) == "{" * 5_000 + "cat" + "}" * 5_000


def weights(prompt: str) -> list[tuple[str, float]]:
    return [(part.text, round(part.weight, 3)) for part in prompt_weights.parse(prompt)]


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a cat", [("a cat", 1)]),
        ("a (red:1.3) cat", [("a ", 1), ("red", 1.3), (" cat", 1)]),
        ("(a) [b]", [("a", 1.1), (" ", 1), ("b", 0.909)]),
        ("((a))", [("a", 1.21)]),
        ("(a (b:0.5):1.2)", [("a ", 1.2), ("b", 0.6)]),
        ("(a:1e9) (b:99999999999999999999) (c:0)", [("a", 2), (" ", 1), ("b", 2), (" ", 1), ("c", 0)]),
        ("(a: .5 )", [("a", 0.5)]),
        (r"\(a\) \[b\] \\", [("(a) [b] \\", 1)]),
        (":) (a [b) ]", [(":) (a ", 1), ("b) ", 0.909)]),
        ("ratio 16:9, (16:9", [("ratio 16:9, (16:9", 1)]),
        ("(a)(b)", [("ab", 1.1)]),
        ("", []),
    ],
)
def test_weights_of_parts(prompt: str, parts: list[tuple[str, float]]) -> None:
    assert weights(prompt) == parts


def test_plain_text_has_no_signs_of_weights() -> None:
    assert prompt_weights.plain("a (very [old]:1.4) cat") == "a very old cat"


@given(st.text(alphabet="ab()[]{}|_:\\1.9e ", max_size=60), st.integers(0, 2**32 - 1))
def test_any_text_is_expanded_or_refused_with_a_code(prompt: str, seed: int) -> None:
    code = ""
    try:
        parts = prompt_weights.parse(expand(prompt, seed))
    except PromptError as error:
        code, parts = error.code, []
    assert code in {"", "prompt_brace_open", "prompt_list_unknown"}
    assert all(prompt_weights.LEAST <= part.weight <= prompt_weights.MOST for part in parts)


@given(st.text(alphabet="ab{}|_ e", max_size=60))
def test_an_escaped_text_expands_to_itself(text: str) -> None:
    assert expand(prompt_language.escape(text), 1) == text


def test_a_plain_text_needs_no_escape() -> None:
    for text in ("a cat", "snake_case", "either|or", ""):
        assert prompt_language.escape(text) == text
