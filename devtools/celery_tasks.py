"""Celery's tasks: run a job with the worker's own runner, and upkeep each minute."""

from __future__ import annotations

import logging
import os
import signal
import time
from datetime import UTC, datetime
from typing import Any

from celery.signals import worker_init, worker_shutdown
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError

from gpu_worker import factory
from gpu_worker.engine import ModelUnavailable
from gpu_worker.engine_cache import EngineCache
from gpu_worker.job_runner import Runner
from jobs import upkeep as housekeeping
from jobs.dispatch import codec
from jobs.dispatch.codec import BadMessage

from .celery_app import app

log = logging.getLogger(__name__)

LEAVE_WITHIN_S = 8.0
_runner: Runner | None = None


@worker_init.connect
def _start(**_: Any) -> None:
    """Load the model before the first message; without it the worker does not start."""
    global _runner  # noqa: PLW0603  # one a process: Celery's signals have nowhere else to keep it
    began = time.monotonic()
    try:
        load, free_bytes = factory.make_engine_loader()
        engines = EngineCache(load, free_bytes=free_bytes, max_engines=factory.MAX_ENGINES)
        engines.load(settings.MODEL_ID)
    except (ModelUnavailable, ImproperlyConfigured) as error:
        raise SystemExit(f"The model {settings.MODEL_ID} cannot be loaded: {error}") from error
    startup = {"model": round(time.monotonic() - began, 3)}
    _runner = factory.build_worker(resend_on_release=True, engines=engines, startup=lambda: startup)
    _runner.start()


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    if _runner is not None:
        _runner.stop(within_s=LEAVE_WITHIN_S)


@app.task(name="devtools.celery_tasks.run_job")
def run_job(body: str) -> None:
    """Give the job to the runner and return. It joins the running batch."""
    assert _runner is not None
    while not _runner.free_slots and not _runner.fatal_error.is_set():
        time.sleep(0.05)
    if _runner.fatal_error.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
        return
    try:
        _runner.submit(codec.decode(body))
    except BadMessage as error:
        log.error("bad_message", extra={"why": str(error)})
    except DatabaseError as error:
        # upkeep sends a message for it again.
        log.warning("job_out_of_reach", extra={"error": type(error).__name__})


@app.task(name="devtools.celery_tasks.upkeep")
def upkeep() -> None:
    """Run upkeep, as EventBridge does each minute."""
    housekeeping.run(now=datetime.now(UTC))
