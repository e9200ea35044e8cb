"""`python -m gpu_worker`: serve the queue until told to leave.

Exit status: 0 after SIGTERM or SIGINT, 2 when the model, a setting or the schema is wrong, 70 when the card broke or
work was stuck, 1 when not even the heartbeat ran any more.
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
    from .runner import Runner
    from .sqs_consumer import SqsSource

log = logging.getLogger("gpu_worker")

LEAVE_WITHIN_S = 9.7
STOP_WITHIN_S = 9.0
SILENT_S = 60.0  # beyond the longest bound: a heartbeat may have to wait for the database


class Stopwatch:
    """Seconds by stage of the start."""

    def __init__(self, began: float) -> None:
        self._began = self._last = began
        self.stages: dict[str, float] = {}

    def stage(self, name: str) -> None:
        now = time.monotonic()
        self.stages[name] = round(now - self._last, 3)
        self.stages["total"] = round(now - self._began, 3)
        self._last = now


def _behind() -> list[str]:
    """What the database lacks. Nothing where it is away: then jobs wait for it, and nothing can be claimed."""
    from django.db import Error

    from jobs import migration_check

    try:
        return migration_check.missing_migrations()
    except Error as error:
        log.warning("schema_not_checked", extra={"error": type(error).__name__})
        return []


def _exit_after(seconds: float) -> None:
    """End the process, with its threads' stacks on stderr, unless this is called again before the time is over."""
    faulthandler.dump_traceback_later(seconds, exit=True)


def _stop(source: SqsSource, runner: Runner) -> None:
    """Release every job, in bounded time."""
    _exit_after(LEAVE_WITHIN_S + 5)
    log.info("worker_leaving", extra={"fatal_error": runner.fatal_error.is_set()})
    gone_at = time.monotonic() + LEAVE_WITHIN_S
    source.stop()
    runner.stop(within_s=STOP_WITHIN_S)
    source.join(max(0.0, gone_at - time.monotonic()))
    log.info("worker_left", extra={"jobs_done": runner.jobs_done})


def main() -> int:
    watch = Stopwatch(BEGAN)
    malloc.configure_malloc()
    leave = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: leave.set())

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkle_site.settings.headless")
    import django
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
        from django.conf import settings
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if behind := _behind():
        sys.stderr.write(f"The database is older than this worker: migrate it first. It lacks {', '.join(behind)}.\n")
        return 2
    watch.stage("django")

    from jobs.dispatch import sqs

    from . import factory
    from .engine import EngineBroken, ModelUnavailable
    from .engine_cache import EngineCache
    from .sqs_consumer import LONG_POLL_S, SqsSource

    try:
        load, free = factory.engine_loader()
        watch.stage("libraries")
        bounds = factory.bounds()
        _exit_after(bounds.loading_s)
        engines = EngineCache(load, free=free, most=factory.MODELS_AT_ONCE)
        engines.load(settings.MODEL_ID)
    except (ModelUnavailable, ImproperlyConfigured, EngineBroken) as error:
        # No job is touched: a deployment that cannot draw is rolled back by its circuit breaker.
        log.error("model_unavailable", extra={"model": settings.MODEL_ID, "why": str(error)})
        return 70 if isinstance(error, EngineBroken) else 2
    watch.stage("model")

    # A library may hang and hold the interpreter's lock, so that no heartbeat runs that could see it.
    silent_s = max(bounds.step_s, bounds.decoding_s) + SILENT_S
    _exit_after(silent_s)
    try:
        runner = factory.build_worker(
            resend_on_release=False,
            engines=engines,
            startup=lambda: watch.stages,
            on_beat=lambda: None if leave.is_set() else _exit_after(silent_s),
        )
    except ImproperlyConfigured as error:
        log.error("settings_wrong", extra={"why": str(error)})
        return 2
    source = SqsSource(
        sqs.client(read_timeout_s=LONG_POLL_S + 5),
        settings.SQS_QUEUE_URL,
        visibility_s=settings.SPARKLE_LEASE_SECONDS + 10,
    )
    runner.start()
    source.start(runner)
    watch.stage("ready")
    log.info("worker_ready", extra=watch.stages)

    while not leave.wait(0.2) and not runner.fatal_error.is_set():
        pass
    leave.set()
    _stop(source, runner)
    return 70 if runner.fatal_error.is_set() else 0


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # Threads of libraries may still be at work; nothing is left that they could finish.
    os._exit(status)
