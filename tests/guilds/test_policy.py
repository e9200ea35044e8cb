import dataclasses
import math

import pytest

from discord_api.permissions import ADMINISTRATOR, ATTACH_FILES, VIEW_CHANNEL
from guilds.generation_params import GenerationParams, RequestedParams, seeds
from guilds.model_families import FAMILIES
from guilds.policy import (
    GuildPolicy,
    ModelOptions,
    Plan,
    Refusal,
    RequestedOptions,
    StyleOptions,
    plan_generation,
)
from guilds.samplers import SAMPLERS

MODEL = ModelOptions(
    id=1, slug="standard", name="Standard", default_steps=16, max_steps=30, default_guidance=7.5,
    default_sampler="k_lms", sizes=["512x512", "768x512"], gpu_ms_per_step=100.0, is_default=True,
)  # fmt: skip
FLUX = dataclasses.replace(MODEL, slug="flux", name="Flux", family="flux", default_sampler="flow_euler")
RULES = GuildPolicy(models=[MODEL])
WISH = RequestedOptions(
    channel_id=77,
    channel_nsfw=False,
    role_ids=frozenset(),
    app_permissions=None,
    params=RequestedParams(prompt="a red circle"),
)
PARAMS = {field.name for field in dataclasses.fields(RequestedParams)}


def requested(**wish):
    """Return WISH with these fields, of itself or of its parameters, replaced."""
    params = dataclasses.replace(WISH.params, **{name: wish.pop(name) for name in PARAMS & set(wish)})
    return dataclasses.replace(WISH, params=params, **wish)


def planned(rules=RULES, **wish):
    return plan_generation(rules, requested(**wish), seed=11)


def test_fills_in_every_default():
    made = planned()
    assert isinstance(made, Plan)
    assert (made.params.seed, made.params.steps, made.params.sampler, made.params.count, made.params.width) == (
        11,
        16,
        "k_lms",
        4,
        512,
    )
    assert made.gpu_ms == 100 * 16 * 4


def made(rules=None, **wish):
    plan = planned(dataclasses.replace(RULES, **(rules or {})), **wish)
    assert isinstance(plan, Plan), plan
    return plan


INK = StyleOptions(slug="ink", template="{prompt}, ink", negative_prompt="color")
OIL = StyleOptions(slug="oil", template="{prompt}, oil", negative_prompt="")
SECOND = dataclasses.replace(MODEL, id=2, slug="second", is_default=False, default_steps=9, sizes=["768x768"])
NUDE = {"nsfw_terms": {"nude": "Nude"}}
SEVEN = frozenset(range(11, 18))


@pytest.mark.parametrize(
    ("rules", "wish", "code", "params"),
    [
        ({"maintenance": True, "notice": "Back at 5."}, {}, "maintenance", {"notice": "Back at 5."}),
        ({"enabled": False}, {}, "guild_disabled", {}),
        ({"ban_reason": "spam"}, {}, "banned", {"reason": "spam"}),
        ({"ban_reason": ""}, {}, "banned", {"reason": ""}),
        ({"allowed_channel_ids": SEVEN}, {}, "channel_not_allowed", {"channels": [11, 12, 13, 14, 15]}),
        ({"allowed_channel_ids": SEVEN}, {"channel_complete": False}, "channel_unknown", {}),
        ({"allowed_role_ids": SEVEN}, {"role_ids": frozenset({2})}, "role_required", {"roles": [11, 12, 13, 14, 15]}),
        ({}, {"app_permissions": VIEW_CHANNEL}, "cannot_post_here", {}),
        ({}, {"app_permissions": 0}, "cannot_post_here", {}),
        ({}, {"prompt": "   "}, "prompt_empty", {}),
        ({}, {"prompt": " \u200b\u2060\n\ufe0f\u3164"}, "prompt_empty", {}),
        ({"blocked_terms": {"gore": "Gore"}}, {"prompt": "some GORE"}, "term_blocked",
         {"term": "Gore", "folded": "gore"}),
        (NUDE, {"prompt": "a nude"}, "nsfw_not_allowed", {"rule": "never"}),
        (NUDE, {"prompt": "a nude", "channel_nsfw": True}, "nsfw_not_allowed", {"rule": "never"}),
        (NUDE, {"prompt": "a nude", "channel_nsfw": None}, "nsfw_not_allowed", {"rule": "never"}),
        (NUDE | {"nsfw_rule": "age_restricted"}, {"prompt": "a nude"}, "nsfw_not_allowed", {"rule": "age_restricted"}),
        (NUDE | {"nsfw_rule": "age_restricted"}, {"prompt": "a nude", "channel_nsfw": None}, "channel_unknown", {}),
    ],
)  # fmt: skip
def test_refuses_with_a_stable_code_and_what_the_sentence_needs(rules, wish, code, params):
    assert planned(dataclasses.replace(RULES, **rules), **wish) == Refusal(code=code, params=params)


