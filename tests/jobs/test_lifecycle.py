import pytest

from jobs.lifecycle import ENDED, MOVES, OPEN, IllegalMove, Status, check


def test_every_status_is_open_or_ended():
    assert OPEN | ENDED == set(Status) == set(MOVES)
    assert not OPEN & ENDED


def test_an_ended_job_never_moves():
    for old in ENDED:
        for new in Status:
            with pytest.raises(IllegalMove):
                check(old, new)


def test_a_waiting_job_cannot_skip_the_queue():
    with pytest.raises(IllegalMove):
        check(Status.WAITING, Status.RUNNING)


def test_every_open_job_can_reach_an_end():
    for start in OPEN:
        reached, frontier = {start}, {start}
        while frontier:
            frontier = {new for old in frontier for new in MOVES[old]} - reached
            reached |= frontier
        assert reached & ENDED
