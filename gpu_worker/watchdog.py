"""Bounds on how long work may make no progress. Work that exceeds its bound is stuck."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass


class Operation(enum.Enum):
    IDLE = "idle"
    LOADING = "loading"  # a model
    STEP = "step"  # one step of a batch, or of a whole pipeline call
    DECODING = "decoding"  # finished latents to images
    PUBLISHING = "publishing"  # one attempt to fetch, encode, store or deliver


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Seconds without progress after which work is stuck."""

    loading_s: float = 900.0
    step_s: float = 300.0
    decoding_s: float = 300.0
    publishing_s: float = 300.0

    def of(self, operation: Operation) -> float:
        return {
            Operation.IDLE: float("inf"),
            Operation.LOADING: self.loading_s,
            Operation.STEP: self.step_s,
            Operation.DECODING: self.decoding_s,
            Operation.PUBLISHING: self.publishing_s,
        }[operation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Work without progress within its bound, and the jobs that were in it."""

    operation: Operation
    job_ids: frozenset[int]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Current:
    operation: Operation
    job_ids: frozenset[int]
    progress_at: float


class Activity:
    """What one thread is doing. That thread writes; any thread may read."""

    def __init__(self, *, bounds: Bounds, clock: Callable[[], float]) -> None:
        self._bounds = bounds
        self._clock = clock
        self._lock = threading.Lock()
        self._now = _Current(operation=Operation.IDLE, job_ids=frozenset(), progress_at=clock())

    @property
    def job_ids(self) -> frozenset[int]:
        return self._now.job_ids

    def begin(self, operation: Operation, job_ids: frozenset[int] = frozenset()) -> None:
        """Note that the thread starts this operation, for these jobs."""
        with self._lock:
            self._now = _Current(operation=operation, job_ids=job_ids, progress_at=self._clock())

    def note_progress(self, operation: Operation | None = None) -> None:
        """Note that the work makes progress, in another operation where one is given."""
        with self._lock:
            now = self._now
            self._now = _Current(operation=operation or now.operation, job_ids=now.job_ids, progress_at=self._clock())

    def find_stuck(self) -> Stuck | None:
        """Return what is stuck, or None while the work makes progress."""
        with self._lock:
            now = self._now
        seconds = self._clock() - now.progress_at
        if seconds <= self._bounds.of(now.operation):
            return None
        return Stuck(operation=now.operation, job_ids=now.job_ids, seconds=round(seconds, 1))