@pytest.mark.parametrize(
    ("rules", "wish", "parameter", "allowed"),
    [
        ({"models": [MODEL, SECOND]}, {"model": "another"}, "model", "standard, second"),
        ({"models": []}, {}, "model", "-"),
        ({"styles": [INK, OIL, INK]}, {"style": "another"}, "style", "ink, oil"),
        ({}, {"style": "another"}, "style", "-"),
        ({}, {"sampler": "k_dreams"}, "sampler", ", ".join(FAMILIES["stable-diffusion"].samplers)),
        ({}, {"sampler": "flow_euler"}, "sampler", ", ".join(FAMILIES["stable-diffusion"].samplers)),
        ({"models": [FLUX]}, {"sampler": "k_euler"}, "sampler", "flow_euler, flow_dpmpp_2m, flow_unipc"),
        ({}, {"steps": 31}, "steps", "1-30"),
        ({}, {"steps": 0}, "steps", "1-30"),
        ({}, {"steps": 0, "lowerable": frozenset({"steps"})}, "steps", "1-30"),
        ({"max_steps": 20}, {"steps": 21}, "steps", "1-20"),
        ({}, {"width": 1024, "height": 1024}, "size", "512x512, 768x512"),
        ({}, {"width": 512, "height": 768}, "size", "512x512, 768x512"),
        ({"allowed_sizes": ["512x512"]}, {"width": 768, "height": 512}, "size", "512x512"),
        # The server allows no size of this model's: its first stays.
        ({"allowed_sizes": ["64x64"]}, {"width": 768, "height": 512}, "size", "512x512"),
        ({"max_images": 2}, {"count": 3}, "count", "1-2"),
        ({}, {"count": 0}, "count", "1-4"),
        ({}, {"guidance": 30.1}, "guidance", "0-30"),
        ({}, {"guidance": -0.1}, "guidance", "0-30"),
        ({}, {"seed": -2}, "seed", "0-4294967295"),
        ({}, {"seed": 2**32}, "seed", "0-4294967295"),
        ({}, {"strength": 0.0}, "strength", "0.05-1"),
        ({}, {"strength": 1.01}, "strength", "0.05-1"),
        ({}, {"strength": 2.0}, "strength", "0.05-1"),
    ],
)
def test_what_is_out_of_range_is_named_with_its_range(rules, wish, parameter, allowed):
    refusal = planned(dataclasses.replace(RULES, **rules), **wish)
    assert refusal == Refusal(code="parameter_out_of_range", params={"parameter": parameter, "range": allowed})


@pytest.mark.parametrize("parameter", ["prompt", "negative_prompt"])
def test_a_long_text_is_refused_with_the_limit(parameter):
    assert isinstance(planned(**{parameter: "a" * 6000}), Plan)
    refusal = planned(**{parameter: "a" * 6001})
    assert refusal == Refusal(code="text_too_long", params={"parameter": parameter, "limit": 6000})


