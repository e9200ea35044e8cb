"""A member's presets and defaults under a request, and choices in its prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guilds.policy import GuildPolicy, Plan, Refusal, RequestedOptions, plan_generation
from guilds.preset_options import PresetOptions, normalize_name

from .test_policy import INK, MODEL, requested

RULES = GuildPolicy(models=[MODEL], styles=[INK])
OWN = PresetOptions(steps=9, style="ink", is_private=True)
PORTRAIT = PresetOptions(name="portrait", steps=12, count=2)


def plan(rules: GuildPolicy = RULES, request: RequestedOptions | None = None, seed: int = 7) -> Plan | Refusal:
    return plan_generation(rules, request or requested(), seed=seed)


def accepted(rules: GuildPolicy, request: RequestedOptions | None = None) -> Plan:
    result = plan(rules, request)
    assert isinstance(result, Plan), result
    return result


def test_own_options_come_before_the_preset_and_that_before_the_defaults() -> None:
    rules = replace(RULES, presets=[OWN, PORTRAIT])
    made = accepted(rules, requested(preset="Portrait ", count=1))
    assert (made.params.count, made.params.steps, made.style, made.ephemeral) == (1, 12, "ink", True)
    made = accepted(replace(RULES, presets=[OWN]))
    assert (made.params.steps, made.style, made.ephemeral) == (9, "ink", True)


def test_a_member_can_show_one_result_to_everyone_but_not_where_the_server_hides_all() -> None:
    rules = replace(RULES, presets=[OWN])
    assert not accepted(rules, requested(is_private=False)).ephemeral
    assert accepted(replace(rules, results_ephemeral=True), requested(is_private=False)).ephemeral


@pytest.mark.parametrize(
    ("preset", "request_", "code"),
    [
        (PresetOptions(model="gone"), requested(), "default_model_gone"),
        (PresetOptions(name="p", model="gone"), requested(preset="p"), "preset_model_gone"),
        (PresetOptions(style="gone"), requested(), "default_style_gone"),
        (PresetOptions(name="p", style="gone"), requested(preset="p"), "preset_style_gone"),
        (OWN, requested(preset="p"), "preset_unknown"),
    ],
)
def test_what_was_taken_away_is_said(preset: PresetOptions, request_: RequestedOptions, code: str) -> None:
    refused = plan(replace(RULES, presets=[preset]), request_)
    assert isinstance(refused, Refusal)
    assert refused.code == code


def test_an_own_model_makes_that_of_the_preset_no_matter() -> None:
    rules = replace(RULES, presets=[PresetOptions(model="gone", size="8x8")])
    made = accepted(rules, requested(model=RULES.models[0].slug))
    assert (made.params.width, made.params.height) != (8, 8), "a size that is not offered gives way"


def test_steps_and_count_of_a_preset_give_way_to_the_limits() -> None:
    rules = replace(RULES, max_steps=5, max_images=1, presets=[PresetOptions(steps=50, count=4)])
    made = accepted(rules)
    assert (made.params.steps, made.params.count) == (5, 1)


def test_a_preset_is_found_however_its_name_is_typed() -> None:
    assert normalize_name("  Night   SKY ") == normalize_name("night sky")


def test_choices_are_made_by_the_seed_and_go_into_the_style() -> None:
    rules = replace(RULES, prompt_lists={"animal": ["cat"]}, presets=[PresetOptions(style="ink")])
    made = accepted(rules, requested(prompt="a {red|blue} __animal__", seed=3))
    assert made.prompt == "a {red|blue} __animal__"
    assert made == accepted(rules, requested(prompt="a {red|blue} __animal__", seed=3))
    assert made.params.prompt in ("a red cat, ink", "a blue cat, ink")


@pytest.mark.parametrize(
    "prompt", ["a {blood|blood}", "a {cat|blood}", "a b(loo)d", "a blo[od]", "__animal__", "a (blo:1.3)od"]
)
def test_no_sign_hides_a_blocked_term(prompt: str) -> None:
    rules = replace(RULES, blocked_terms={"blood": "blood"}, prompt_lists={"animal": ["blood"]})
    refused = plan(rules, requested(prompt=prompt))
    assert isinstance(refused, Refusal)
    assert refused.code == "term_blocked"


def test_a_prompt_that_cannot_be_expanded_is_refused_with_its_reason() -> None:
    refused = plan(RULES, requested(prompt="__animal__"))
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.params["name"]) == ("prompt_list_unknown", "animal")
