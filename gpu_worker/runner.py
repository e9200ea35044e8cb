"""Runs jobs, from claim to completion. The same for SQS and for Celery.

One thread belongs to the engines. A desk of threads does what is not the card's work, so that encoding, uploads and
Discord overlap with the next steps. A heart renews the leases. No transaction is open while the engine works or bytes
travel.
"""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connections
from PIL import Image

from discord_api.errors import DiscordError
from guilds.cost_estimates import DEFAULT_STRENGTH
from jobs import job_spans, transitions
from jobs.lifecycle import Status
from jobs.models import Job, JobEvent, JobImage
from jobs.storage import StorageUnavailable

from . import batch_policy, source_images
from .batch_policy import Waiting
from .engine import (
    Cancelled,
    Completed,
    Engine,
    EngineBroken,
    Event,
    Failed,
    GenerationRequest,
    ModelUnavailable,
    StepDone,
)
from .engine_cache import EngineCache
from .errors import is_device_fault, is_out_of_memory
from .heartbeat import HeartbeatThread
from .nsfw_check import CheckUnavailable
from .progress import ProgressReporter
from .publisher import Blocked, Publisher, ShuttingDown
from .source_images import InvalidSourceImage
from .task_pool import TaskPool
from .watchdog import Activity, Bounds, Phase, Stuck

log = logging.getLogger(__name__)

PROBE_S = 10.0
# So many faults in a row that no request or engine explains are the worker's own.
MOST_FAULTS = 10
PROMPT_TRUNCATED = "truncated_tokens"  # an event of the job: so many tokens of its text were left out


class Outcome(enum.Enum):
    """What became of a job here. All but GIVEN_BACK let its message be deleted."""

    ENDED = "ended"
    REQUEUED = "requeued"  # failed, and a new message was sent for another try
    NOTHING = "nothing"  # another worker has it, or it had ended before
    GIVEN_BACK = "given_back"  # queued again as if it had not been here


# By the status that a failed attempt left the job in.
_OUTCOMES = {Status.FAILED: Outcome.ENDED, Status.QUEUED: Outcome.REQUEUED}


@dataclass(slots=True, kw_only=True, eq=False)
class ActiveJob:
    """A job in this worker's hands. `cancelled` and `lost` say why it must stop; `posted` how its end was told.

    `returning`: a thread is giving it back, and that thread alone says what became of it. `alone`: it shares the card
    with no other, since it may be what breaks engines; `suspected`: it was inside when one broke. `counted`: it was in
    the hands of what is stuck or broken, so this attempt counts. `moved_at`: when its task on the desk last moved, None
    while there is none. `gpu_ms` is what its engine measured, None until it has.
    """

    job: Job
    profile: str
    since: float
    outcome: Future[Outcome] = field(default_factory=Future)
    request: GenerationRequest | None = None
    inside: bool = False
    publishing: bool = False
    failing: bool = False
    returning: bool = False
    posted: tuple[str | None, int | None] | None = None
    cancelled: bool = False
    lost: bool = False
    alone: bool = False
    suspected: bool = False
    counted: bool = False
    moved_at: float | None = None
    gpu_ms: int | None = None


