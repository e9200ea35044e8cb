"""LoRAs as members write them, and which of them a request gets."""

from __future__ import annotations

from typing import Any

import pytest

from guilds import lora_selection
from guilds.lora_selection import LoraChoice, LoraOptions, LoraProblem


def _lora(slug: str, **fields: Any) -> LoraOptions:
    defaults: dict[str, Any] = {
        "name": slug.title(),
        "family": "sd1",
        "default_weight": 0.8,
        "max_weight": 1.5,
        "trigger_words": "",
        "adult": False,
        "is_offered": True,
    }
    return LoraOptions(slug=slug, **(defaults | fields))


AVAILABLE = (
    _lora("night", name="Night palette"),
    _lora("sketch", trigger_words="pencil sketch"),
    _lora("paper"),
    _lora("ink"),
    _lora("house-style", is_offered=False),
    _lora("wide", family="sdxl"),
)


def _chosen(typed: str = "", *, in_prompt: str = "", in_style: str = "", family: str = "sd1") -> dict[str, float]:
    uses = lora_selection.choose(AVAILABLE, typed=typed, in_prompt=in_prompt, in_style=in_style, family=family)
    assert not isinstance(uses, LoraProblem), uses
    return {use.lora.slug: use.weight for use in uses}


def _problem(typed: str = "", **more: Any) -> LoraProblem:
    options = {"in_prompt": "", "in_style": "", "family": "sd1"} | more
    problem = lora_selection.choose(AVAILABLE, typed=typed, **options)
    assert isinstance(problem, LoraProblem)
    return problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" , ", ()),
        ("night", (("night", None),)),
        ("night:0.8, Sketch", (("night", 0.8), ("Sketch", None))),
        ("Night palette : 1", (("Night palette", 1.0),)),
        ("night:-0.5,sketch:.7", (("night", -0.5), ("sketch", 0.7))),
        ("夜景:1.25", (("夜景", 1.25),)),
    ],
)
def test_a_text_names_loras_and_weights(text: str, expected: tuple[tuple[str, float | None], ...]) -> None:
    assert lora_selection.parse(text) == tuple(LoraChoice(name=name, weight=weight) for name, weight in expected)


@pytest.mark.parametrize(
    "text", ["night:", "night:a", ":0.8", "night:0.8:1", "night:1e9", "night:-", "a:999", "night:."]
)
def test_a_malformed_text_is_refused(text: str) -> None:
    assert lora_selection.parse(text) is None
    assert _problem(text).code == "lora_malformed"


@pytest.mark.parametrize(
    ("prompt", "clean", "named"),
    [
        ("a fox", "a fox", ""),
        ("a fox <lora:night:0.8> at dusk", "a fox at dusk", "night:0.8"),
        ("<LORA:night>a fox, <lora:sketch:1>", "a fox", "night,sketch:1"),
        ("if a<b and b>c", "if a<b and b>c", ""),
        ("<lora:night:0.8>", "", "night:0.8"),
    ],
)
def test_tags_are_taken_from_the_prompt(prompt: str, clean: str, named: str) -> None:
    assert lora_selection.take_from_prompt(prompt) == (clean, named)


def test_a_lora_has_its_own_weight_unless_one_is_typed() -> None:
    assert _chosen("night, SKETCH:1.2") == {"night": 0.8, "sketch": 1.2}
    assert _chosen("night palette:0.3") == {"night": 0.3}


def test_the_prompts_weight_comes_before_the_options_and_the_styles() -> None:
    assert _chosen("night:0.5", in_style="night:0.1,paper") == {"night": 0.5, "paper": 0.8}
    assert _chosen("night:0.5", in_prompt="night:1") == {"night": 1.0}


def test_a_style_may_have_what_members_cannot_choose() -> None:
    assert _problem("house-style").code == "lora_unknown"
    assert _chosen(in_style="house-style:1") == {"house-style": 1.0}
    # A repeated request names its style's LoRAs itself.
    assert _chosen("house-style:1,night,sketch,paper", in_style="house-style:1").keys() == {
        "house-style", "night", "sketch", "paper"
    }  # fmt: skip


def test_each_refusal_names_what_to_change() -> None:
    assert _problem("dusk").params == {"name": "dusk", "range": "Ink, Night palette, Paper, Sketch, Wide"}
    assert _problem("night:1.6").params == {"name": "Night palette", "limit": "1.5"}
    assert _problem("night:-1.6").code == "lora_weight"
    assert _problem("wide").code == "lora_other_family"
    assert _chosen("wide", family="") == {"wide": 0.8}
    assert _problem("night,sketch,paper", in_prompt="ink").code == "too_many_loras"
    nothing = lora_selection.choose((), typed="night", in_prompt="", in_style="", family="")
    assert nothing == LoraProblem(code="lora_not_offered")


def test_trigger_words_are_added_once() -> None:
    uses = lora_selection.choose(AVAILABLE, typed="sketch,night", in_prompt="", in_style="", family="sd1")
    assert not isinstance(uses, LoraProblem)
    assert lora_selection.add_trigger_words("a fox", uses) == "a fox, pencil sketch"
    assert lora_selection.add_trigger_words("Pencil Sketch of a fox", uses) == "Pencil Sketch of a fox"


def test_what_is_stored_is_read_again() -> None:
    uses = lora_selection.choose(AVAILABLE, typed="sketch:1,night:-0.25", in_prompt="", in_style="", family="sd1")
    assert not isinstance(uses, LoraProblem)
    stored = lora_selection.format_uses(uses)
    assert stored == "sketch:1,night:-0.25"
    assert _chosen(stored) == {"sketch": 1.0, "night": -0.25}
    assert lora_selection.tags(stored) == "<lora:sketch:1> <lora:night:-0.25>"
