"""Runs jobs, from claim to completion. The same for SQS and for Celery.

One thread belongs to the engines (gpu_worker.engine_loop). A pool of threads does what needs no GPU
(gpu_worker.delivery_pool). A heartbeat renews the leases. No transaction is open while an engine works or while bytes
travel.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from datetime import UTC, datetime
from functools import partial

from django.conf import settings

from jobs import transitions
from jobs.job_status import Status
from jobs.models import Job
from jobs.storage import StorageUnavailable

from .active_job import UNFINISHED, ActiveJob, ActiveJobs, Outcome, Phase, StopReason
from .adapters.errors import AdapterUnavailable
from .delivery_pool import DeliveryPool
from .engine import Completed
from .engine_cache import EngineCache
from .engine_loop import EngineLoop
from .heartbeat import HeartbeatThread
from .progress import ProgressReporter
from .publisher import Publisher
from .request_builder import build_request, profile_of
from .source_images import InvalidSourceImage
from .task_pool import TaskPool
from .upscaling import LanczosUpscaler, Upscaler
from .watchdog import Bounds, Operation, Stuck

log = logging.getLogger(__name__)


class Runner:
    """Give it job ids; it answers with futures. `start` it once, `stop` it once."""

    def __init__(
        self,
        *,
        worker_id: str,
        engines: EngineCache,
        publisher: Publisher,
        reporter: ProgressReporter,
        heartbeat: HeartbeatThread,
        task_pool: TaskPool,
        shutting_down: threading.Event,
        resend_on_release: bool = False,
        bounds: Bounds | None = None,
        upscaler: Upscaler | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shutting_down` is set when the worker must leave, and ends every wait.

        `resend_on_release`: send a new message for a released job, where no message can be made visible again.
        """
        self._worker_id = worker_id
        self._publisher = publisher
        self._reporter = reporter
        self._heartbeat = heartbeat
        self._task_pool = task_pool
        self._shutting_down = shutting_down
        self._clock = clock
        self._bounds = bounds or Bounds()
        self._upscaler = upscaler or LanczosUpscaler()
        self._active_jobs = ActiveJobs()
        self._delivery = DeliveryPool(
            worker_id=worker_id,
            active_jobs=self._active_jobs,
            publisher=publisher,
            reporter=reporter,
            task_pool=task_pool,
            shutting_down=shutting_down,
            resend_on_release=resend_on_release,
            clock=clock,
        )
        self._engine_loop = EngineLoop(
            engines=engines,
            active_jobs=self._active_jobs,
            delivery=self._delivery,
            reporter=reporter,
            shutting_down=shutting_down,
            bounds=self._bounds,
            clock=clock,
        )
        self.fatal_error = self._engine_loop.fatal_error  # set: the process must be replaced
        self.is_draining = False  # as the heartbeat last read it: start no job

    def start(self) -> None:
        self._task_pool.start()
        self._reporter.start(stop=self.cancel)
        self._engine_loop.start()
        self._heartbeat.start(self)

    def run(self, job_ids: Iterable[int]) -> list[Outcome]:
        """Run the jobs and return their outcomes. Other threads may run others at the same time."""
        futures = [self.submit(job_id) for job_id in job_ids]
        wait(futures)
        return [future.result() for future in futures]

    def submit(self, job_id: int) -> Future[Outcome]:
        """Claim the job and start it. The future ends when the job has ended here.

        Raises:
            django.db.Error: the row cannot be read.
        """
        if (active := self._active_jobs.get(job_id)) is not None:
            # A second delivery of the message has the same outcome.
            return active.outcome
        if self._shutting_down.is_set():
            return _finished(Outcome.RELEASED)
        job = transitions.claim(job_id, worker_id=self._worker_id, now=datetime.now(UTC))
        if job is None:
            if Job.objects.filter(pk=job_id, status=Status.QUEUED).exists():
                # The operators let no worker start a job: its message stays in the queue.
                self.is_draining = True
                return _finished(Outcome.RELEASED)
            return _finished(Outcome.NOT_OURS)
        # The last attempt runs alone: a job must not fail because of another one.
        is_last_attempt = job.attempts > 1 and job.attempts >= settings.SPARKLE_MAX_ATTEMPTS
        active = ActiveJob(job=job, profile=profile_of(job), claimed_at=self._clock(), is_alone=is_last_attempt)
        self._active_jobs.add(active)
        ids = {"job_id": job_id, "interaction_id": job.interaction_id}
        log.info("job_claimed", extra={**ids, "attempt": job.attempts, "kind": job.kind})
        if self._shutting_down.is_set():
            self._delivery.release(active)
        else:
            self._delivery.submit(active, self._prepare)
        return active.outcome

    @property
    def active_ids(self) -> frozenset[int]:
        """The ids of the jobs that this worker has claimed and not ended."""
        return self._active_jobs.ids

    @property
    def free_slots(self) -> int:
        """How many more jobs it should be given: as many as the GPU takes at once, and one more, prepared ahead."""
        if self._shutting_down.is_set() or self.is_draining:
            return 0
        unfinished = len(self._active_jobs.in_phase(*UNFINISHED))
        return max(0, 1 + max(1, round(self._engine_loop.capacity / 4)) - unfinished)

    @property
    def jobs_done(self) -> int:
        return self._delivery.completed_count

    def find_stuck(self) -> tuple[Stuck, ...]:
        """Return the work that has not moved within its bound."""
        now = self._clock()
        ages_s = {
            active.id: now - last_progress_at
            for active in self._active_jobs.all()
            if (last_progress_at := active.last_progress_at) is not None
            and now - last_progress_at > self._bounds.publishing_s
        }
        stuck = [self._engine_loop.find_stuck()]
        if ages_s:
            seconds = round(max(ages_s.values()), 1)
            stuck.append(Stuck(operation=Operation.PUBLISHING, job_ids=frozenset(ages_s), seconds=seconds))
        return tuple(work for work in stuck if work is not None)

    def abandon(self, stuck: Stuck) -> None:
        """Have the process replaced: the attempts of the jobs in the stuck work count, those of the others do not."""
        if not self.fatal_error.is_set():
            fields = {"operation": stuck.operation.value, "job_ids": sorted(stuck.job_ids), "seconds": stuck.seconds}
            log.error("worker_stuck", extra=fields)
        self._engine_loop.replace_process(stuck.job_ids)

    def cancel(self, job_id: int) -> None:
        """Have a running job stop at its next step, because that was requested."""
        self._request_stop(job_id, StopReason.CANCELLED)

    def mark_lost(self, job_id: int) -> None:
        """Drop a job whose lease another worker or upkeep has taken."""
        self._request_stop(job_id, StopReason.LOST)

    def stop(self, *, within_s: float = 8.0) -> None:
        """Release every job within `within_s`. The attempt of jobs in stuck or broken work counts.

        1. Let the step end that is being computed, unless the GPU is broken.
        2. Stop the edits of processing messages.
        3. Release the jobs whose images are not finished.
        4. Let the others be delivered until a third of the time is left, then release them.
        5. Wait for jobs that another thread is releasing.
        """
        deadline = self._clock() + within_s
        self._shutting_down.set()
        self._engine_loop.wake()
        if not self.fatal_error.is_set():
            self._engine_loop.join(max(0.0, min(within_s / 3, deadline - self._clock())))
        self._reporter.stop(within_s=within_s / 4)
        for active in self._active_jobs.in_phase(*UNFINISHED):
            self._delivery.release(active)
        self._task_pool.stop(timeout_s=max(0.0, (deadline - self._clock()) * 2 / 3))
        for active in self._active_jobs.all():
            self._delivery.release(active)
        outcomes = [active.outcome for active in self._active_jobs.all()]
        wait(outcomes, timeout=max(0.0, deadline - self._clock()))
        self._heartbeat.stop()
        self._reporter.join(0.2)

    def _prepare(self, active: ActiveJob) -> None:
        """Build the job's request, in the pool. Images that are stored already are delivered at once."""
        job = active.job
        if job.images_stored_at is not None:
            if active.move(Phase.PUBLISHING):
                self._delivery.deliver(active, contents={})
            return
        self._reporter.open(job)
        mark_progress = partial(self._delivery.mark_progress, active)
        try:
            active.request = build_request(
                job,
                fetch_image=partial(self._publisher.fetch_image, on_attempt=mark_progress),
                upscaler=self._upscaler,
            )
        except (InvalidSourceImage, AdapterUnavailable, StorageUnavailable) as error:
            reason = "source_unavailable" if isinstance(error, StorageUnavailable) else error.reason
            self._delivery.fail(active, reason=reason, detail=str(error), permanent=error.permanent)
            return
        if active.request.source is not None and active.request.strength == 0:
            # Nothing is repainted, so no engine and no GPU time is needed.
            completed = Completed(id=job.pk, images=(active.request.source,) * job.count, gpu_ms=0)
            self._delivery.submit_images(active, completed)
            return
        self._engine_loop.add(active)

    def _request_stop(self, job_id: int, reason: StopReason) -> None:
        active = self._active_jobs.get(job_id)
        if active is not None and active.request_stop(reason):
            self._engine_loop.cancel(job_id)


def _finished(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future
