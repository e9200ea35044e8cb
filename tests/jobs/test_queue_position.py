"""What a member who waits is shown: the place, and the wait that measured times promise."""

from __future__ import annotations

import pytest

from jobs.wait_estimate import START_MARGIN, Backlog, QueuePosition, estimate_position


def ahead(**facts):
    quiet = {"queued": 0, "running": 0, "waiting": 0, "workers": 1, "seconds": 10.0, "starts": [60.0]}
    return Backlog(**(quiet | facts))


@pytest.mark.parametrize(
    ("facts", "wait_s"),
    [
        # Its own ten seconds.
        ({}, 10),
        # Three before it, and itself.
        ({"queued": 3}, 40),
        # What runs counts whole.
        ({"running": 1}, 20),
        ({"running": 4, "queued": 1}, 60),
        # A second worker takes every other one; its own run is not shared.
        ({"queued": 3, "workers": 2}, 20),
        ({"running": 1, "workers": 2}, 10),
        ({"queued": 3, "running": 8, "workers": 4}, 30),
        # Without a worker one is started first, and starts vary.
        ({"workers": 0}, 60 * START_MARGIN + 10),
        ({"workers": 0, "queued": 2}, 60 * START_MARGIN + 30),
        ({"workers": 0, "starts": []}, 180 * START_MARGIN + 10),
        # Four of five starts are as short as promised.
        ({"workers": 0, "starts": [90.0, 50.0, 60.0, 70.0, 80.0]}, 90 * START_MARGIN + 10),
        ({"workers": 0, "starts": [50.0, 60.0, 70.0, 80.0, 90.0, 100.0]}, 90 * START_MARGIN + 10),
        # One that was asked for 40 s ago needs that much less; of the recent ones those count that took longer than it
        # has so far. One that is overdue may come at any moment.
        ({"workers": 0, "queued": 1, "asked_s": 40.0}, 60 * START_MARGIN - 40 + 20),
        ({"workers": 0, "queued": 1, "asked_s": 75.0, "starts": [50.0, 60.0, 300.0]}, 300 * START_MARGIN - 75 + 20),
        ({"workers": 0, "queued": 1, "asked_s": 600.0}, 6 + 20),
        # Before the first job was measured only the start is known.
        ({"seconds": None}, None),
        ({"seconds": None, "queued": 5, "running": 2}, None),
        ({"seconds": None, "workers": 0}, 60 * START_MARGIN),
        ({"seconds": None, "workers": 0, "starts": []}, 180 * START_MARGIN),
        ({"seconds": 0.5, "queued": 1}, 1),
        # In a batch each job runs longer, and its share of the GPU's time is less.
        ({"seconds": 12.0, "gpu_s": 3.0, "running": 3}, 12),
        ({"seconds": 12.0, "gpu_s": 3.0, "running": 3, "queued": 4}, 24),
        ({"seconds": 12.0, "gpu_s": 10.0, "queued": 2}, 30),
    ],
)
def test_the_wait_is_what_is_before_the_job_shared_by_the_workers(facts, wait_s):
    assert estimate_position(ahead(**facts), waits=False).wait_s == (wait_s and pytest.approx(wait_s))


def test_the_place_counts_the_queue_and_not_what_runs():
    assert estimate_position(ahead(queued=3, running=2), waits=False) == QueuePosition(
        place=4, wait_s=60, gpu_starting=False
    )


def test_its_servers_own_requests_are_before_a_job_only_while_it_waits_for_its_turn():
    busy = ahead(queued=3, waiting=4)
    assert estimate_position(busy, waits=True) == QueuePosition(place=8, wait_s=80, gpu_starting=False)
    assert estimate_position(busy, waits=False) == QueuePosition(place=4, wait_s=40, gpu_starting=False)


def test_a_server_with_few_slots_has_its_turn_behind_the_requests_of_others():
    # Of eight queued requests two are its own: four run for each one that ends, and three wait before this one.
    mixed = ahead(queued=8, waiting=3, active=2)
    assert estimate_position(mixed, waits=True) == QueuePosition(
        place=12, wait_s=(8 + 3 * 4 + 1) * 10, gpu_starting=False
    )
    # Alone in the queue its requests follow each other.
    alone = ahead(queued=2, waiting=3, active=2)
    assert estimate_position(alone, waits=True) == QueuePosition(place=6, wait_s=60, gpu_starting=False)


def test_a_member_is_shown_that_a_gpu_is_started_only_where_none_is_there():
    assert estimate_position(ahead(workers=0), waits=False).gpu_starting is True
    assert estimate_position(ahead(workers=1), waits=False).gpu_starting is False
