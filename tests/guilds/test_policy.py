import dataclasses

import pytest

from guilds.policy import ATTACH_FILES, VIEW_CHANNEL, ModelFacts, Plan, Refusal, Rules, StyleFacts, Wish, plan

MODEL = ModelFacts(
    id=1, slug="standard", name="Standard", default_steps=16, max_steps=30, default_guidance=7.5,
    default_sampler="k_lms", sizes=["512x512", "768x512"], gpu_ms_per_step=100.0, is_default=True,
)  # fmt: skip
RULES = Rules(models=[MODEL])
WISH = Wish(channel_id=77, channel_nsfw=False, role_ids=frozenset(), app_permissions=None, prompt="a red circle")


def planned(rules=RULES, **wish):
    return plan(rules, dataclasses.replace(WISH, **wish), seed=11, samplers=frozenset({"k_lms", "DDIM"}))


def test_fills_in_every_default():
    made = planned()
    assert isinstance(made, Plan)
    assert (made.seed, made.steps, made.sampler, made.count, made.width) == (11, 16, "k_lms", 4, 512)
    assert made.gpu_ms == 100 * 16 * 4


@pytest.mark.parametrize(
    ("rules", "wish", "code"),
    [
        ({"maintenance": True}, {}, "maintenance"),
        ({"enabled": False}, {}, "guild_disabled"),
        ({"ban_reason": "spam"}, {}, "banned"),
        ({"allowed_channel_ids": frozenset({1})}, {}, "channel_not_allowed"),
        ({"allowed_role_ids": frozenset({1})}, {"role_ids": frozenset({2})}, "role_required"),
        ({}, {"app_permissions": VIEW_CHANNEL}, "cannot_post_here"),
        ({"blocked_terms": {"gore": "Gore"}}, {"prompt": "some GORE"}, "term_blocked"),
        ({"nsfw_terms": {"nude": "nude"}}, {"prompt": "a nude"}, "nsfw_not_allowed"),
        ({"nsfw_terms": {"nude": "nude"}}, {"prompt": "a nude", "channel_nsfw": True}, "nsfw_not_allowed"),
        ({"nsfw_terms": {"nude": "nude"}, "nsfw_rule": "age_restricted"}, {"prompt": "a nude"}, "nsfw_not_allowed"),
        ({}, {"prompt": "   "}, "prompt_empty"),
        ({}, {"prompt": " \u200b\u2060\n\ufe0f\u3164"}, "prompt_empty"),
        ({}, {"prompt": "a" * 6001}, "parameter_out_of_range"),
        ({}, {"steps": 31}, "parameter_out_of_range"),
        ({"max_steps": 20}, {"steps": 21}, "parameter_out_of_range"),
        ({}, {"steps": 0}, "parameter_out_of_range"),
        ({}, {"sampler": "k_dreams"}, "parameter_out_of_range"),
        ({}, {"width": 1024, "height": 1024}, "parameter_out_of_range"),
        ({"allowed_sizes": ["512x512"]}, {"width": 768, "height": 512}, "parameter_out_of_range"),
        ({"max_pictures": 2}, {"count": 3}, "parameter_out_of_range"),
        ({}, {"guidance": 31.0}, "parameter_out_of_range"),
        ({}, {"seed": -2}, "parameter_out_of_range"),
        ({}, {"strength": 0.0}, "parameter_out_of_range"),
        ({}, {"model": "another"}, "parameter_out_of_range"),
        ({}, {"style": "another"}, "parameter_out_of_range"),
    ],
)
def test_refuses_with_a_stable_code(rules, wish, code):
    refusal = planned(dataclasses.replace(RULES, **rules), **wish)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code


def test_a_guild_with_lower_steps_than_its_model_lowers_the_default_too():
    made = planned(dataclasses.replace(RULES, max_steps=8))
    assert isinstance(made, Plan)
    assert made.steps == 8


def test_adult_words_become_a_spoiler_where_the_guild_says_so_but_not_in_an_adult_channel():
    rules = dataclasses.replace(RULES, nsfw_terms={"nude": "nude"}, nsfw_rule="spoiler")
    assert planned(rules, prompt="a nude").spoiler is True
    assert planned(rules, prompt="a nude", channel_nsfw=True).spoiler is False
    assert planned(rules).spoiler is False


def test_a_style_wraps_the_prompt_and_braces_in_it_stay():
    rules = dataclasses.replace(
        RULES, styles=[StyleFacts(slug="ink", template="{prompt}, ink", negative_prompt="color")]
    )
    made = planned(rules, style="ink", prompt="a {prompt} {0}", negative_prompt="blurry")
    assert made.styled_prompt == "a {prompt} {0}, ink"
    assert made.negative_prompt == "blurry, color"


def test_may_post_with_the_two_permissions_it_needs():
    assert isinstance(planned(app_permissions=VIEW_CHANNEL | ATTACH_FILES), Plan)