@pytest.mark.parametrize(
    "wish",
    [
        {"prompt": "a" * 6000},
        {"negative_prompt": "a" * 6000},
        {"steps": 1},
        {"steps": 30},
        {"count": 1},
        {"count": 4},
        {"guidance": 0.0},
        {"guidance": 30.0},
        {"seed": 0},
        {"seed": 2**32 - 1},
        {"strength": 0.05},
        {"strength": 1.0},
        {"sampler": "DDIM"},
        {"model": "second"},
    ],
)
def test_the_ends_of_each_range_are_in_it_and_kept(wish):
    plan = made({"models": [MODEL, SECOND]}, **wish)
    ((name, value),) = wish.items()
    planned_value = plan.model_id if name == "model" else getattr(plan.params, name)
    assert planned_value == {"second": 2}.get(value, value)


def test_a_plan_with_everything_said():
    plan = plan_of_all(count=2)
    assert plan == Plan(
        prompt="a red circle", style="ink", model_id=1, spoiler=False, ephemeral=True,
        params=GenerationParams(
            prompt="a red circle, ink", negative_prompt="blurry, color", seed=5, steps=10, sampler="k_heun", width=768,
            height=512, guidance=3.0, count=2, strength=0.5,
        ),
        # Half of ten steps, of which Heun evaluates all but the last twice: 9, on half as many pixels again, twice.
        gpu_ms=math.ceil(100 * 9 * 1.5**1.25 * 2),
    )  # fmt: skip
    assert isinstance(plan.params.guidance, float)


def plan_of_all(**wish):
    return plan_generation(
        dataclasses.replace(RULES, styles=[OIL, INK], results_ephemeral=True),
        requested(
            prompt=" a red circle ", negative_prompt="blurry", style="ink", seed=5, steps=10, sampler="k_heun",
            width=768, height=512, guidance=3, strength=0.5, kind="img2img", **wish,
        ),
        seed=11,
    )  # fmt: skip


def test_a_plan_with_nothing_said():
    assert made({"default_negative_prompt": "ugly"}) == Plan(
        prompt="a red circle", style="", model_id=1, spoiler=False, ephemeral=False, gpu_ms=100 * 16 * 4,
        params=GenerationParams(
            prompt="a red circle", negative_prompt="ugly", seed=11, steps=16, sampler="k_lms", width=512, height=512,
            guidance=7.5, count=4, strength=1.0,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "wish", "steps"),
    [
        ({"default_steps": 12}, {}, 12),
        ({"default_steps": 40}, {}, 30),
        ({"max_steps": 8}, {}, 8),
        ({"max_steps": 8}, {"steps": 7}, 7),
        ({"max_steps": 8}, {"steps": 20, "lowerable": frozenset({"steps"})}, 8),
        ({"max_steps": 8}, {"steps": 5, "lowerable": frozenset({"steps"})}, 5),
    ],
)
def test_steps_that_were_not_asked_for_are_lowered_to_what_is_allowed(rules, wish, steps):
    assert made(rules, **wish).params.steps == steps


@pytest.mark.parametrize(
    ("family", "wish", "parameter"),
    [
        ("flux", {"negative_prompt": "blurry"}, "negative_prompt"),
        ("flux2-klein", {"kind": "img2img"}, "image"),
        ("sana", {"kind": "variation", "negative_prompt": "blurry"}, "image"),
        ("whole-call", {"kind": "upscale"}, "image"),
    ],
)
def test_an_option_that_the_model_would_ignore_is_refused(family, wish, parameter):
    model = dataclasses.replace(FLUX, family=family)
    refusal = planned(dataclasses.replace(RULES, models=[model]), **wish)
    assert refusal == Refusal(code="option_not_used", params={"parameter": parameter, "model": "Flux"})


def test_default_negative_prompts_are_left_out_for_a_model_that_reads_none():
    rules = {"models": [FLUX], "default_negative_prompt": "ugly", "styles": [INK]}
    params = made(rules, style="ink", negative_prompt="  ").params
    assert (params.negative_prompt, params.prompt, params.sampler) == ("", "a red circle, ink", "flow_euler")
    assert made({**rules, "models": [MODEL]}, style="ink").params.negative_prompt == "ugly, color"


