"""The simulation gives results that are calculated by hand."""

from dataclasses import replace

import pytest

from benchmarks import arrival_traces, scaling, sensitivity
from benchmarks.arrival_traces import Trace
from benchmarks.assumptions import COLD_START, REFILL, WARM_START
from benchmarks.optimum import optimum_hours
from benchmarks.policies import Batch, Zones, aws_sample_policy, sparkle_policy
from benchmarks.simulation import simulate
from devtools.benchmark_result import percentile
from jobs.scaling import Limits


def trace(*arrivals: float, length_s: float = 7200) -> Trace:
    return Trace(name="by hand", title="By hand", arrivals=arrivals, length_s=length_s)


def fixed(**fleet):
    """Our policy on machines with round times."""
    policy = sparkle_policy(service_s=10, warm_pool=1, release_s=30, idle_s=20)
    return replace(policy, fleet=replace(policy.fleet, warm_start_s=100, cold_start_s=300, **fleet))


def test_one_request_waits_for_the_next_tick_and_one_warm_start():
    run = simulate(trace(5.0), fixed())
    # Sent at 5, seen at 10, ready at 110.
    assert run.waits == [105.0]
    assert run.starts == 1
    # Done at 120; two idle points at 130 (or 120) and later, then 30 s of release; billed from 10.
    assert 130 <= run.gpu_hours * 3600 <= 170


def test_a_busy_worker_is_never_removed():
    arrivals = tuple(float(number) for number in range(300))
    run = simulate(trace(*arrivals), fixed())
    assert run.undelivered == 0
    assert len(run.waits) == 300


def test_without_a_warm_pool_a_start_is_cold():
    run = simulate(trace(5.0), fixed(warm_pool=0))
    assert run.waits == [305.0]


def test_the_sample_takes_ten_minutes_from_nothing():
    run = simulate(trace(5.0), aws_sample_policy())
    assert 590 <= run.waits[0] <= 610
    # And keeps the instance 25 minutes.
    assert run.gpu_hours * 3600 == pytest.approx(450 + 1500, abs=120)


def test_interrupted_workers_lose_nothing():
    policy = fixed(interruptions_per_hour=6.0)
    run = simulate(trace(*(float(number * 20) for number in range(600)), length_s=20_000), policy)
    assert run.interrupted > 3
    assert run.undelivered == 0


def finished(run):
    """When each request had its images, in the order of arrival."""
    return [pytest.approx(real) for _, real in run.promises]


def test_requests_in_one_batch_share_the_gpu():
    # Alone each takes 10 s. Four together complete twice as many, so 20 s for all; two run at 4/3 of one.
    together = Batch(in_hand=4, gain=2.0)
    run = simulate(trace(5.0, 6.0, 7.0, 8.0), fixed(batch=together))
    assert finished(run) == [125.0, 124.0, 123.0, 122.0]
    # One ends at 120. The other two have shared the GPU from 115 on: 3.33 of 10 s are done, and at 120 it is 5 + 6.67.
    run = simulate(trace(5.0, 115.0), fixed(batch=together))
    assert run.waits == [105.0, 0.0]
    assert finished(run) == [117.5, 12.5 - 10 / 3 + 10 / 3]


def test_a_fifth_request_waits_for_a_place_in_the_batch():
    run = simulate(trace(5.0, 6.0, 7.0, 8.0, 9.0), fixed(batch=Batch(in_hand=4, gain=2.0)))
    assert run.waits[4] == pytest.approx(121.0)


def test_another_model_is_loaded_when_the_gpu_is_free_and_a_third_takes_the_place_of_the_first():
    three = replace(trace(5.0, 6.0, 200.0, 230.0, 260.0), models=(0, 1, 0, 2, 0))
    run = simulate(three, replace(fixed(batch=Batch(models=2, load_s=30)), alarms=sparkle_policy(idle_s=300).alarms))
    # From 110 the first, until 150 a load, until 160 the second; the first is still loaded at 200. From 230 the third
    # is loaded in the second's place, and from 260 both run by turns.
    assert finished(run) == [115.0, 154.0, 10.0, 50.0, 20.0]


def test_requests_of_loaded_models_overtake_one_that_needs_a_load_for_ten_seconds_only():
    busy = replace(trace(*(5.0 + 3 * n for n in range(60))), models=(0, 0, 1, *[0] * 57))
    run = simulate(busy, fixed(batch=Batch(models=2, load_s=30)))
    # It was third in line when the worker came. The two before it were served, and after the load one beside it.
    assert finished(run)[2] == pytest.approx(110 + 20 + 30 + 20 - 11)


def test_adapters_lengthen_a_call():
    plain, styled = trace(5.0), replace(trace(5.0), models=(0,), adapters=(3,))
    assert finished(simulate(plain, fixed())) == [115.0]
    assert finished(simulate(styled, fixed())) == [115.0 + 0.7]


def test_without_capacity_in_any_zone_a_start_waits_and_with_a_second_zone_it_does_not():
    def first_wait(count):
        zones = Zones(count=count, shortages_per_day=24.0, shortage_s=1800.0)
        asked = trace(*(float(at) for at in range(600, 80_000, 1200)), length_s=86_400)
        return simulate(asked, fixed(zones=zones))

    one, three = first_wait(1), first_wait(3)
    assert (one.undelivered, three.undelivered) == (0, 0)
    assert max(one.waits) > 1000
    assert sum(three.waits) < sum(one.waits) / 2


