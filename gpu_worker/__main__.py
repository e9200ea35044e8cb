"""`python -m gpu_worker`: serve the queue until a signal stops it.

Exit status: 0 after SIGTERM or SIGINT; 2 when the model, a setting or the schema is wrong; 70 when the GPU is broken or
work is stuck; 1 when even the heartbeat has stopped.
"""

from __future__ import annotations

import time

BEGAN = time.monotonic()

import faulthandler  # noqa: E402  # the start is timed from its first line
import logging  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from . import malloc  # noqa: E402

if TYPE_CHECKING:
    from .engine_cache import EngineCache
    from .job_runner import Runner
    from .sqs_consumer import SqsConsumer

log = logging.getLogger("gpu_worker")

SHUTDOWN_S = 9.7
RUNNER_STOP_S = 9.0
HEARTBEAT_TIMEOUT_S = 60.0  # beyond the longest bound: a heartbeat may have to wait for the database
STATUS_MISCONFIGURED = 2
STATUS_BROKEN = 70


class StartFailed(Exception):
    """The worker cannot start. The reason is logged or on stderr; `status` is the exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Stopwatch:
    """Measures the seconds of each stage of the start."""

    def __init__(self, began: float) -> None:
        self._began = self._last = began
        self.stages: dict[str, float] = {}

    def end_stage(self, name: str) -> None:
        now = time.monotonic()
        self.stages[name] = round(now - self._last, 3)
        self.stages["total"] = round(now - self._began, 3)
        self._last = now


def main() -> int:
    """Start, serve until a signal or a fatal error, release every job, and return the exit status."""
    watch = Stopwatch(BEGAN)
    malloc.configure_malloc()
    stopping = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopping.set())
    try:
        _setup_django()
        watch.end_stage("django")
        engines = _load_engines(watch)
        watch.end_stage("model")
        runner, consumer = _build(engines, watch=watch, stopping=stopping)
    except StartFailed as failed:
        return failed.status
    runner.start()
    consumer.start(runner)
    watch.end_stage("ready")
    _note_when_asked(watch)
    log.info("worker_ready", extra=watch.stages)

    while not stopping.wait(0.2) and not runner.fatal_error.is_set():
        pass
    stopping.set()
    _stop(consumer, runner)
    return STATUS_BROKEN if runner.fatal_error.is_set() else 0


def _setup_django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkle_site.settings.headless")
    import django
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        raise StartFailed(STATUS_MISCONFIGURED) from error
    if missing := _missing_migrations():
        names = ", ".join(missing)
        sys.stderr.write(f"The database is older than this worker: migrate it first. It lacks {names}.\n")
        raise StartFailed(STATUS_MISCONFIGURED)


def _missing_migrations() -> list[str]:
    """Return what the database lacks, or nothing while it is unavailable: then no job can be claimed either."""
    from django.db import Error

    from jobs import migration_check

    try:
        return migration_check.missing_migrations()
    except Error as error:
        log.warning("schema_not_checked", extra={"error": type(error).__name__})
        return []


def _load_engines(watch: Stopwatch) -> EngineCache:
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from . import factory
    from .engine import EngineBroken, ModelUnavailable
    from .engine_cache import EngineCache

    try:
        load, free_bytes = factory.make_engine_loader()
        watch.end_stage("libraries")
        _exit_after(factory.read_bounds().loading_s)
        engines = EngineCache(load, free_bytes=free_bytes, max_engines=factory.MAX_ENGINES)
        engines.load(settings.MODEL_ID)
    except (ModelUnavailable, ImproperlyConfigured, EngineBroken) as error:
        # No job is claimed yet: the deployment's circuit breaker rolls a worker back that cannot generate.
        log.error("model_unavailable", extra={"model": settings.MODEL_ID, "why": str(error)})
        is_broken = isinstance(error, EngineBroken)
        raise StartFailed(STATUS_BROKEN if is_broken else STATUS_MISCONFIGURED) from error
    if settings.SPARKLE_ENGINE == "diffusers":
        _adopt_family()
    return engines


def _adopt_family() -> None:
    from django.conf import settings
    from django.db import Error

    from . import deployment_model, diffusers_engine

    try:
        deployment_model.adopt_family(diffusers_engine.family_of(settings.MODEL_ID))
    except Error as error:
        # The next start does it.
        log.warning("model_family_not_checked", extra={"error": type(error).__name__})


def _build(engines: EngineCache, *, watch: Stopwatch, stopping: threading.Event) -> tuple[Runner, SqsConsumer]:
    """Return the runner and its consumer, not started yet."""
    from datetime import UTC, datetime

    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from jobs import relaxed_promotion
    from jobs.dispatch import sqs

    from . import factory
    from .sqs_consumer import LONG_POLL_S, SqsConsumer

    # A library may hang while it holds the interpreter's lock: then no heartbeat can run and notice it.
    bounds = factory.read_bounds()
    timeout_s = max(bounds.step_s, bounds.decoding_s) + HEARTBEAT_TIMEOUT_S
    _exit_after(timeout_s)
    try:
        runner = factory.build_worker(
            resend_on_release=False,
            engines=engines,
            startup=lambda: watch.stages,
            on_beat=lambda: None if stopping.is_set() else _exit_after(timeout_s),
        )
    except ImproperlyConfigured as error:
        log.error("settings_wrong", extra={"why": str(error)})
        raise StartFailed(STATUS_MISCONFIGURED) from error
    consumer = SqsConsumer(
        sqs.client(read_timeout_s=LONG_POLL_S + 5),
        settings.SQS_QUEUE_URL,
        visibility_s=settings.SPARKLE_LEASE_SECONDS + 10,
        on_idle=lambda most: relaxed_promotion.promote_relaxed(now=datetime.now(UTC), most=most),
    )
    return runner, consumer


def _note_when_asked(watch: Stopwatch) -> None:
    """Note how long ago the job was queued that this worker was started for: what the next one is promised by."""
    from datetime import UTC, datetime

    from django.db import DatabaseError

    from jobs import fair_queue

    try:
        asked_s = fair_queue.oldest_queued_s(now=datetime.now(UTC))
    except DatabaseError:
        log.warning("start_not_measured")
        return
    # A job that is younger than this process asked for no worker.
    if asked_s is not None and asked_s >= watch.stages["total"]:
        watch.stages["asked"] = round(asked_s, 3)


def _stop(consumer: SqsConsumer, runner: Runner) -> None:
    """Release every job, in bounded time."""
    _exit_after(SHUTDOWN_S + 5)
    log.info("worker_stopping", extra={"fatal_error": runner.fatal_error.is_set()})
    deadline = time.monotonic() + SHUTDOWN_S
    consumer.stop()
    runner.stop(within_s=RUNNER_STOP_S)
    consumer.join(max(0.0, deadline - time.monotonic()))
    log.info("worker_stopped", extra={"jobs_done": runner.jobs_done})


def _exit_after(seconds: float) -> None:
    """End the process, with its threads' stacks on stderr, unless this is called again within `seconds`."""
    faulthandler.dump_traceback_later(seconds, exit=True)


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # Threads of libraries may still be running. Nothing is left for them to finish.
    os._exit(status)
