"""How many workers to run: results that can be computed by hand."""

import pytest

from jobs.scaling import Demand, Limits, desired_workers, worker_deficit


def test_an_empty_queue_needs_no_worker():
    assert desired_workers(Demand(runnable=0, accepted_in_short_window=0, accepted_in_long_window=500), Limits()) == 0


def test_the_last_worker_stays_while_requests_keep_coming():
    limits = Limits(keep_alive_min_hourly=15, keep_alive_gaps=10, keep_alive_max_s=600)
    assert desired_workers(Demand(runnable=0, accepted_in_long_window=15, idle_s=590), limits) == 1
    assert desired_workers(Demand(runnable=0, accepted_in_long_window=15, idle_s=600), limits) == 0
    assert desired_workers(Demand(runnable=0, accepted_in_long_window=14, idle_s=10), limits) == 0


def test_the_keep_alive_time_depends_on_the_arrival_rate():
    limits = Limits(keep_alive_min_hourly=15, keep_alive_gaps=10, keep_alive_max_s=600)
    # 360 per hour are ten seconds apart; the worker stays for ten such gaps.
    assert (
        desired_workers(Demand(runnable=0, accepted_in_short_window=5, accepted_in_long_window=360, idle_s=99), limits)
        == 1
    )
    assert (
        desired_workers(Demand(runnable=0, accepted_in_short_window=5, accepted_in_long_window=360, idle_s=100), limits)
        == 0
    )


def test_a_steady_arrival_rate_adds_a_worker_below_full_utilization():
    limits = Limits(jobs_per_hour=480, target_utilization=0.65)
    # 312 per hour are 0.65 of one worker, and so are 26 in five minutes.
    assert (
        desired_workers(Demand(runnable=1, accepted_in_short_window=26, accepted_in_long_window=400, idle_s=5), limits)
        == 1
    )
    assert (
        desired_workers(Demand(runnable=1, accepted_in_short_window=27, accepted_in_long_window=400, idle_s=5), limits)
        == 2
    )
    # A burst of a few minutes, without as many in the hour, adds no worker.
    assert (
        desired_workers(Demand(runnable=1, accepted_in_short_window=100, accepted_in_long_window=100, idle_s=5), limits)
        == 1
    )


def test_the_queue_length_determines_the_workers():
    limits = Limits(jobs_per_worker=24, max_workers=8)
    assert [desired_workers(Demand(runnable=runnable), limits) for runnable in (1, 24, 25, 100, 10_000)] == [
        1,
        1,
        2,
        5,
        8,
    ]


def test_no_busy_worker_is_excess():
    limits = Limits(jobs_per_worker=24)
    assert worker_deficit(Demand(runnable=3), desired=4, limits=limits) == -1
    assert worker_deficit(Demand(runnable=0), desired=4, limits=limits) == -4
    assert worker_deficit(Demand(runnable=60), desired=1, limits=limits) == 2


@pytest.mark.parametrize(
    ("demand", "workers"),
    [
        # 32 requests in the queue for each worker.
        (Demand(runnable=32), 1),
        (Demand(runnable=33), 2),
        (Demand(runnable=64), 2),
        (Demand(runnable=65), 3),
        (Demand(runnable=10_000), 8),
        # 15 in the last hour keep one worker for ten gaps of four minutes, ten minutes at most.
        (Demand(runnable=0, accepted_in_long_window=15, idle_s=599), 1),
        (Demand(runnable=0, accepted_in_long_window=15, idle_s=600), 0),
        (Demand(runnable=0, accepted_in_long_window=14, idle_s=0), 0),
        (Demand(runnable=0, accepted_in_long_window=120, idle_s=299), 1),
        (Demand(runnable=0, accepted_in_long_window=120, idle_s=300), 0),
        # One worker completes 480 per hour; its target utilization is 312.
        (Demand(runnable=0, accepted_in_short_window=26, accepted_in_long_window=312, idle_s=0), 1),
        (Demand(runnable=0, accepted_in_short_window=100, accepted_in_long_window=312, idle_s=0), 1),
        (Demand(runnable=0, accepted_in_short_window=100, accepted_in_long_window=313, idle_s=0), 2),
        (Demand(runnable=0, accepted_in_short_window=52, accepted_in_long_window=5_000, idle_s=0), 2),
        (Demand(runnable=0, accepted_in_short_window=53, accepted_in_long_window=5_000, idle_s=0), 3),
        (Demand(runnable=0, accepted_in_short_window=5_000, accepted_in_long_window=5_000, idle_s=0), 8),
        # A rate that needs one worker does not keep it; only the gaps between requests do.
        (Demand(runnable=0, accepted_in_short_window=26, accepted_in_long_window=312, idle_s=120), 0),
    ],
)
def test_the_limits_that_the_platform_starts_with(demand, workers):
    assert desired_workers(demand, Limits()) == workers


def test_a_default_demand_has_no_recent_requests():
    assert Demand(runnable=2) == Demand(runnable=2, accepted_in_short_window=0, accepted_in_long_window=0, idle_s=3600)


@pytest.mark.parametrize(
    ("runnable", "desired", "metric"),
    [
        (0, 0, 0),
        (1, 0, 1),
        (1, 1, 0),
        (33, 1, 1),
        # All eight are busy, although the queue needs one.
        (8, 8, 0),
        (7, 8, -1),
        (0, 1, -1),
        (10_000, 2, 6),
    ],
)
def test_the_deficit_is_relative_to_the_desired_workers(runnable, desired, metric):
    assert worker_deficit(Demand(runnable=runnable), desired=desired, limits=Limits()) == metric