def test_a_samplers_own_limit_counts_too():
    rules = dataclasses.replace(RULES, max_steps=150, models=[dataclasses.replace(MODEL, max_steps=150)])
    limit = SAMPLERS["lcm"].max_steps
    assert isinstance(plan_generation(rules, requested(sampler="lcm", steps=limit), seed=1), Plan)
    refusal = plan_generation(rules, requested(sampler="lcm", steps=limit + 1), seed=1)
    assert refusal.params == {"parameter": "steps", "range": "1-50"}


@pytest.mark.parametrize(("count", "made_count"), [(4, 2), (2, 2), (1, 1)])
def test_an_earlier_requests_count_is_lowered_to_what_is_allowed_now(count, made_count):
    assert made({"max_images": 2}, count=count, lowerable=frozenset({"count"})).params.count == made_count


@pytest.mark.parametrize(
    ("kind", "width", "height", "allowed"),
    [
        ("txt2img", 768, 512, True),
        ("txt2img", 1536, 1024, False),
        ("img2img", 1024, 1024, False),
        # A variation is of an image that may have been doubled, once or twice.
        ("variation", 768, 512, True),
        ("variation", 1536, 1024, True),
        ("variation", 3072, 2048, True),
        ("variation", 1024, 1024, True),
        ("variation", 2304, 1536, False),
        ("variation", 3840, 2560, False),
        ("variation", 1025, 1024, False),
        ("variation", 1024, 1025, False),
        ("variation", 1025, 1025, False),
        ("variation", 256, 256, False),
        # Its size is its source's, enlarged.
        ("upscale", 1025, 77, True),
    ],
)
def test_which_sizes_a_kind_of_request_may_have(kind, width, height, allowed):
    found = planned(kind=kind, width=width, height=height)
    assert isinstance(found, Plan) == allowed
    assert not allowed or (found.params.width, found.params.height) == (width, height)


@pytest.mark.parametrize("wish", [{"width": 768}, {"height": 768}])
def test_half_a_size_is_none(wish):
    assert (made(**wish).params.width, made(**wish).params.height) == (512, 512)


@pytest.mark.parametrize(("kind", "evaluations"), [("txt2img", 16), ("img2img", 11), ("variation", 9), ("upscale", 5)])
def test_a_kind_is_charged_by_the_steps_that_it_takes(kind, evaluations):
    assert made(kind=kind, count=1).gpu_ms == 100 * evaluations


def test_the_first_size_is_the_first_that_the_server_allows():
    assert made({"allowed_sizes": ["768x512", "64x64"]}).params.width == 768
    assert made({"allowed_sizes": ["64x64"]}).params.width == 512


def test_the_model_is_the_one_asked_for_or_the_default_or_the_first():
    assert made({"models": [SECOND, MODEL]}).model_id == 1
    assert made({"models": [SECOND, MODEL]}, model="second").model_id == 2
    neither = [SECOND, dataclasses.replace(MODEL, is_default=False)]
    assert made({"models": neither}).model_id == 2


@pytest.mark.parametrize(("seed", "planned_seed"), [(None, 11), (-1, 11), (0, 0), (7, 7)])
def test_minus_one_is_another_seed_each_time(seed, planned_seed):
    assert made(seed=seed).params.seed == planned_seed


def test_the_seeds_of_a_request_follow_each_other_and_go_on_at_0():
    assert seeds(7, 3) == (7, 8, 9)
    assert seeds(2**32 - 2, 4) == (2**32 - 2, 2**32 - 1, 0, 1)


