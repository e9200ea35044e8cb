"""A job that this worker has claimed: its phases, the moves between them, and the set of all active jobs. No I/O."""

from __future__ import annotations

import enum
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.models import Job

    from .engine import GenerationRequest


class Outcome(enum.Enum):
    """How a job ended in this worker. Every outcome but RELEASED lets its message be deleted."""

    ENDED = "ended"
    REQUEUED = "requeued"  # failed, and a new message was sent for another attempt
    NOT_OURS = "not_ours"  # another worker has it, or it had ended before
    RELEASED = "released"  # queued again as if it had not been here


class Phase(enum.Enum):
    PREPARING = "preparing"  # its source image is fetched and decoded
    PENDING = "pending"  # ready, and waiting for an engine
    GENERATING = "generating"  # inside an engine
    PUBLISHING = "publishing"  # its images are stored and posted
    CANCELLING = "cancelling"
    FAILING = "failing"
    RELEASING = "releasing"  # back to the queue
    ENDED = "ended"


# A phase that may move to itself is one whose task may be done twice.
MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.PREPARING: frozenset({Phase.PENDING, Phase.PUBLISHING, Phase.FAILING, Phase.RELEASING, Phase.ENDED}),
    Phase.PENDING: frozenset({Phase.PENDING, Phase.GENERATING, Phase.CANCELLING, Phase.FAILING, Phase.RELEASING}),
    Phase.GENERATING: frozenset({Phase.PENDING, Phase.PUBLISHING, Phase.CANCELLING, Phase.FAILING, Phase.RELEASING}),
    Phase.PUBLISHING: frozenset({Phase.PUBLISHING, Phase.CANCELLING, Phase.FAILING, Phase.RELEASING, Phase.ENDED}),
    Phase.CANCELLING: frozenset({Phase.FAILING, Phase.RELEASING, Phase.ENDED}),
    Phase.FAILING: frozenset({Phase.FAILING, Phase.RELEASING, Phase.ENDED}),
    Phase.RELEASING: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
}
# The engines have not finished these.
UNFINISHED = frozenset({Phase.PREPARING, Phase.PENDING, Phase.GENERATING})
# Another thread may bring a job here at any time.
RELEASED = frozenset({Phase.RELEASING, Phase.ENDED})


class StopReason(enum.Enum):
    CANCELLED = "cancelled"  # the requester or a moderator wants that
    LOST = "lost"  # another worker or upkeep has taken the lease


class IllegalMove(Exception):
    """The table has no such move: a fault in the program, never in the data."""


@dataclass(slots=True, kw_only=True, eq=False)
class ActiveJob:
    """A claimed job, its phase and what is known of it so far. Thread-safe where it says so.

    profile: what its engine is loaded by.
    claimed_at: seconds of the worker's clock.
    outcome: set once, when the job ends here.
    stop_reason: why it must stop, None while it may go on.
    is_alone: it shares the GPU with no other job, since it may be what breaks engines.
    is_suspect: it was inside an engine that broke.
    counts_attempt: it was in the work that is stuck or broken, so releasing it counts this attempt.
    posted: the route and the message id of its final message, None until that is known.
    last_progress_at: when its task in the pool last made progress, None while it has no task.
    gpu_ms: what its engine measured, None until then.
    """

    job: Job
    profile: str
    claimed_at: float
    phase: Phase = Phase.PREPARING
    outcome: Future[Outcome] = field(default_factory=Future)
    request: GenerationRequest | None = None
    stop_reason: StopReason | None = None
    is_alone: bool = False
    is_suspect: bool = False
    counts_attempt: bool = False
    posted: tuple[str | None, int | None] | None = None
    last_progress_at: float | None = None
    gpu_ms: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def id(self) -> int:
        return self.job.pk

    def move(self, to: Phase) -> bool:
        """Enter a phase. Return False when another thread is releasing the job or has ended it. Thread-safe.

        Raises:
            IllegalMove: the table has no such move.
        """
        with self._lock:
            if to in MOVES[self.phase]:
                self.phase = to
                return True
            if self.phase in RELEASED:
                return False
            raise IllegalMove(f"{self.phase.value} -> {to.value}")

    def request_stop(self, reason: StopReason) -> bool:
        """Note why the job must stop. Return False when another reason came first. Thread-safe."""
        with self._lock:
            if self.stop_reason is not None:
                return False
            self.stop_reason = reason
            return True


class ActiveJobs:
    """The jobs that this worker has claimed and not ended. Thread-safe."""

    def __init__(self) -> None:
        self._jobs: dict[int, ActiveJob] = {}
        self._lock = threading.Lock()

    def add(self, active: ActiveJob) -> None:
        with self._lock:
            self._jobs[active.id] = active

    def get(self, job_id: int) -> ActiveJob | None:
        with self._lock:
            return self._jobs.get(job_id)

    def all(self) -> list[ActiveJob]:
        with self._lock:
            return list(self._jobs.values())

    def in_phase(self, *phases: Phase) -> list[ActiveJob]:
        """Return the jobs that are in one of these phases."""
        return [active for active in self.all() if active.phase in phases]

    @property
    def ids(self) -> frozenset[int]:
        with self._lock:
            return frozenset(self._jobs)

    def end(self, active: ActiveJob, outcome: Outcome) -> bool:
        """Remove the job and set its outcome. Return False when another thread has done so."""
        with self._lock:
            if self._jobs.get(active.id) is not active:
                return False
            del self._jobs[active.id]
        active.move(Phase.ENDED)
        active.outcome.set_result(outcome)
        return True
