"""The simulation gives results that are calculated by hand."""

from dataclasses import replace

import pytest

from benchmarks import arrival_traces, scaling
from benchmarks.arrival_traces import Trace
from benchmarks.optimum import optimum_hours
from benchmarks.policies import aws_sample_policy, sparkle_policy
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
