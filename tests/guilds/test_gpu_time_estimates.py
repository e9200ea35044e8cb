"""A request's estimate follows the work that is really done, and no server alone teaches all the others."""

from __future__ import annotations

import math

import pytest

from guilds.gpu_ledger import MAX_GPU_MS
from guilds.gpu_time_estimates import MIN_GUILDS, Measured, Speed, evaluations_of, gpu_ms_of, learned, speeds, work_of
from guilds.samplers import SAMPLERS


def work(**changes):
    request = {
        "kind": "txt2img", "sampler": "k_lms", "steps": 16, "strength": None, "guidance": 7.5, "width": 512,
        "height": 512, "count": 1,
    }  # fmt: skip
    return work_of(**(request | changes))


@pytest.mark.parametrize(
    ("changes", "evaluations"),
    [
        ({}, 16),
        ({"count": 4}, 64),
        ({"sampler": "k_heun"}, 31),
        ({"sampler": "k_dpm_2"}, 31),
        ({"sampler": "k_dpm_2_a"}, 31),
        ({"sampler": "k_heun", "steps": 1}, 1),
        ({"sampler": "PLMS"}, 17),
        ({"guidance": 1.0}, 8),
        ({"guidance": 0}, 8),
        ({"guidance": 1.01}, 16),
        ({"kind": "img2img", "strength": 0.5}, 8),
        ({"kind": "img2img", "strength": 0.05}, 1),
        ({"kind": "img2img", "strength": 1.0}, 16),
        ({"kind": "img2img", "strength": 0.5, "sampler": "k_heun"}, 15),
        ({"kind": "variation"}, 9),
        ({"kind": "upscale"}, 5),
        ({"width": 256, "height": 256}, 4),
    ],
)
def test_what_is_charged_is_what_the_model_evaluates(changes, evaluations):
    assert work(**changes) == pytest.approx(evaluations)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
@pytest.mark.parametrize("sampler", ["k_lms", "k_euler_a", "PLMS", "DDIM", "k_dpm_2_a", "k_dpm_2", "k_heun", "unipc"])
@pytest.mark.parametrize("steps", [2, 3, 16, 50])
def test_samplers_evaluate_as_often_as_diffusers_says(sampler, steps):
    import diffusers

    found = SAMPLERS[sampler]
    scheduler = getattr(diffusers, found.scheduler)(**found.options)
    scheduler.set_timesteps(steps)
    assert found.evaluations(steps) == len(scheduler.timesteps)


def test_large_images_cost_more_than_their_pixels():
    assert work(width=1024, height=1024) > 5 * work()
    assert work(width=768, height=512) > 1.5 * work()


def test_heun_is_estimated_by_its_evaluations():
    """A request that took 2,735 ms was estimated as one of k_lms with 1,170 ms."""
    per_step = 1170 / 16
    assert gpu_ms_of(work(sampler="k_heun"), gpu_ms_per_step=per_step) >= 1170 * 31 / 16


@pytest.mark.parametrize("per_step", [1e300, math.inf, math.nan, -5, 0, 1e-300])
def test_no_number_in_a_models_row_overflows_an_estimate(per_step):
    assert 1 <= gpu_ms_of(work(count=4), gpu_ms_per_step=per_step) <= MAX_GPU_MS


@pytest.mark.parametrize(
    ("units", "per_step", "gpu_ms"),
    [
        (16, 100, 1600),
        (16, 0.01, 1),
        (1, 1.5, 2),
        (1, 1, 1),
        (0, 100, 1),
        (1, 86_399_998.5, 86_399_999),
        (2, 1e9, MAX_GPU_MS),
    ],
)
def test_an_estimate_is_rounded_up_to_whole_milliseconds(units, per_step, gpu_ms):
    assert gpu_ms_of(units, gpu_ms_per_step=per_step) == gpu_ms


@pytest.mark.parametrize(("kind", "steps"), [("txt2img", 20), ("img2img", 14), ("variation", 12), ("upscale", 7)])
def test_without_a_strength_each_kind_has_its_own(kind, steps):
    assert evaluations_of(kind=kind, sampler="k_lms", steps=20, strength=None) == steps


def test_a_text_has_no_source_image_that_a_strength_could_keep():
    assert evaluations_of(kind="txt2img", sampler="k_lms", steps=20, strength=0.5) == 20


def test_a_kind_or_a_sampler_that_is_not_known_yet_costs_every_step():
    assert evaluations_of(kind="outpaint", sampler="k_lms", steps=20, strength=None) == 20
    assert evaluations_of(kind="txt2img", sampler="not yet known", steps=20, strength=None) == 20


@pytest.mark.parametrize(("gpu_ms", "units"), [(0, 16.0), (-1, 16.0), (100, 0.0), (100, -1.0)])
def test_what_was_not_measured_teaches_nothing(gpu_ms, units):
    assert speeds([Measured(model_id=1, device="T4", guild_id=1, gpu_ms=gpu_ms, work=units)]) == {}


def test_the_shortest_job_teaches_too():
    found = speeds([Measured(model_id=1, device="T4", guild_id=1, gpu_ms=1, work=4.0)])
    assert found == {1: Speed(gpu_ms_per_step=0.25, guilds=1)}


def measured(guild_id, ms, *, jobs=10, device="T4", steps=16, **changes):
    each = Measured(model_id=1, device=device, guild_id=guild_id, gpu_ms=ms, work=work(steps=steps, **changes))
    return [each] * jobs


def test_cheap_jobs_of_one_server_teach_what_an_evaluation_takes():
    """300 of them with little strength took 160 ms each: one evaluation, and not sixteen of 10 ms."""
    cheap = measured(1, 160, jobs=300, kind="img2img", strength=0.05)
    assert speeds(cheap)[1].gpu_ms_per_step == pytest.approx(160)


def test_each_server_has_one_vote():
    flood = measured(1, 16, jobs=3000)
    others = [each for guild in (2, 3, 4) for each in measured(guild, 4000)]
    assert speeds(flood + others)[1] == Speed(gpu_ms_per_step=250, guilds=4)


def test_the_slowest_kind_of_card_counts():
    fast = [each for guild in (1, 2, 3) for each in measured(guild, 1600, device="L4")]
    slow = [each for guild in (1, 2, 3) for each in measured(guild, 4000)]
    odd = measured(9, 40_000, device="CPU")
    assert speeds(fast + slow + odd)[1].gpu_ms_per_step == 250


def test_few_servers_lower_nothing_and_raise_no_further_than_the_operators_bound():
    value = None
    for _ in range(100):
        value = learned(value, configured=250, speed=Speed(gpu_ms_per_step=10, guilds=MIN_GUILDS - 1))
    assert value == 250
    for _ in range(100):
        value = learned(value, configured=250, speed=Speed(gpu_ms_per_step=1e9, guilds=MIN_GUILDS - 1))
    assert value == 1000


def test_enough_servers_are_followed_step_by_step():
    agreed = Speed(gpu_ms_per_step=100, guilds=MIN_GUILDS)
    assert learned(None, configured=250, speed=agreed) == 100
    assert learned(250, configured=250, speed=agreed) == 200
    value = 250.0
    for _ in range(10):
        value = learned(value, configured=250, speed=agreed)
    assert value == 100
