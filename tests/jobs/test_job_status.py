import pytest

from jobs.job_status import ACTIVE, ENDED, MOVES, OPEN, IllegalMove, Status, check

# From each status to those it may become; every other move is a fault.
TABLE = {
    "waiting": {"queued", "cancelled", "expired", "failed"},
    "queued": {"running", "cancelled", "expired", "failed"},
    "running": {"queued", "completed", "failed", "cancelled", "expired"},
    "completed": set(),
    "failed": set(),
    "cancelled": set(),
    "expired": set(),
    "refused": set(),
}


@pytest.mark.parametrize("new", Status)
@pytest.mark.parametrize("old", Status)
def test_a_job_moves_as_the_table_says_and_not_otherwise(old, new):
    if new.value in TABLE[old.value]:
        check(old, new)
    else:
        with pytest.raises(IllegalMove, match=f"^{old} -> {new}$"):
            check(old, new)


def test_what_is_active_open_and_ended():
    assert {"queued", "running"} == ACTIVE
    assert {"waiting", "queued", "running"} == OPEN
    assert {"completed", "failed", "cancelled", "expired", "refused"} == ENDED


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
