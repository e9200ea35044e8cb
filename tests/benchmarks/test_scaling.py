"""The simulation gives results that are calculated by hand."""

from dataclasses import replace

import pytest

from benchmarks import arrival_traces
from benchmarks.arrival_traces import Trace
from benchmarks.optimum import optimum_hours
from benchmarks.policies import ours, sample
from benchmarks.simulation import simulate
from devtools.results_file import percentile


def trace(*arrivals: float, length_s: float = 7200) -> Trace:
    return Trace(name="by hand", title="By hand", arrivals=arrivals, length_s=length_s)


def fixed(**fleet):
    """Our policy on machines with round times."""
    policy = ours(service_s=10, warm_pool=1, release_s=30, idle_s=20)
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
    run = simulate(trace(5.0), sample())
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
    policy = ours()
    run = simulate(found, policy)
    least = optimum_hours(found, policy.fleet, p95_wait_s=percentile(run.waits, 0.95), longest_s=max(900.0, *run.waits))
    assert len(found.arrivals) * policy.fleet.service_s / 3600 <= least + 1e-6 <= run.gpu_hours


def test_the_optimum_of_one_request_is_one_start():
    fleet = fixed().fleet
    assert optimum_hours(trace(50.0), fleet, p95_wait_s=100) * 3600 == pytest.approx(100 + 30 + 10)


def test_traces_are_the_same_every_time():
    assert arrival_traces.month().arrivals == arrival_traces.month().arrivals
    assert len(arrival_traces.month().arrivals) == 1000