class Runner:
    """Give it job ids; it answers with futures. `start` it once, `stop` it once."""

    def __init__(
        self,
        *,
        worker_id: str,
        profiles: EngineCache,
        publisher: Publisher,
        board: ProgressReporter,
        heart: HeartbeatThread,
        desk: TaskPool,
        leaving: threading.Event,
        resend_on_release: bool = False,
        bounds: Bounds | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`leaving` is set when the worker must go; whoever waits, waits on it.

        `resend_on_release`: send a new message for a released job, where no message can be made visible again.
        """
        self._worker_id = worker_id
        self._profiles = profiles
        self._publisher = publisher
        self._board = board
        self._heart = heart
        self._desk = desk
        self._resend_on_release = resend_on_release
        self._clock = clock
        self._bounds = bounds or Bounds()
        self._activity = Activity(bounds=self._bounds, clock=clock)
        self._faults = 0
        self._held: dict[int, ActiveJob] = {}
        self._inbox: deque[ActiveJob] = deque()
        self._waiting: list[ActiveJob] = []
        self._changed = threading.Condition()
        self._leaving = leaving
        self._capacity = max((engine.room for engine in profiles), default=4.0)
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self.broken = threading.Event()  # the process is to be replaced
        self.draining = False  # as the heart last read it: begin nothing
        self.jobs_done = 0

    def start(self) -> None:
        self._desk.start()
        self._board.start(stop=self.cancel)
        self._thread.start()
        self._heart.start(self)

    # -- from the outside

    def run(self, job_ids: Iterable[int]) -> list[Outcome]:
        """Run the jobs and return what became of each. Other threads may run others at the same time."""
        futures = [self.submit(job_id) for job_id in job_ids]
        wait(futures)
        return [future.result() for future in futures]

    def submit(self, job_id: int) -> Future[Outcome]:
        """Claim the job and begin; the future ends when it has. Raise django.db.Error when the row is out of reach."""
        with self._changed:
            if (held := self._held.get(job_id)) is not None:
                # The message came twice: both are answered alike.
                return held.outcome
            if self._leaving.is_set():
                return _answered(Outcome.GIVEN_BACK)
        job = transitions.claim(job_id, worker_id=self._worker_id, now=_now())
        if job is None:
            if Job.objects.filter(pk=job_id, status=Status.QUEUED).exists():
                # The operators let no worker start one: its message waits for better times.
                self.draining = True
                return _answered(Outcome.GIVEN_BACK)
            return _answered(Outcome.NOTHING)
        # The last attempt is made alone: a job that others broke shall not fail by them.
        last = job.attempts > 1 and job.attempts >= settings.SPARKLE_MAX_ATTEMPTS
        held = ActiveJob(job=job, profile=profile_of(job), since=self._clock(), alone=last)
        with self._changed:
            self._held[job_id] = held
        ids = {"job_id": job_id, "interaction_id": job.interaction_id}
        log.info("job_claimed", extra={**ids, "attempt": job.attempts, "kind": job.kind})
        if self._leaving.is_set():
            self._release_held(held)
        else:
            self._desk.put(lambda: self._guarded(held, self._prepare))
        return held.outcome

    @property
    def active_ids(self) -> frozenset[int]:
        """The ids of the jobs in hand."""
        with self._changed:
            return frozenset(self._held)

    @property
    def free_slots(self) -> int:
        """How many more jobs it should be given: what the card takes at once, and one prepared ahead."""
        with self._changed:
            making = sum(not held.publishing for held in self._held.values())
        if self._leaving.is_set() or self.draining:
            return 0
        return max(0, 1 + max(1, round(self._capacity / 4)) - making)

    def stuck(self) -> tuple[Stuck, ...]:
        """Return the work that has not moved within its bound."""
        now = self._clock()
        unmoved = {
            held.job.pk: now - held.moved_at
            for held in self._all()
            if held.moved_at is not None and now - held.moved_at > self._bounds.publishing_s
        }
        engine = self._activity.stuck() if self._thread.is_alive() else None
        publishing = (
            Stuck(phase=Phase.PUBLISHING, job_ids=frozenset(unmoved), seconds=round(max(unmoved.values()), 1))
            if unmoved
            else None
        )
        return tuple(each for each in (engine, publishing) if each is not None)

    def abandon(self, stuck: Stuck) -> None:
        """Have the process replaced: the jobs in what is stuck come back counted, the others uncounted."""
        if not self.broken.is_set():
            fields = {"phase": stuck.phase.value, "job_ids": sorted(stuck.job_ids), "seconds": stuck.seconds}
            log.error("worker_stuck", extra=fields)
        self._break(stuck.job_ids)

    def cancel(self, job_id: int) -> None:
        """Have a running job stop at its next step, since its asker wants that."""
        self._mark_stopping(job_id, lost=False)

    def mark_lost(self, job_id: int) -> None:
        """Drop a job whose lease another worker or upkeep has taken."""
        self._mark_stopping(job_id, lost=True)

    def stop(self, *, within_s: float = 8.0) -> None:
        """Give every job back; what is being delivered may finish. Returns within `within_s`.

        Uncounted, but for the jobs that were in what is stuck or broken.
        """
        deadline = self._clock() + within_s
        self._leaving.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive() and not self.broken.is_set():
            # A step is short; a broken card's thread is not waited for.
            self._thread.join(max(0.0, min(within_s / 3, deadline - self._clock())))
        self._board.stop(within_s=within_s / 4)
        for held in self._all():
            if not held.publishing:
                self._release_held(held)
        # A third is kept for giving back what could not be delivered in time.
        self._desk.stop(timeout_s=max(0.0, (deadline - self._clock()) * 2 / 3))
        for held in self._all():
            self._release_held(held)
        # What another thread was giving back already.
        wait([held.outcome for held in self._all()], timeout=max(0.0, deadline - self._clock()))
        self._heart.stop()
        self._board.join(0.2)

    # -- preparing, on the desk

    def _prepare(self, held: ActiveJob) -> None:
        job = held.job
        if job.images_stored_at is not None:
            held.publishing = True
            self._deliver(held, grid=None)
            return
        self._board.open(job)
        try:
            held.request = self._request(job, moved=partial(self._moved, held))
        except (InvalidSourceImage, StorageUnavailable) as error:
            reason = error.reason if isinstance(error, InvalidSourceImage) else "source_unavailable"
            self._fail(held, reason=reason, detail=str(error), permanent=error.permanent)
            return
        with self._changed:
            self._inbox.append(held)
            self._changed.notify_all()

    def _request(self, job: Job, *, moved: Callable[[], None]) -> GenerationRequest:
        source, width, height = None, job.width, job.height
        if job.kind != Job.Kind.TXT2IMG:
            if job.source_url and job.source_job_id is None:
                content = source_images.fetch(
                    job.source_url, hosts=settings.DISCORD_CDN_HOSTS, insecure=settings.DISCORD_CDN_INSECURE
                )
            else:
                row = None
                if job.source_job_id is not None:
                    row = JobImage.objects.filter(job_id=job.source_job_id, index=job.source_index or 0).first()
                if row is None:
                    raise InvalidSourceImage("source_unavailable", "it is not kept any more")
                content = self._publisher.fetch(row.key, moved=moved)
            source = source_images.decode(content)
            if job.kind == Job.Kind.UPSCALE:
                width, height = 2 * source.width, 2 * source.height
            source = source_images.fit_to_size(source, width, height)
        return GenerationRequest(
            id=job.pk,
            prompt=job.styled_prompt or job.prompt,
            negative_prompt=job.negative_prompt,
            seed=job.seed,
            count=job.count,
            steps=job.steps,
            sampler=job.sampler,
            guidance=job.guidance,
            width=width,
            height=height,
            source=source,
            strength=job.strength or DEFAULT_STRENGTH.get(job.kind, 1.0),
            preview=job.guild.previews,
        )

    # -- making, on the engines' thread

    def _serve(self) -> None:
        try:
            while not self._leaving.is_set():
                try:
                    self._turn()
                    self._faults = 0
                except Exception as error:
                    self._blame(error)
        finally:
            if not self.broken.is_set():
                self._profiles.close()
            connections.close_all()

    def _turn(self) -> None:
        self._activity.begin(Phase.STEP)
        self._take_in()
        busy = [engine for engine in self._profiles if engine.load]
        for engine in busy:
            self._advance(engine)
        if not busy:
            self._idle()

    def _blame(self, error: Exception) -> None:
        """Find what caused the error, and end that alone.

        1. A device fault: the card is broken, and the process is replaced. What was inside counts this attempt.
        2. A request that was inside by itself caused it, if it was suspected before; else it gets another attempt.
        3. Of several each runs again, alone, on an engine that is loaded again; the attempt does not count.
        """
        job_ids = self._activity.job_ids
        if isinstance(error, EngineBroken) or is_device_fault(error):
            log.error("engine_broken", exc_info=error, extra={"job_ids": sorted(job_ids)})
            self._break(job_ids)
            return
        log.error("engine_failed", exc_info=error, extra={"job_ids": sorted(job_ids)})
        suspects = [held for held in self._all() if held.job.pk in job_ids and not held.publishing]
        for engine in list(self._profiles):
            profiles = self._profiles.profiles_of(engine)
            inside = [held for held in self._all() if held.inside and not held.publishing and held.profile in profiles]
            if not profiles or set(suspects).isdisjoint(inside):
                continue
            self._profiles.drop(engine)
            for held in set(inside).difference(suspects):
                # They were not part of what failed, and begin again.
                held.inside = False
                self._waiting.append(held)
        if not suspects:
            self._faults += 1
            if self._faults >= MOST_FAULTS:
                self._break(frozenset())
            self._leaving.wait(0.1)
        for held in suspects:
            held.inside = False
            if len(suspects) > 1:
                held.alone = held.suspected = True
                self._waiting.append(held)
                continue
            if held in self._waiting:
                self._waiting.remove(held)
            proven = held.suspected or held.job.attempts > 1
            reason = "not_possible" if proven else "engine_failed"
            if is_out_of_memory(error):
                reason = "out_of_memory"
            self._later(held, reason=reason, detail=type(error).__name__, permanent=proven)

    def _idle(self) -> None:
        """Wait for work; while there is none, see now and then that the card still computes."""
        self._activity.begin(Phase.IDLE)
        with self._changed:
            if self._inbox or self._leaving.is_set() or self._changed.wait(0.25 if self._waiting else PROBE_S):
                return
        self._activity.begin(Phase.STEP)
        for engine in self._profiles:
            engine.probe()

    def _take_in(self) -> None:
        with self._changed:
            while self._inbox:
                self._waiting.append(self._inbox.popleft())
        for held in [held for held in self._waiting if held.cancelled or held.lost]:
            self._waiting.remove(held)
            self._gone(held)
        for profile in {held.profile for held in self._waiting}:
            # Not to wait for a free card only to hear the same again.
            if (why := self._profiles.failure(profile)) is not None:
                self._refuse(profile, why)
        admission = self._admission()
        if admission.load is not None:
            self._load(admission.load)
            admission = self._admission()
        joining = set(admission.join)
        for held in [held for held in self._waiting if held.job.pk in joining]:
            self._waiting.remove(held)
            if held.request is not None:
                held.inside = True
                self._activity.begin(Phase.STEP, frozenset({held.job.pk}))
                self._profiles[held.profile].admit(held.request)
                if held.cancelled or held.lost:
                    self._profiles[held.profile].cancel(held.job.pk)

    def _admission(self) -> batch_policy.Admission:
        line = [
            Waiting(
                id=held.job.pk,
                profile=held.profile,
                weight=held.request.weight,
                since=held.since,
                alone=held.alone,
            )
            for held in self._waiting
            if held.request is not None
        ]
        closed = any(held.alone and held.inside and not held.publishing for held in self._all())
        return batch_policy.admit(line, rooms=self._profiles.rooms(), now=self._clock(), closed=closed)

    def _load(self, profile: str) -> None:
        began = self._clock()
        self._activity.begin(Phase.LOADING, frozenset(held.job.pk for held in self._waiting if held.profile == profile))
        try:
            self._capacity = self._profiles.load(profile).room
        except ModelUnavailable as error:
            log.error("model_unavailable", extra={"model": profile, "why": str(error)})
            self._refuse(profile, str(error))
        else:
            log.info("model_loaded", extra={"model": profile, "seconds": round(self._clock() - began, 2)})
        self._activity.begin(Phase.STEP)

    def _refuse(self, profile: str, why: str) -> None:
        """End the requests that wait for a model that cannot be loaded."""
        for held in [held for held in self._waiting if held.profile == profile]:
            self._waiting.remove(held)
            self._later(held, reason="model_unavailable", detail=why, permanent=True)

    def _advance(self, engine: Engine) -> None:
        profiles = self._profiles.profiles_of(engine)
        inside = (held for held in self._all() if held.inside and not held.publishing)
        self._activity.begin(Phase.STEP, frozenset(held.job.pk for held in inside if held.profile in profiles))
        engine.advance(self._emit)

    def _emit(self, event: Event) -> None:
        decodes = isinstance(event, StepDone) and event.step >= event.total
        self._activity.moved(Phase.DECODING if decodes else Phase.STEP)
        held = self._held.get(event.id)
        if held is None:
            return
        if not isinstance(event, StepDone):
            held.gpu_ms = event.gpu_ms
        match event:
            case StepDone():
                self._board.report(event.id, step=event.step, total=event.total)
                if (image := event.preview) is not None:
                    self._desk.put(lambda: self._preview(held, image))
            case Completed():
                held.publishing = True
                self._desk.put(lambda: self._guarded(held, lambda held: self._publish(held, event)))
            case Cancelled():
                self._gone(held)
            case Failed():
                self._later(held, reason=event.reason, detail=event.detail, permanent=event.permanent)

    def _break(self, job_ids: frozenset[int]) -> None:
        """Have the process replaced; this attempt counts for these jobs, which may be why."""
        for held in self._all():
            held.counted |= held.job.pk in job_ids
        self.broken.set()
        self._leaving.set()

    def _preview(self, held: ActiveJob, image: Image.Image) -> None:
        """Show an unfinished image, as far as the guild's rules let finished ones be shown. On the desk."""
        file = self._publisher.preview(held.job, image)
        if file is not None:
            self._board.show_preview(held.job.pk, file)

    # -- publishing and ends, on the desk

    def _publish(self, held: ActiveJob, made: Completed) -> None:
        job = held.job
        if held.lost or self._cancel_late(held):
            self._gone(held)
            return
        if made.truncated_tokens:
            # Looked for first: a task may be done twice, and so may a job.
            JobEvent.objects.get_or_create(
                job=job, kind=PROMPT_TRUNCATED, detail={"tokens": made.truncated_tokens}, defaults={"at": _now()}
            )
        try:
            kept = self._publisher.keep(
                job, made.images, model=held.profile.partition("#")[0], moved=partial(self._moved, held)
            )
        except StorageUnavailable as error:
            self._fail(held, reason="storage_unavailable", detail=str(error), permanent=False)
            return
        except Blocked:
            self._fail(held, reason="output_blocked", permanent=True)
            return
        except CheckUnavailable:
            self._fail(held, reason="output_unchecked", permanent=True)
            return
        if not transitions.record_images(
            job.pk,
            worker_id=self._worker_id,
            images=kept.images,
            grid_key=kept.grid_key,
            gpu_ms=made.gpu_ms,
            now=_now(),
        ):
            job.refresh_from_db(fields=["worker_id", "images_stored_at"])
            if job.worker_id != self._worker_id or job.images_stored_at is None:
                self._gone(held)
                return
        self._deliver(held, grid=kept.grid)

    def _moved(self, held: ActiveJob) -> None:
        """Note that the job's task on the desk goes on."""
        held.moved_at = self._clock()

    def _cancel_late(self, held: ActiveJob) -> bool:
        """Whether the asker's wish came with the last step: no later, for then the pictures are kept."""
        if not held.cancelled:
            held.cancelled = Job.objects.filter(pk=held.job.pk, cancel_requested_at__isnull=False).exists()
        return held.cancelled

    def _deliver(self, held: ActiveJob, *, grid: bytes | None) -> None:
        job = held.job
        if held.posted is None and not self._post(held, grid=grid):
            return
        via, message_id = held.posted or (Job.Via.GALLERY, None)
        ours = transitions.complete(
            job.pk, worker_id=self._worker_id, delivered_via=via, message_id=message_id, now=_now()
        )
        self.jobs_done += ours
        fields = {"job_id": job.pk, "interaction_id": job.interaction_id, "via": via}
        fields["seconds"] = round(self._clock() - held.since, 2)
        if ours:
            since = (_now() - job.created_at).total_seconds()
            counted = {"PicturesMade": (job.count, "Count"), "RequestTime": (round(since, 3), "Seconds")}
            log.info("job_completed", extra=fields | {"metrics": counted})
        else:
            log.info("job_lost", extra=fields)
        self._end(held, Outcome.ENDED if ours else Outcome.NOTHING)

    def _post(self, held: ActiveJob, *, grid: bytes | None) -> bool:
        """Tell of the pictures, once: what comes after may be done again. False where the job goes back into line."""
        job = held.job
        # Before the final message: no edit of the processing message may come after it.
        self._board.close(job.pk)
        blurred = JobImage.objects.filter(job=job, blurred=True).exists()
        if grid is None:
            job.refresh_from_db(fields=["grid_key"])
            grid = self._publisher.fetch(job.grid_key, moved=partial(self._moved, held))
        # From the row: whoever delivers may not be who made them.
        cut = JobEvent.objects.filter(job=job, kind=PROMPT_TRUNCATED).order_by("pk").last()
        truncated_tokens = int(cut.detail.get("tokens", 0)) if cut else 0
        try:
            delivered = self._publisher.post(
                job, grid, blurred=blurred, truncated_tokens=truncated_tokens, moved=partial(self._moved, held)
            )
            held.posted = (delivered.via, delivered.message_id)
        except DiscordError as error:
            if not error.permanent and job.attempts < settings.SPARKLE_MAX_ATTEMPTS:
                self._fail(held, reason="discord_unavailable", detail=str(error), permanent=False)
                return False
            # The images are safe; that Discord would not have them must not cost them. Where it is only away, upkeep
            # delivers them later.
            log.error("not_posted", extra={"job_id": job.pk, "status": error.status, "code": error.code})
            held.posted = (Job.Via.GALLERY if error.permanent else None, None)
        return True

    def _later(self, held: ActiveJob, *, reason: str, detail: str = "", permanent: bool) -> None:
        """Fail on the desk: the engines' thread does not wait for Discord."""
        held.publishing = held.failing = True
        self._desk.put(
            lambda: self._guarded(
                held, lambda held: self._fail(held, reason=reason, detail=detail, permanent=permanent)
            )
        )

    def _fail(self, held: ActiveJob, *, reason: str, detail: str = "", permanent: bool) -> None:
        job = held.job
        self._board.close(job.pk)
        status = transitions.fail(
            job.pk,
            worker_id=self._worker_id,
            reason=reason,
            detail=detail[:500],
            permanent=permanent,
            gpu_ms=held.gpu_ms,
            now=_now(),
        )
        fields = {"job_id": job.pk, "interaction_id": job.interaction_id, "reason": reason, "status": str(status)}
        counted = {"JobsFailed": (int(status == Status.FAILED), "Count")}
        log.warning("job_failed", extra=fields | {"metrics": counted})
        if status == Status.FAILED:
            self._notify_end(job)
        self._end(held, Outcome.NOTHING if status is None else _OUTCOMES[status])

    def _gone(self, held: ActiveJob) -> None:
        """A cancelled job ends here; a lost one, or one whose cancelling was lost too, is someone else's."""
        held.publishing = True
        self._desk.put(lambda: self._guarded(held, self._finish_cancel))

    def _finish_cancel(self, held: ActiveJob) -> None:
        self._board.close(held.job.pk)
        if not held.lost and transitions.finish_cancel(
            held.job.pk, worker_id=self._worker_id, gpu_ms=held.gpu_ms, now=_now()
        ):
            log.info("job_cancelled", extra={"job_id": held.job.pk})
            self._notify_end(held.job)
            self._end(held, Outcome.ENDED)
        else:
            self._end(held, Outcome.NOTHING)

    def _notify_end(self, job: Job) -> None:
        job.refresh_from_db()
        try:
            delivered = self._publisher.notify_end(job)
        except DiscordError as error:
            # Upkeep tells what was not told here.
            log.info("end_not_told", extra={"job_id": job.pk, "status": error.status, "code": error.code})
        else:
            transitions.mark_notified(job.pk, via=delivered.via, message_id=delivered.message_id, now=_now())

    def _guarded(self, held: ActiveJob, task: Callable[[ActiveJob], None]) -> None:
        """Do one task of the job; whatever goes wrong, its future ends and its row is not left running by us."""
        held.moved_at = self._clock()
        try:
            task(held)
        except ShuttingDown:
            self._release_held(held)
        except DatabaseError as error:
            log.warning("database_away", extra={"job_id": held.job.pk, "error": type(error).__name__})
            self._retry(held, task)
        except StorageUnavailable as error:
            self._later(held, reason="storage_unavailable", detail=str(error), permanent=False)
        except Exception as error:
            log.exception("job_task_failed", extra={"job_id": held.job.pk})
            if held.failing:
                # Even failing failed: the lease runs out, and upkeep takes the job back.
                self._end(held, Outcome.NOTHING)
            else:
                self._later(held, reason="failed", detail=type(error).__name__, permanent=False)
        finally:
            held.moved_at = None

    def _retry(self, held: ActiveJob, task: Callable[[ActiveJob], None]) -> None:
        """The database was away: every step of a task may be done twice, so do it again in a while."""
        if self._leaving.wait(1.0):
            self._release_held(held)
        else:
            self._desk.put(lambda: self._guarded(held, task))

    def _release_held(self, held: ActiveJob) -> None:
        job_id = held.job.pk
        with self._changed:
            if held.returning:
                return
            held.returning = True
        close_old_connections()
        if held.counted:
            self._settle(held, self._count(held))
            return
        try:
            given = transitions.release(
                job_id, worker_id=self._worker_id, gpu_ms=held.gpu_ms, now=_now(), resend=self._resend_on_release
            )
        except DatabaseError as error:
            # The lease runs out by itself.
            log.warning("not_given_back", extra={"job_id": job_id, "error": type(error).__name__})
            given = True
        log.info("job_given_back", extra={"job_id": job_id, "ours": given})
        self._settle(held, Outcome.GIVEN_BACK if given else Outcome.NOTHING)

    def _count(self, held: ActiveJob) -> Outcome:
        """Return a job to the queue that was in what is stuck or broken; its last attempt ends it."""
        job_id = held.job.pk
        try:
            status = transitions.fail(
                job_id, worker_id=self._worker_id, reason="engine_failed", permanent=False, now=_now()
            )
        except DatabaseError as error:
            # The lease runs out by itself, and that counts too.
            log.warning("not_given_back", extra={"job_id": job_id, "error": type(error).__name__})
            return Outcome.NOTHING
        log.warning("job_failed", extra={"job_id": job_id, "reason": "engine_failed", "status": str(status)})
        return Outcome.NOTHING if status is None else _OUTCOMES[status]

    def _end(self, held: ActiveJob, outcome: Outcome) -> None:
        with self._changed:
            # A row that is being given back looks like someone else's, and its message must not be deleted for that.
            if held.returning and outcome is Outcome.NOTHING:
                return
        self._settle(held, outcome)

    def _settle(self, held: ActiveJob, outcome: Outcome) -> None:
        with self._changed:
            if self._held.get(held.job.pk) is not held:
                return
            del self._held[held.job.pk]
        held.outcome.set_result(outcome)
        if outcome == Outcome.ENDED:
            self._desk.put(lambda: job_spans.record_job_spans(held.job.pk))

    def _mark_stopping(self, job_id: int, *, lost: bool) -> None:
        held = self._held.get(job_id)
        if held is None or held.cancelled or held.lost:
            return
        held.cancelled, held.lost = not lost, lost
        for engine in self._profiles:
            engine.cancel(job_id)
        with self._changed:
            self._changed.notify_all()

    def _all(self) -> list[ActiveJob]:
        with self._changed:
            return list(self._held.values())


def profile_of(job: Job) -> str:
    """Return what the job's engine is loaded by: the model's source, and its step cache after a "#"."""
    source = job.model.source or settings.MODEL_ID
    return f"{source}#{job.model.step_cache}" if job.model.step_cache else source


def _answered(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future


def _now() -> datetime:
    return datetime.now(UTC)