@pytest.mark.parametrize(
    ("negative", "planned_negative"),
    [
        (None, "color"),
        ("", "color"),
        ("blurry", "blurry, color"),
        # A repeated request has the style's words at the end already.
        ("blurry, color", "blurry, color"),
        ("color", "color"),
        ("color, blurry", "color, blurry, color"),
    ],
)
def test_a_style_adds_its_negative_prompt_once(negative, planned_negative):
    assert made({"styles": [INK]}, style="ink", negative_prompt=negative).params.negative_prompt == planned_negative


def test_a_style_without_a_negative_prompt_leaves_the_members():
    assert made({"styles": [OIL]}, style="oil", negative_prompt="blurry, ").params.negative_prompt == "blurry, "


def test_a_style_takes_the_prompt_once():
    twice = StyleOptions(slug="twice", template="{prompt} and {prompt}", negative_prompt="")
    assert made({"styles": [twice]}, style="twice").params.prompt == "a red circle and {prompt}"


@pytest.mark.parametrize(
    "wish",
    [
        {"channel_id": 1},
        {"parent_channel_id": 1},
        {"category_id": 1},
        {"channel_id": 1, "channel_complete": False},
    ],
)
def test_a_thread_and_a_category_belong_to_an_allowed_channel(wish):
    made({"allowed_channel_ids": frozenset({1, 2})}, **wish)


@pytest.mark.parametrize(
    ("rules", "permissions"),
    [({}, ATTACH_FILES), ({}, ADMINISTRATOR), ({}, None), ({"results_ephemeral": True}, 0)],
)
def test_where_the_bot_may_post(rules, permissions):
    made(rules, app_permissions=permissions)


def test_any_of_the_allowed_roles_will_do():
    made({"allowed_role_ids": frozenset({1, 2})}, role_ids=frozenset({2, 3}))


def test_adult_words_fit_an_age_restricted_channel_where_the_server_says_so():
    plan = made(NUDE | {"nsfw_rule": "age_restricted"}, prompt="a nude", channel_nsfw=True)
    assert plan.spoiler is False


@pytest.mark.parametrize(("flag", "bit"), [(ADMINISTRATOR, 3), (VIEW_CHANNEL, 10), (ATTACH_FILES, 15)])
def test_permissions_are_discords_bits(flag, bit):
    assert flag == 2**bit


def test_a_guild_with_lower_steps_than_its_model_lowers_the_default_too():
    made = planned(dataclasses.replace(RULES, max_steps=8))
    assert isinstance(made, Plan)
    assert made.params.steps == 8


def test_adult_words_become_a_spoiler_where_the_guild_says_so_but_not_in_an_adult_channel():
    rules = dataclasses.replace(RULES, nsfw_terms={"nude": "nude"}, nsfw_rule="spoiler")
    assert planned(rules, prompt="a nude").spoiler is True
    assert planned(rules, prompt="a nude", channel_nsfw=True).spoiler is False
    assert planned(rules).spoiler is False


def test_a_style_wraps_the_prompt_and_braces_in_it_stay():
    rules = dataclasses.replace(
        RULES, styles=[StyleOptions(slug="ink", template="{prompt}, ink", negative_prompt="color")]
    )
    made = planned(rules, style="ink", prompt="a {prompt} {0}", negative_prompt="blurry")
    assert made.params.prompt == "a {prompt} {0}, ink"
    assert made.params.negative_prompt == "blurry, color"


def test_may_post_with_the_two_permissions_it_needs():
    assert isinstance(planned(app_permissions=VIEW_CHANNEL | ATTACH_FILES), Plan)


def test_choices_in_a_negative_prompt_are_made_by_the_seed():
    made = {planned(negative_prompt="{blurry|grainy}, ugly", seed=seed).params.negative_prompt for seed in range(20)}
    assert made == {"blurry, ugly", "grainy, ugly"}
    # The server's default is a moderator's text, in which a brace is a brace.
    rules = dataclasses.replace(RULES, default_negative_prompt="{blurry|grainy")
    assert planned(rules).params.negative_prompt == "{blurry|grainy"
    assert planned(negative_prompt="{blurry|grainy").code == "prompt_brace_open"
