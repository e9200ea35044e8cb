"""Renews the leases while work makes progress, and reports which jobs were cancelled or lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from django.db import Error as DatabaseError
from django.db import close_old_connections, connections

from guilds.models import Platform
from jobs import transitions
from jobs.models import Worker

from . import health
from .ecs_rollout import Deployment
from .scale_in_protection import ScaleInProtection
from .watchdog import Stuck

log = logging.getLogger(__name__)

BEAT_S = 1.0  # also how long a cancel may go unnoticed between two steps
REPORT_S = 5.0
MAX_BACK_OFF_S = 8.0


class HeartbeatTarget(Protocol):
    """What the heartbeat needs from gpu_worker.job_runner.Runner."""

    is_draining: bool

    @property
    def jobs_done(self) -> int: ...
    @property
    def active_ids(self) -> frozenset[int]: ...
    def find_stuck(self) -> tuple[Stuck, ...]: ...
    def abandon(self, stuck: Stuck) -> None: ...
    def cancel(self, job_id: int) -> None: ...
    def mark_lost(self, job_id: int) -> None: ...


class HeartbeatThread:
    """One thread. While the database is unavailable it backs off, and then it resumes.

    Leases, scale-in protection and the health file are renewed only for work that makes progress. Work that exceeds its
    bound (gpu_worker.watchdog) has the process replaced.
    """

    def __init__(
        self,
        *,
        worker_id: str,
        protection: ScaleInProtection,
        deployment: Deployment | None = None,
        worker_fields: Callable[[], dict[str, Any]] = dict,
        beat_s: float = BEAT_S,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`worker_fields` returns this worker's model_id, device and startup. `on_beat` is called at each beat."""
        self._on_beat = on_beat
        self._worker_id = worker_id
        self._protection = protection
        self._deployment = deployment or Deployment("")
        self._worker_fields = worker_fields
        self._beat_s = beat_s
        self._stopping = threading.Event()
        self._reported_at = float("-inf")
        self._missing_ids: frozenset[int] = frozenset()
        self._health_error = ""
        self._thread: threading.Thread | None = None

    def start(self, runner: HeartbeatTarget) -> None:
        self._thread = threading.Thread(target=self._run, args=(runner,), name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(2)

    def _run(self, runner: HeartbeatTarget) -> None:
        failures = 0
        try:
            while not self._stopping.wait(min(self._beat_s * 2**failures, MAX_BACK_OFF_S)):
                try:
                    close_old_connections()
                    self._beat(runner)
                    failures = 0
                except DatabaseError as error:
                    failures = min(failures + 1, 8)
                    log.warning("heartbeat_missed", extra={"in_a_row": failures, "error": type(error).__name__})
                except Exception:
                    failures = min(failures + 1, 8)
                    log.exception("heartbeat_failed")
            self._report(runner, Worker.State.LEAVING)
        except DatabaseError:
            log.warning("shutdown_not_reported")
        finally:
            connections.close_all()

    def _beat(self, runner: HeartbeatTarget) -> None:
        # Before the database: its outage must not replace the container, and must not hide a stuck engine.
        self._on_beat()
        stuck = runner.find_stuck()
        for work in stuck:
            runner.abandon(work)
        if not stuck:
            self._mark_healthy()
        # A worker that is being replaced ends what it has and takes nothing new: then its protection ends too.
        superseded = self._deployment.is_superseded(now=time.monotonic())
        runner.is_draining = superseded or Platform.objects.filter(draining=True).exists()
        stuck_ids = frozenset(job_id for work in stuck for job_id in work.job_ids)
        active_ids = runner.active_ids - stuck_ids
        if active_ids:
            renewal = transitions.renew(active_ids, worker_id=self._worker_id, now=datetime.now(UTC))
            # A job that ended during the renewal is no longer active.
            active_ids &= runner.active_ids
            for job_id in active_ids & renewal.cancel:
                runner.cancel(job_id)
            missing_ids = active_ids - renewal.ours
            # Missing at two beats: a job that failed and was claimed again in between is missing at only one.
            for job_id in missing_ids & self._missing_ids:
                runner.mark_lost(job_id)
            self._missing_ids = missing_ids
        now = time.monotonic()
        self._protection.set_busy(bool(active_ids), now=now)
        if now - self._reported_at >= REPORT_S:
            self._report(runner, Worker.State.BUSY if active_ids else Worker.State.READY)
            self._reported_at = now

    def _mark_healthy(self) -> None:
        try:
            health.mark_healthy()
            self._health_error = ""
        except OSError as error:
            # The health check notices it. The leases must still be renewed.
            if str(error) != self._health_error:
                log.error("health_file_not_written", extra={"error": str(error)})
            self._health_error = str(error)

    def _report(self, runner: HeartbeatTarget, state: Worker.State) -> None:
        Worker.objects.update_or_create(
            id=self._worker_id,
            defaults={
                **self._worker_fields(),
                "state": state,
                "seen_at": datetime.now(UTC),
                "jobs_done": runner.jobs_done,
            },
        )
