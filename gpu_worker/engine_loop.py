"""The engines' thread: admits pending jobs, advances the engines, and finds out what an error was caused by."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from django.db import connections

from . import batch_policy
from .active_job import ActiveJob, ActiveJobs, Phase
from .batch_policy import PendingRequest
from .delivery_pool import DeliveryPool
from .engine import Cancelled, Completed, Engine, EngineBroken, Event, Failed, ModelUnavailable, StepDone
from .engine_cache import EngineCache
from .error_causes import is_device_fault, is_out_of_memory
from .progress import ProgressReporter
from .watchdog import Activity, Bounds, Operation, Stuck

log = logging.getLogger(__name__)

PROBE_S = 10.0
PENDING_POLL_S = 0.25
DEFAULT_CAPACITY = 4.0  # until an engine is loaded
# So many faults in a row that no request or engine explains are the worker's own.
MAX_UNEXPLAINED_FAULTS = 10


class EngineLoop:
    """Owns the engines and their thread. `start` it once; `add`, `cancel` and `wake` are thread-safe."""

    def __init__(
        self,
        *,
        engines: EngineCache,
        active_jobs: ActiveJobs,
        delivery: DeliveryPool,
        reporter: ProgressReporter,
        shutting_down: threading.Event,
        bounds: Bounds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The loop ends when `shutting_down` is set, and sets it when the process has to be replaced."""
        self._engines = engines
        self._active_jobs = active_jobs
        self._delivery = delivery
        self._reporter = reporter
        self._shutting_down = shutting_down
        self._clock = clock
        self._activity = Activity(bounds=bounds, clock=clock)
        self._unexplained_faults = 0
        self._inbox: deque[ActiveJob] = deque()
        self._pending: list[ActiveJob] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.capacity = max((engine.capacity for engine in engines), default=DEFAULT_CAPACITY)
        self.fatal_error = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def add(self, active: ActiveJob) -> None:
        """Let a prepared job wait for an engine."""
        if active.move(Phase.PENDING):
            with self._changed:
                self._inbox.append(active)
                self._changed.notify_all()

    def cancel(self, job_id: int) -> None:
        """Have the job leave its engine at the next step, or the pending jobs at the next turn."""
        for engine in self._engines:
            engine.cancel(job_id)
        self.wake()

    def wake(self) -> None:
        """End an idle wait, so that the loop sees what has changed."""
        with self._changed:
            self._changed.notify_all()

    def find_stuck(self) -> Stuck | None:
        """Return the thread's work if that has exceeded its bound, else None."""
        return self._activity.find_stuck() if self._thread.is_alive() else None

    def replace_process(self, job_ids: frozenset[int]) -> None:
        """Have the process replaced. The attempt of these jobs counts, since they may be the cause."""
        for active in self._active_jobs.all():
            active.counts_attempt |= active.id in job_ids
        self.fatal_error.set()
        self._shutting_down.set()

    # -- one turn

    def _run(self) -> None:
        try:
            while not self._shutting_down.is_set():
                try:
                    self._run_turn()
                    self._unexplained_faults = 0
                except Exception as error:
                    self._handle_error(error)
        finally:
            if not self.fatal_error.is_set():
                self._engines.close()
            connections.close_all()

    def _run_turn(self) -> None:
        self._activity.begin(Operation.STEP)
        self._collect_pending()
        self._admit_pending()
        busy = [engine for engine in self._engines if engine.used_capacity]
        for engine in busy:
            self._advance(engine)
        if not busy:
            self._wait_for_work()

    def _wait_for_work(self) -> None:
        """Wait for work; while there is none, check at intervals that the GPU still computes."""
        self._activity.begin(Operation.IDLE)
        with self._changed:
            if self._inbox or self._shutting_down.is_set():
                return
            if self._changed.wait(PENDING_POLL_S if self._pending else PROBE_S):
                return
        self._activity.begin(Operation.STEP)
        for engine in self._engines:
            engine.probe()

    def _collect_pending(self) -> None:
        """Take over prepared jobs; drop those that must stop, and those whose model has just failed to load."""
        with self._changed:
            while self._inbox:
                self._pending.append(self._inbox.popleft())
        for active in [active for active in self._pending if active.stop_reason is not None]:
            self._pending.remove(active)
            self._delivery.submit_cancel(active)
        for profile in {active.profile for active in self._pending}:
            # At once: no reason to wait for an idle GPU to get the same error again.
            if (why := self._engines.load_failure(profile)) is not None:
                self._fail_pending(profile, why)

    def _admit_pending(self) -> None:
        admission = self._decide_admission()
        if admission.load_profile is not None:
            self._load(admission.load_profile)
            admission = self._decide_admission()
        admitted = set(admission.admitted)
        for active in [active for active in self._pending if active.id in admitted]:
            self._pending.remove(active)
            if active.request is not None and active.move(Phase.GENERATING):
                self._activity.begin(Operation.STEP, frozenset({active.id}))
                self._engines[active.profile].admit(active.request)
                if active.stop_reason is not None:
                    self._engines[active.profile].cancel(active.id)

    def _decide_admission(self) -> batch_policy.Admission:
        waiting = [
            PendingRequest(
                id=active.id,
                profile=active.profile,
                cost=active.request.cost,
                claimed_at=active.claimed_at,
                is_alone=active.is_alone,
            )
            for active in self._pending
            if active.request is not None
        ]
        has_exclusive = any(active.is_alone for active in self._active_jobs.in_phase(Phase.GENERATING))
        return batch_policy.admit(
            waiting, capacities=self._engines.capacities(), now=self._clock(), has_exclusive=has_exclusive
        )

    def _load(self, profile: str) -> None:
        began = self._clock()
        self._activity.begin(Operation.LOADING, _ids(active for active in self._pending if active.profile == profile))
        try:
            self.capacity = self._engines.load(profile).capacity
        except ModelUnavailable as error:
            log.error("model_unavailable", extra={"model": profile, "why": str(error)})
            self._fail_pending(profile, str(error))
        else:
            log.info("model_loaded", extra={"model": profile, "seconds": round(self._clock() - began, 2)})
        self._activity.begin(Operation.STEP)

    def _fail_pending(self, profile: str, why: str) -> None:
        """Fail the jobs that wait for a model that cannot be loaded."""
        for active in [active for active in self._pending if active.profile == profile]:
            self._pending.remove(active)
            self._delivery.submit_failure(active, reason="model_unavailable", detail=why, permanent=True)

    def _advance(self, engine: Engine) -> None:
        self._activity.begin(Operation.STEP, _ids(self._jobs_in(engine)))
        engine.advance(self._handle_event)

    def _jobs_in(self, engine: Engine) -> list[ActiveJob]:
        profiles = self._engines.profiles_of(engine)
        return [active for active in self._active_jobs.in_phase(Phase.GENERATING) if active.profile in profiles]

    def _handle_event(self, event: Event) -> None:
        is_last_step = isinstance(event, StepDone) and event.step >= event.total
        self._activity.note_progress(Operation.DECODING if is_last_step else Operation.STEP)
        active = self._active_jobs.get(event.id)
        if active is None:
            return
        if not isinstance(event, StepDone):
            active.gpu_ms = event.gpu_ms
        match event:
            case StepDone():
                self._reporter.report(event.id, step=event.step, total=event.total)
                if event.preview is not None:
                    self._delivery.submit_preview(active, event.preview)
            case Completed():
                self._delivery.submit_images(active, event)
            case Cancelled():
                self._delivery.submit_cancel(active)
            case Failed():
                self._delivery.submit_failure(
                    active, reason=event.reason, detail=event.detail, permanent=event.permanent
                )

    # -- errors

    def _handle_error(self, error: Exception) -> None:
        """Find what caused the error, and end that alone.

        1. A device fault: the GPU is broken, and the process is replaced. The attempt of the jobs inside counts.
        2. One job was inside: it is the cause if it was a suspect before; else it gets another attempt.
        3. Several were inside: each runs again, alone, on an engine that is loaded again. Their attempt does not count.
        4. None was inside: the worker is the cause when that happens MAX_UNEXPLAINED_FAULTS times in a row.
        """
        job_ids = self._activity.job_ids
        if isinstance(error, EngineBroken) or is_device_fault(error):
            log.error("engine_broken", exc_info=error, extra={"job_ids": sorted(job_ids)})
            self.replace_process(job_ids)
            return
        log.error("engine_failed", exc_info=error, extra={"job_ids": sorted(job_ids)})
        unfinished = self._active_jobs.in_phase(Phase.PENDING, Phase.GENERATING)
        suspects = [active for active in unfinished if active.id in job_ids]
        self._drop_engines_of(suspects)
        if not suspects:
            self._unexplained_faults += 1
            if self._unexplained_faults >= MAX_UNEXPLAINED_FAULTS:
                self.replace_process(frozenset())
            self._shutting_down.wait(0.1)
        elif len(suspects) == 1:
            self._fail_suspect(suspects[0], error)
        else:
            for active in suspects:
                active.is_alone = active.is_suspect = True
                self._return_to_pending(active)

    def _drop_engines_of(self, suspects: list[ActiveJob]) -> None:
        """Drop the engines with a suspect inside. The other jobs inside begin again."""
        for engine in list(self._engines):
            inside = self._jobs_in(engine)
            if set(suspects).isdisjoint(inside):
                continue
            self._engines.drop(engine)
            for active in set(inside).difference(suspects):
                self._return_to_pending(active)

    def _return_to_pending(self, active: ActiveJob) -> None:
        if active.move(Phase.PENDING) and active not in self._pending:
            self._pending.append(active)

    def _fail_suspect(self, active: ActiveJob, error: Exception) -> None:
        if active in self._pending:
            self._pending.remove(active)
        is_proven = active.is_suspect or active.job.attempts > 1
        reason = "not_possible" if is_proven else "engine_failed"
        if is_out_of_memory(error):
            reason = "out_of_memory"
        self._delivery.submit_failure(active, reason=reason, detail=type(error).__name__, permanent=is_proven)


def _ids(jobs: Iterable[ActiveJob]) -> frozenset[int]:
    return frozenset(active.id for active in jobs)
