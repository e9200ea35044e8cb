"""Renews the leases for as long as the work takes, and carries back what the rows say: stop this one, lost that one."""

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
from .scale_in_protection import ScaleInProtection
from .watchdog import Stuck

log = logging.getLogger(__name__)

BEAT_S = 1.0  # also the longest that cancelling takes to be noticed between two steps
REPORT_S = 5.0
LONGEST_BACK_OFF_S = 8.0


class HeartbeatTarget(Protocol):
    """What the heart beats for."""

    is_draining: bool

    @property
    def jobs_done(self) -> int: ...
    @property
    def active_ids(self) -> frozenset[int]: ...
    def stuck(self) -> tuple[Stuck, ...]: ...
    def abandon(self, stuck: Stuck) -> None: ...
    def cancel(self, job_id: int) -> None: ...
    def mark_lost(self, job_id: int) -> None: ...


class HeartbeatThread:
    """One thread. It outlives a database that is away: it backs off and resumes.

    Leases, scale-in protection and the note of health are renewed for work that moves, and for no other. Work that
    exceeds its bound (gpu_worker.watchdog) has the process replaced.
    """

    def __init__(
        self,
        *,
        worker_id: str,
        protection: ScaleInProtection,
        facts: Callable[[], dict[str, Any]] = dict,
        beat_s: float = BEAT_S,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """`facts` are fields of this worker's row (model_id, device, startup). `on_beat` is called at each beat."""
        self._on_beat = on_beat
        self._worker_id = worker_id
        self._protection = protection
        self._facts = facts
        self._beat_s = beat_s
        self._stopping = threading.Event()
        self._reported = float("-inf")
        self._missing: frozenset[int] = frozenset()
        self._health_error = ""
        self._thread: threading.Thread | None = None

    def start(self, runner: HeartbeatTarget) -> None:
        self._thread = threading.Thread(target=self._live, args=(runner,), name="heart", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(2)

    def _live(self, runner: HeartbeatTarget) -> None:
        failures = 0
        try:
            while not self._stopping.wait(min(self._beat_s * 2**failures, LONGEST_BACK_OFF_S)):
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
            log.warning("leaving_not_reported")
        finally:
            connections.close_all()

    def _beat(self, runner: HeartbeatTarget) -> None:
        # First: a database that is away is no reason to replace the container, and a stuck engine is without it too.
        self._on_beat()
        stuck = runner.stuck()
        for each in stuck:
            runner.abandon(each)
        if not stuck:
            self._note_health()
        runner.is_draining = Platform.objects.filter(draining=True).exists()
        unmoved = frozenset(job_id for each in stuck for job_id in each.job_ids)
        held = runner.active_ids - unmoved
        if held:
            standing = transitions.renew(held, worker_id=self._worker_id, now=datetime.now(UTC))
            # Both read before: a job that ended in between is in neither.
            held &= runner.active_ids
            for job_id in held & standing.cancel:
                runner.cancel(job_id)
            missing = held - standing.ours
            # At two beats: one that failed and was claimed again between the reads is missing at one of them only.
            for job_id in missing & self._missing:
                runner.mark_lost(job_id)
            self._missing = missing
        now = time.monotonic()
        self._protection.keep(bool(held), now=now)
        if now - self._reported >= REPORT_S:
            self._report(runner, Worker.State.BUSY if held else Worker.State.READY)
            self._reported = now

    def _note_health(self) -> None:
        try:
            health.note()
            self._health_error = ""
        except OSError as error:
            # The health check will find it; the leases must be renewed all the same.
            if str(error) != self._health_error:
                log.error("health_file_not_written", extra={"error": str(error)})
            self._health_error = str(error)

    def _report(self, runner: HeartbeatTarget, state: Worker.State) -> None:
        Worker.objects.update_or_create(
            id=self._worker_id,
            defaults={**self._facts(), "state": state, "seen_at": datetime.now(UTC), "jobs_done": runner.jobs_done},
        )
