"""The phases of a job in a worker, and what two threads that end it at once get."""

from __future__ import annotations

import pytest

from gpu_worker.active_job import (
    MOVES,
    RELEASED,
    UNFINISHED,
    ActiveJob,
    ActiveJobs,
    IllegalMove,
    Outcome,
    Phase,
    StopReason,
)
from jobs.models import Job

# From each phase to those that may follow; every other move is a fault.
TABLE = {
    "preparing": {"pending", "publishing", "failing", "releasing", "ended"},
    "pending": {"pending", "generating", "cancelling", "failing", "releasing"},
    "generating": {"pending", "publishing", "cancelling", "failing", "releasing"},
    "publishing": {"publishing", "cancelling", "failing", "releasing", "ended"},
    "cancelling": {"failing", "releasing", "ended"},
    "failing": {"failing", "releasing", "ended"},
    "releasing": {"ended"},
    "ended": set(),
}


def _active(phase: Phase = Phase.PREPARING, *, pk: int = 1) -> ActiveJob:
    return ActiveJob(job=Job(pk=pk), profile="model", claimed_at=0.0, phase=phase)


@pytest.mark.parametrize("new", Phase)
@pytest.mark.parametrize("old", Phase)
def test_a_job_moves_as_the_table_says_and_not_otherwise(old: Phase, new: Phase) -> None:
    active = _active(old)
    if new.value in TABLE[old.value]:
        assert active.move(new)
        assert active.phase is new
    elif old in RELEASED:
        assert not active.move(new)
        assert active.phase is old
    else:
        with pytest.raises(IllegalMove, match=f"^{old.value} -> {new.value}$"):
            active.move(new)
        assert active.phase is old


def test_every_phase_is_in_the_table() -> None:
    assert set(MOVES) == set(Phase)


def test_every_job_can_be_released_until_it_has_ended() -> None:
    assert {phase for phase in Phase if Phase.RELEASING in MOVES[phase]} == set(Phase) - RELEASED


def test_a_job_whose_images_are_not_finished_has_no_task_that_delivers() -> None:
    assert {Phase.PREPARING, Phase.PENDING, Phase.GENERATING} == UNFINISHED


def test_only_one_of_two_threads_releases_a_job() -> None:
    active = _active(Phase.GENERATING)
    assert active.move(Phase.RELEASING)
    assert not active.move(Phase.RELEASING)
    assert not active.move(Phase.PUBLISHING)


def test_the_first_reason_to_stop_counts() -> None:
    active = _active()
    assert active.request_stop(StopReason.LOST)
    assert not active.request_stop(StopReason.CANCELLED)
    assert active.stop_reason is StopReason.LOST


def test_a_job_ends_once_with_its_first_outcome() -> None:
    active, jobs = _active(Phase.PUBLISHING), ActiveJobs()
    jobs.add(active)
    assert jobs.end(active, Outcome.ENDED)
    assert not jobs.end(active, Outcome.RELEASED)
    assert active.outcome.result(0) is Outcome.ENDED
    assert active.phase is Phase.ENDED


def test_ending_a_job_leaves_another_attempt_of_it_alone() -> None:
    first, second, jobs = _active(Phase.FAILING), _active(), ActiveJobs()
    jobs.add(first)
    jobs.end(first, Outcome.REQUEUED)
    jobs.add(second)
    assert not jobs.end(first, Outcome.NOT_OURS)
    assert jobs.get(second.id) is second


def test_active_jobs_are_found_by_their_phase() -> None:
    jobs = ActiveJobs()
    pending, generating = _active(Phase.PENDING, pk=1), _active(Phase.GENERATING, pk=2)
    for active in (pending, generating, _active(Phase.PUBLISHING, pk=3)):
        jobs.add(active)
    assert jobs.in_phase(Phase.GENERATING) == [generating]
    assert jobs.in_phase(*UNFINISHED) == [pending, generating]
    assert jobs.ids == {1, 2, 3}
