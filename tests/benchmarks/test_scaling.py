"""The simulation is trusted because it gives the answers that can be reckoned by hand."""

from dataclasses import replace

import pytest

from benchmarks import scaling, traces
from benchmarks.outcome import percentile
from benchmarks.traces import Trace
from jobs.scaling import Demand, Limits, short, wanted


def trace(*arrivals: float, length_s: float = 7200) -> Trace:
    return Trace(name="by hand", title="By hand", arrivals=arrivals, length_s=length_s)


def fixed(**fleet):
    """Our policy on machines whose times are easy to add up."""
    policy = scaling.ours(service_s=10, warm_pool=1, release_s=30, idle_s=20)
    return replace(policy, fleet=replace(policy.fleet, warm_start_s=100, cold_start_s=300, **fleet))


def test_one_request_waits_for_the_next_tick_and_one_warm_start():
    run = scaling.simulate(trace(5.0), fixed())
    # Asked at 5, seen at 10, ready at 110.
    assert run.waits == [105.0]
    assert run.starts == 1
    # Done at 120; two idle points at 130 (or 120) and later, then 30 s of release; billed from 10.
    assert 130 <= run.gpu_hours * 3600 <= 170


def test_what_works_is_never_taken_away():
    arrivals = tuple(float(number) for number in range(300))
    run = scaling.simulate(trace(*arrivals), fixed())
    assert run.undelivered == 0
    assert len(run.waits) == 300


def test_without_a_warm_pool_a_start_is_cold():
    run = scaling.simulate(trace(5.0), fixed(warm_pool=0))
    assert run.waits == [305.0]


def test_the_sample_takes_ten_minutes_from_nothing():
    run = scaling.simulate(trace(5.0), scaling.sample())
    assert 590 <= run.waits[0] <= 610
    # And keeps the instance 25 minutes.
    assert run.gpu_hours * 3600 == pytest.approx(450 + 1500, abs=120)


def test_interrupted_workers_lose_nothing():
    policy = fixed(interruptions_per_hour=6.0)
    run = scaling.simulate(trace(*(float(number * 20) for number in range(600)), length_s=20_000), policy)
    assert run.interrupted > 3
    assert run.undelivered == 0


@pytest.mark.parametrize("name", list(traces.ALL))
def test_nobody_does_better_than_the_optimum(name):
    found = traces.ALL[name]()
    policy = scaling.ours()
    run = scaling.simulate(found, policy)
    least = scaling.optimum_hours(
        found, policy.fleet, p95_wait_s=percentile(run.waits, 0.95), longest_s=max(900.0, *run.waits)
    )
    assert len(found.arrivals) * policy.fleet.service_s / 3600 <= least + 1e-6 <= run.gpu_hours


def test_the_optimum_of_one_request_is_one_start():
    fleet = fixed().fleet
    assert scaling.optimum_hours(trace(50.0), fleet, p95_wait_s=100) * 3600 == pytest.approx(100 + 30 + 10)


def test_traces_are_the_same_every_time():
    assert traces.month().arrivals == traces.month().arrivals
    assert len(traces.month().arrivals) == 1000


def test_nothing_to_do_wants_nobody_however_busy_the_hour_was():
    assert wanted(Demand(runnable=0, lately=0, recently=500), Limits()) == 0


def test_the_last_worker_stays_while_requests_keep_coming():
    limits = Limits(busy_from=15, patience=10, longest_stay_s=600)
    assert wanted(Demand(runnable=0, recently=15, quiet_s=590), limits) == 1
    assert wanted(Demand(runnable=0, recently=15, quiet_s=600), limits) == 0
    assert wanted(Demand(runnable=0, recently=14, quiet_s=10), limits) == 0


def test_silence_after_a_crowd_says_more_than_silence_in_a_trickle():
    limits = Limits(busy_from=15, patience=10, longest_stay_s=600)
    # 360 an hour are ten seconds apart: ten such gaps.
    assert wanted(Demand(runnable=0, lately=5, recently=360, quiet_s=99), limits) == 1
    assert wanted(Demand(runnable=0, lately=5, recently=360, quiet_s=100), limits) == 0


def test_what_keeps_coming_has_one_more_worker_before_one_is_full():
    limits = Limits(jobs_per_hour=480, full_from=0.65)
    # 312 an hour are 0.65 of one worker; 26 in five minutes are as many.
    assert wanted(Demand(runnable=1, lately=26, recently=400, quiet_s=5), limits) == 1
    assert wanted(Demand(runnable=1, lately=27, recently=400, quiet_s=5), limits) == 2
    # A few minutes' crowd that the hour knows nothing of has the line's workers only.
    assert wanted(Demand(runnable=1, lately=100, recently=100, quiet_s=5), limits) == 1


def test_as_many_are_wanted_at_once_as_the_line_is_long():
    limits = Limits(jobs_per_worker=24, max_workers=8)
    assert [wanted(Demand(runnable=runnable), limits) for runnable in (1, 24, 25, 100, 10_000)] == [1, 1, 2, 5, 8]


def test_nobody_who_works_is_too_many():
    limits = Limits(jobs_per_worker=24)
    assert short(Demand(runnable=3), desired=4, limits=limits) == -1
    assert short(Demand(runnable=0), desired=4, limits=limits) == -4
    assert short(Demand(runnable=60), desired=1, limits=limits) == 2