def test_a_zone_without_capacity_interrupts_its_spot_instances_together():
    asked = trace(*(float(at) for at in range(600, 80_000, 20)), length_s=86_400)
    zones = Zones(count=2, shortages_per_day=6.0, shortage_s=600.0)
    assert simulate(asked, fixed(zones=zones)).interrupted == 0
    run = simulate(asked, fixed(zones=zones, interruptions_per_hour=1e-9))
    assert run.interrupted > 0
    assert run.undelivered == 0


def test_starts_vary_within_their_ranges():
    lonely = trace(*(7200.0 * n + 5 for n in range(40)), length_s=300_000)
    waits = simulate(lonely, sparkle_policy(warm_pool=0, starts_vary=1.0)).waits
    low, high = (sum(getattr(each, end) for each in COLD_START) for end in ("low_s", "high_s"))
    assert low < min(waits) < 350 < max(waits) < high + 10
    assert len(set(waits)) == 40


@pytest.mark.parametrize("stage", [*WARM_START, *COLD_START, *REFILL])
def test_each_stage_of_a_start_has_a_range_and_a_source(stage):
    assert stage.low_s < stage.usual_s < stage.high_s
    assert stage.source


@pytest.mark.parametrize("name", list(arrival_traces.ALL))
def test_no_run_is_better_than_the_optimum(name):
    found = arrival_traces.ALL[name]()
    policy = sparkle_policy()
    run = simulate(found, policy)
    least = optimum_hours(found, policy.fleet, p95_wait_s=percentile(run.waits, 0.95), longest_s=max(900.0, *run.waits))
    assert len(found.arrivals) * policy.fleet.service_s / 3600 <= least + 1e-6 <= run.gpu_hours


def test_the_optimum_of_one_request_is_one_start():
    fleet = fixed().fleet
    assert optimum_hours(trace(50.0), fleet, p95_wait_s=100) * 3600 == pytest.approx(100 + 30 + 10)


def test_a_relaxed_request_starts_a_machine_only_when_it_is_due():
    one = replace(trace(5.0, length_s=30_000), relaxed=frozenset({0}), patience_s=3600.0)
    run = simulate(one, fixed())
    # Due at 3605, seen at 3610, ready at 3710, done at 3720.
    assert run.relaxed_waits == [3715.0]
    assert (run.waits, run.starts, run.undelivered) == ([], 1, 0)


def test_relaxed_requests_ride_along_after_a_prompt_one():
    # The worker that comes for the prompt one serves them all, and nobody waits for patience.
    mixed = replace(trace(5.0, 6.0, 7.0), relaxed=frozenset({0, 2}))
    run = simulate(mixed, fixed())
    assert run.starts == 1
    assert run.waits == [104.0]
    assert run.relaxed_waits == [125.0, 133.0]


def test_a_prompt_request_has_the_machine_before_a_relaxed_one_that_runs():
    mixed = replace(trace(5.0, 6.0, 123.0), relaxed=frozenset({1}))
    run = simulate(mixed, fixed())
    # The relaxed one runs from 120, has 7 s left at 123 and goes on at 133.
    assert run.waits == [105.0, 0.0]
    assert run.relaxed_waits == [134.0]


def test_enough_relaxed_requests_start_a_machine_together():
    together = Limits().relaxed_together
    many = trace(*(float(number) for number in range(together)))
    run = simulate(replace(many, relaxed=frozenset(range(together))), fixed())
    assert run.starts == 1
    assert max(run.relaxed_waits) < 600


def test_no_prompt_request_waits_longer_for_a_relaxed_one():
    found = scaling.relaxed_lane(arrival_traces.evening())
    assert (found["longer"], found["undelivered"]) == (0, 0)
    assert found["cost_ratio"] <= 1.2


@pytest.mark.parametrize("name", ["month", "evening", "quiet"])
@pytest.mark.parametrize("warm_pool", [0, 1])
def test_members_are_promised_what_they_get(name, warm_pool):
    promises = simulate(arrival_traces.ALL[name](), sparkle_policy(warm_pool=warm_pool)).promises
    errors = sorted(abs(promised - real) / real for promised, real in promises)
    assert errors[len(errors) // 2] < 0.25
    # A second is below what the reply shows.
    assert sum(promised + 1 < real for promised, real in promises) <= len(promises) / 10


def test_traces_are_the_same_every_time():
    assert arrival_traces.month().arrivals == arrival_traces.month().arrivals
    assert len(arrival_traces.month().arrivals) == 1000


def test_the_assumption_that_changes_a_figure_most_comes_first_and_what_changes_nothing_is_left_out():
    ranked = sensitivity.rank(
        100.0,
        {
            "small": [("low", 98.0), ("high", 103.0)],
            "none": [("low", 100.0), ("high", 100.5)],
            "large": [("low", 40.0), ("high", 120.0)],
        },
    )
    assert ranked == [
        {"assumption": "large", "ends": {"low": 40.0, "high": 120.0}, "change": 0.6},
        {"assumption": "small", "ends": {"low": 98.0, "high": 103.0}, "change": 0.03},
    ]


def test_each_assumption_has_two_ends_that_change_a_case():
    many = trace(*(float(at * at) for at in range(80))), sparkle_policy(interruptions_per_hour=0.05)
    for assumption in sensitivity.ASSUMPTIONS:
        changed = [change(many) for _, change in assumption.ends]
        assert changed[0] != changed[1], assumption.name
