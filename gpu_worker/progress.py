"""Edits the processing message: the newest step, within Discord's rate limit, and never after the final message."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import Error as DatabaseError
from django.db import close_old_connections, connections

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError
from discord_api.payloads import File
from jobs import delivery, progress_messages, transitions
from jobs.models import Job

log = logging.getLogger(__name__)

# Discord allows five edits of a message in five seconds. Half of that leaves one for the final message.
INTERVAL_S = 2.0
# A fast worker may have the job before the interaction's response has reached Discord.
FIRST_EDIT_AFTER_S = 1.0
THREADS = 2


@dataclass(slots=True, kw_only=True, eq=False)
class _Report:
    job: Job
    step: int = 0
    total: int = 0
    preview: File | None = None
    has_changed: bool = True
    is_sending: bool = False
    is_muted: bool = False
    due_at: float = 0.0


class ProgressReporter:
    """Shows the steps of all running jobs, from its own threads. Start it once. Thread-safe."""

    def __init__(
        self,
        *,
        client: DiscordClient,
        worker_id: str,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._worker_id = worker_id
        self._stop: Callable[[int], None] = _ignore_stop
        self._interval_s = interval_s
        self._clock = clock
        self._reports: dict[int, _Report] = {}
        self._changed = threading.Condition()
        self._is_closing = False
        self._edits_in_progress = 0
        self._threads = [
            threading.Thread(target=self._run, name=f"progress-{number}", daemon=True) for number in range(THREADS)
        ]

    def start(self, *, stop: Callable[[int], None]) -> None:
        """`stop` is called with the id of a job whose row says that it must stop."""
        self._stop = stop
        for thread in self._threads:
            thread.start()

    def open(self, job: Job) -> None:
        """Show that the job is being processed."""
        age = (datetime.now(UTC) - job.created_at).total_seconds()
        with self._changed:
            self._reports[job.pk] = _Report(job=job, due_at=self._clock() + max(0.0, FIRST_EDIT_AFTER_S - age))
            self._changed.notify()

    def report(self, job_id: int, *, step: int, total: int) -> None:
        """Show a step at the next edit, unless a newer one comes before."""
        with self._changed:
            report = self._reports.get(job_id)
            if report is not None:
                report.step, report.total, report.has_changed = step, total, True
                self._changed.notify()

    def show_preview(self, job_id: int, preview: File) -> None:
        """Show the unfinished image from the next edit on."""
        with self._changed:
            report = self._reports.get(job_id)
            if report is not None:
                report.preview, report.has_changed = preview, True
                self._changed.notify()

    def close(self, job_id: int) -> None:
        """Stop editing this job's message. Return when no edit is in progress: the final message may follow."""
        with self._changed:
            report = self._reports.pop(job_id, None)
            while report is not None and report.is_sending:
                self._changed.wait(1.0)

    def stop(self, *, within_s: float) -> None:
        """Stop all edits. Return when no edit is in progress, at the latest after `within_s`.

        Another worker may post a released job's final message at once, and no edit of this worker may follow it.
        """
        with self._changed:
            self._is_closing = True
            self._reports = {job_id: report for job_id, report in self._reports.items() if report.is_sending}
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._edits_in_progress, timeout=within_s)

    def join(self, timeout_s: float) -> None:
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while (report := self._next()) is not None:
                step, total, preview = report.step, report.total, report.preview
                wait_s = self._interval_s
                try:
                    wait_s = self._show(report, step, total, preview)
                except Exception:
                    log.exception("progress_failed", extra={"job_id": report.job.pk})
                    report.is_muted = True
                with self._changed:
                    report.is_sending = False
                    self._edits_in_progress -= 1
                    report.due_at = self._clock() + wait_s
                    self._changed.notify_all()
        finally:
            connections.close_all()

    def _next(self) -> _Report | None:
        with self._changed:
            while not self._is_closing:
                now = self._clock()
                waiting = [report for report in self._reports.values() if report.has_changed and not report.is_sending]
                due = min(waiting, key=lambda report: report.due_at, default=None)
                if due is not None and due.due_at <= now:
                    due.has_changed, due.is_sending = False, True
                    self._edits_in_progress += 1
                    return due
                self._changed.wait(due.due_at - now if due is not None else None)
            return None

    def _show(self, report: _Report, step: int, total: int, preview: File | None) -> float:
        """Write the row and edit the message. Return the seconds until the next edit."""
        job, now = report.job, datetime.now(UTC)
        close_old_connections()
        try:
            if step and not transitions.record_progress(
                job.pk, worker_id=self._worker_id, step=step, total=total, now=now
            ):
                self._stop(job.pk)
                return self._interval_s
        except DatabaseError as error:
            log.warning("progress_not_written", extra={"job_id": job.pk, "error": type(error).__name__})
        if report.is_muted or not delivery.can_edit_reply(job, now=now):
            return self._interval_s
        message = progress_messages.processing(job, step=step, total=total, preview=preview)
        try:
            # Skip delayed edits: they would be stale.
            shown = self._client.edit_original(job.token, message, may_wait=False)
            delivery.save_reply_id(job, int(shown["id"]))
        except DiscordError as error:
            # At first Discord may not know the reply yet.
            if error.permanent and now - job.created_at >= delivery.OPENING:
                report.is_muted = True
            return 5 * self._interval_s if report.is_muted or not error.permanent else self._interval_s
        except DatabaseError as error:
            log.warning("progress_not_written", extra={"job_id": job.pk, "error": type(error).__name__})
        return self._interval_s


def _ignore_stop(_job_id: int) -> None:
    return None
