"""The work on a job beside its engine: store images, post them, report cancelled and failed jobs, release jobs.

Tasks run in the worker's task pool, so that encoding, uploads and Discord overlap with the next steps. A task may be
done twice: every write is a compare-and-set, and every message replaces the one before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections
from PIL import Image

from discord_api import payloads
from discord_api.errors import DiscordError
from guilds.models import Guild
from jobs import job_spans, transitions
from jobs.job_status import Status
from jobs.models import Job, JobEvent, JobImage
from jobs.storage import StorageUnavailable

from .active_job import ActiveJob, ActiveJobs, Outcome, Phase, StopReason
from .engine import Completed
from .nsfw_check import CheckUnavailable
from .progress import ProgressReporter
from .publisher import Blocked, PostableImage, Publisher, ShuttingDown, StoredImages
from .task_pool import TaskPool

log = logging.getLogger(__name__)

PROMPT_TRUNCATED = "truncated_tokens"  # an event of the job: the model did not read so many tokens of its text
DATABASE_RETRY_S = 1.0
# By the status that a failed attempt left the job in.
_OUTCOMES = {Status.FAILED: Outcome.ENDED, Status.QUEUED: Outcome.REQUEUED}

JobTask = Callable[[ActiveJob], None]


class DeliveryPool:
    """Runs the tasks of active jobs. Thread-safe."""

    def __init__(
        self,
        *,
        worker_id: str,
        active_jobs: ActiveJobs,
        publisher: Publisher,
        reporter: ProgressReporter,
        task_pool: TaskPool,
        shutting_down: threading.Event,
        resend_on_release: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`resend_on_release`: send a new message for a released job, where no message can be made visible again."""
        self._worker_id = worker_id
        self._active_jobs = active_jobs
        self._publisher = publisher
        self._reporter = reporter
        self._task_pool = task_pool
        self._shutting_down = shutting_down
        self._resend_on_release = resend_on_release
        self._clock = clock
        self.completed_count = 0

    # -- from the engines' thread

    def submit(self, active: ActiveJob, task: JobTask) -> None:
        """Run one task of the job in the pool."""
        self._task_pool.put(lambda: self._run(active, task))

    def submit_images(self, active: ActiveJob, completed: Completed) -> None:
        """Publish what the engine has made."""
        if active.move(Phase.PUBLISHING):
            self.submit(active, lambda active: self._publish(active, completed))

    def submit_cancel(self, active: ActiveJob) -> None:
        """End a cancelled job; drop one that is lost."""
        if active.move(Phase.CANCELLING):
            self.submit(active, self._cancel)

    def submit_failure(self, active: ActiveJob, *, reason: str, detail: str = "", permanent: bool) -> None:
        """Fail this attempt. `reason` is a stable code of a job; `permanent`: another attempt cannot help."""
        if active.move(Phase.FAILING):
            self.submit(active, lambda active: self.fail(active, reason=reason, detail=detail, permanent=permanent))

    def submit_preview(self, active: ActiveJob, image: Image.Image) -> None:
        """Show an unfinished image, as far as the guild's rules let finished ones be shown."""
        self._task_pool.put(lambda: self._show_preview(active, image))

    # -- tasks

    def deliver(self, active: ActiveJob, *, contents: Mapping[str, bytes]) -> None:
        """Post the stored images and complete the job. `contents` by key; what it lacks is fetched from storage."""
        job = active.job
        if active.posted is None and not self._post(active, contents=contents):
            return
        via, message_id = active.posted or (Job.Via.GALLERY, None)
        is_ours = transitions.complete(
            job.pk, worker_id=self._worker_id, delivered_via=via, message_id=message_id, now=_now()
        )
        self.completed_count += is_ours
        fields = {"job_id": job.pk, "interaction_id": job.interaction_id, "via": via}
        fields["seconds"] = round(self._clock() - active.claimed_at, 2)
        if is_ours:
            age_s = (_now() - job.created_at).total_seconds()
            metrics = {"ImagesMade": (job.count, "Count"), "RequestTime": (round(age_s, 3), "Seconds")}
            log.info("job_completed", extra=fields | {"metrics": metrics})
        else:
            log.info("job_lost", extra=fields)
        self._end(active, Outcome.ENDED if is_ours else Outcome.NOT_OURS)

    def fail(self, active: ActiveJob, *, reason: str, detail: str = "", permanent: bool) -> None:
        """Fail this attempt now, within a task of the job. Parameters as in `submit_failure`."""
        job = active.job
        self._reporter.close(job.pk)
        status = transitions.fail(
            job.pk,
            worker_id=self._worker_id,
            reason=reason,
            detail=detail[:500],
            permanent=permanent,
            gpu_ms=active.gpu_ms,
            now=_now(),
        )
        fields = {"job_id": job.pk, "interaction_id": job.interaction_id, "reason": reason, "status": str(status)}
        metrics = {"JobsFailed": (int(status == Status.FAILED), "Count")}
        log.warning("job_failed", extra=fields | {"metrics": metrics})
        if status == Status.FAILED:
            self._notify_end(job)
        self._end(active, Outcome.NOT_OURS if status is None else _OUTCOMES[status])

    def release(self, active: ActiveJob) -> None:
        """Return the job to the queue, unless another thread is doing so. Its attempt counts where it says so."""
        if not active.move(Phase.RELEASING):
            return
        close_old_connections()
        self._settle(active, self._count_attempt(active) if active.counts_attempt else self._release(active))

    def mark_progress(self, active: ActiveJob) -> None:
        """Note that the job's task makes progress."""
        active.last_progress_at = self._clock()

    # -- publishing

    def _publish(self, active: ActiveJob, completed: Completed) -> None:
        if active.stop_reason is not None or self._cancelled_late(active):
            self.submit_cancel(active)
            return
        if completed.truncated_tokens:
            # Get or create: a task may be done twice, and so may a job.
            JobEvent.objects.get_or_create(
                job=active.job,
                kind=PROMPT_TRUNCATED,
                detail={"tokens": completed.truncated_tokens},
                defaults={"at": _now()},
            )
        stored = self._store(active, completed)
        if stored is None:
            return
        if not self._record_images(active, stored, gpu_ms=completed.gpu_ms):
            self.submit_cancel(active)
            return
        self.deliver(active, contents=stored.contents)

    def _cancelled_late(self, active: ActiveJob) -> bool:
        """Whether the row was cancelled during the last step. This is the last look: stored images are kept."""
        if Job.objects.filter(pk=active.id, cancel_requested_at__isnull=False).exists():
            active.request_stop(StopReason.CANCELLED)
        return active.stop_reason is not None

    def _store(self, active: ActiveJob, completed: Completed) -> StoredImages | None:
        """Put the images into storage. Return None where that failed the job."""
        try:
            return self._publisher.store_images(
                active.job,
                completed.images,
                model=active.profile.partition("#")[0],
                on_attempt=partial(self.mark_progress, active),
            )
        except StorageUnavailable as error:
            self.fail(active, reason="storage_unavailable", detail=str(error), permanent=False)
        except Blocked:
            self.fail(active, reason="output_blocked", permanent=True)
        except CheckUnavailable:
            self.fail(active, reason="output_unchecked", permanent=True)
        return None

    def _record_images(self, active: ActiveJob, stored: StoredImages, *, gpu_ms: int) -> bool:
        """Write the stored images to the row. Return False when the job is no longer this worker's."""
        job = active.job
        if transitions.record_images(
            job.pk,
            worker_id=self._worker_id,
            images=stored.images,
            grid_key=stored.grid_key,
            gpu_ms=gpu_ms,
            now=_now(),
        ):
            return True
        job.refresh_from_db(fields=["worker_id", "images_stored_at"])
        return job.worker_id == self._worker_id and job.images_stored_at is not None

    def _post(self, active: ActiveJob, *, contents: Mapping[str, bytes]) -> bool:
        """Post the images, once. Return False where the job goes back to the queue."""
        job = active.job
        # Before the final message: no edit of the processing message may come after it.
        self._reporter.close(job.pk)
        mark_progress = partial(self.mark_progress, active)
        images = self._images_to_post(job, contents, on_attempt=mark_progress)
        # From the row: another worker may have made the images.
        event = JobEvent.objects.filter(job=job, kind=PROMPT_TRUNCATED).order_by("pk").last()
        truncated_tokens = int(event.detail.get("tokens", 0)) if event else 0
        try:
            delivered = self._publisher.post_images(
                job, images, truncated_tokens=truncated_tokens, on_attempt=mark_progress
            )
            active.posted = (delivered.via, delivered.message_id)
        except DiscordError as error:
            if not error.permanent and job.attempts < settings.SPARKLE_MAX_ATTEMPTS:
                self.fail(active, reason="discord_unavailable", detail=str(error), permanent=False)
                return False
            # The images are stored: a refusal by Discord must not cost them. After an outage upkeep posts them.
            log.error("post_failed", extra={"job_id": job.pk, "status": error.status, "code": error.code})
            active.posted = (Job.Via.GALLERY if error.permanent else None, None)
        return True

    def _images_to_post(
        self, job: Job, contents: Mapping[str, bytes], *, on_attempt: Callable[[], None]
    ) -> list[PostableImage]:
        """Return the grid or the single images, as the guild has chosen."""

        def content(key: str) -> bytes:
            return contents.get(key) or self._publisher.fetch_image(key, on_attempt=on_attempt)

        rows = list(JobImage.objects.filter(job=job))
        if job.guild.result_layout == Guild.ResultLayout.GRID:
            job.refresh_from_db(fields=["grid_key"])
            return [PostableImage(content=content(job.grid_key), blurred=any(row.blurred for row in rows))]
        return [
            PostableImage(content=content(row.key), blurred=row.blurred, number=row.index + 1)
            for row in rows[: payloads.MAX_FILES]
        ]

    def _show_preview(self, active: ActiveJob, image: Image.Image) -> None:
        file = self._publisher.make_preview(active.job, image)
        if file is not None:
            self._reporter.show_preview(active.id, file)

    # -- other ends

    def _cancel(self, active: ActiveJob) -> None:
        self._reporter.close(active.id)
        if active.stop_reason is not StopReason.LOST and transitions.finish_cancel(
            active.id, worker_id=self._worker_id, gpu_ms=active.gpu_ms, now=_now()
        ):
            log.info("job_cancelled", extra={"job_id": active.id})
            self._notify_end(active.job)
            self._end(active, Outcome.ENDED)
        else:
            self._end(active, Outcome.NOT_OURS)

    def _notify_end(self, job: Job) -> None:
        job.refresh_from_db()
        try:
            delivered = self._publisher.notify_end(job)
        except DiscordError as error:
            # Upkeep sends what could not be sent here.
            log.info("end_not_posted", extra={"job_id": job.pk, "status": error.status, "code": error.code})
        else:
            transitions.mark_notified(job.pk, via=delivered.via, message_id=delivered.message_id, now=_now())

    def _release(self, active: ActiveJob) -> Outcome:
        """Return the job to the queue as if it had not been here."""
        try:
            is_ours = transitions.release(
                active.id, worker_id=self._worker_id, gpu_ms=active.gpu_ms, now=_now(), resend=self._resend_on_release
            )
        except DatabaseError as error:
            # Its lease will expire.
            log.warning("release_failed", extra={"job_id": active.id, "error": type(error).__name__})
            is_ours = True
        log.info("job_released", extra={"job_id": active.id, "ours": is_ours})
        return Outcome.RELEASED if is_ours else Outcome.NOT_OURS

    def _count_attempt(self, active: ActiveJob) -> Outcome:
        """Return to the queue a job that was in what is stuck or broken; its last attempt ends it."""
        try:
            status = transitions.fail(
                active.id, worker_id=self._worker_id, reason="engine_failed", permanent=False, now=_now()
            )
        except DatabaseError as error:
            # Its lease will expire, and that counts the attempt too.
            log.warning("release_failed", extra={"job_id": active.id, "error": type(error).__name__})
            return Outcome.NOT_OURS
        log.warning("job_failed", extra={"job_id": active.id, "reason": "engine_failed", "status": str(status)})
        return Outcome.NOT_OURS if status is None else _OUTCOMES[status]

    # -- running tasks

    def _run(self, active: ActiveJob, task: JobTask) -> None:
        """Run the task. After an error the job is failed or released, so that its row does not stay running."""
        self.mark_progress(active)
        try:
            task(active)
        except ShuttingDown:
            self.release(active)
        except DatabaseError as error:
            log.warning("database_unavailable", extra={"job_id": active.id, "error": type(error).__name__})
            self._retry(active, task)
        except StorageUnavailable as error:
            self.submit_failure(active, reason="storage_unavailable", detail=str(error), permanent=False)
        except Exception as error:
            log.exception("job_task_failed", extra={"job_id": active.id})
            if active.phase is Phase.FAILING:
                # Its lease will expire, and upkeep takes the job back.
                self._end(active, Outcome.NOT_OURS)
            else:
                self.submit_failure(active, reason="failed", detail=type(error).__name__, permanent=False)
        finally:
            active.last_progress_at = None

    def _retry(self, active: ActiveJob, task: JobTask) -> None:
        if self._shutting_down.wait(DATABASE_RETRY_S):
            self.release(active)
        else:
            self.submit(active, task)

    def _end(self, active: ActiveJob, outcome: Outcome) -> None:
        # A row that is being released looks like another worker's, and its message must not be deleted for that.
        if active.phase is Phase.RELEASING and outcome is Outcome.NOT_OURS:
            return
        self._settle(active, outcome)

    def _settle(self, active: ActiveJob, outcome: Outcome) -> None:
        if self._active_jobs.end(active, outcome) and outcome is Outcome.ENDED:
            self._task_pool.put(lambda: job_spans.record_job_spans(active.id))


def _now() -> datetime:
    return datetime.now(UTC)
