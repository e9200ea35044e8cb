"""The bound equals results that are calculated by hand."""

from dataclasses import replace

import pytest

from benchmarks.arrival_traces import HOUR
from benchmarks.policies import sparkle_policy
from benchmarks.scaling_lower_bound import least_hours

FLEET = replace(sparkle_policy().fleet, warm_start_s=110, release_s=30, service_s=7)


def hours(an_hour: float, **wish: float) -> float:
    return least_hours(lambda _: an_hour / HOUR, 4 * HOUR, FLEET, **{"p95_wait_s": 60, **wish})


def test_no_requests_cost_nothing():
    assert hours(0) == 0


def test_constant_requests_need_a_machine_all_the_time():
    assert hours(400) == pytest.approx(4, abs=0.05)


def test_work_above_one_machine_costs_more_machines():
    # No machines are needed for the 5 % that may be late.
    assert hours(1000) == pytest.approx(0.95 * 4 * 1000 * 7 / 3600, rel=0.03)


def test_a_rare_request_that_may_not_wait_needs_a_machine_that_waits():
    assert hours(0.5) == pytest.approx(0.95 * 4, rel=0.1)


def test_a_start_within_the_allowed_wait_is_refused():
    with pytest.raises(ValueError, match="a start of 110 s is within 120 s"):
        hours(0.5, p95_wait_s=120)


def test_longer_waits_cost_less():
    assert hours(30, p95_wait_s=60, longest_s=900) < hours(30, p95_wait_s=60) <= hours(30, p95_wait_s=20)
