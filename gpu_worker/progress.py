"""The processing message: edited as often as Discord allows, with the newest step, never after the final message."""

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
from jobs import delivery, messages, transitions
from jobs.models import Job

log = logging.getLogger(__name__)

# Discord counts five edits in five seconds a message; half of it leaves room for the final one.
INTERVAL_S = 2.0
# The answer that opens the token may still be on its way when a fast worker has the job.
OPENS_AFTER_S = 1.0
THREADS = 2


@dataclass(slots=True, kw_only=True, eq=False)
class _Report:
    job: Job
    step: int = 0
    total: int = 0
    preview: File | None = None
    dirty: bool = True
    busy: bool = False
    mute: bool = False
    due: float = 0.0


class ProgressReporter:
    """Shows the steps of all running jobs from threads of its own. Start it once; thread-safe."""

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
        self._stop: Callable[[int], None] = _nobody
        self._interval_s = interval_s
        self._clock = clock
        self._lines: dict[int, _Report] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._under_way = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"progress-{number}", daemon=True) for number in range(THREADS)
        ]

    def start(self, *, stop: Callable[[int], None]) -> None:
        """`stop` is told the id of a job whose row says that it should not go on."""
        self._stop = stop
        for thread in self._threads:
            thread.start()

    def open(self, job: Job) -> None:
        """Say that the job is being processed."""
        age = (datetime.now(UTC) - job.created_at).total_seconds()
        with self._changed:
            self._lines[job.pk] = _Report(job=job, due=self._clock() + max(0.0, OPENS_AFTER_S - age))
            self._changed.notify()

    def report(self, job_id: int, *, step: int, total: int) -> None:
        """Note a step; it is shown when the next edit is due, unless a newer one comes before."""
        with self._changed:
            line = self._lines.get(job_id)
            if line is not None:
                line.step, line.total, line.dirty = step, total, True
                self._changed.notify()

    def show_preview(self, job_id: int, preview: File) -> None:
        """Show the unfinished image from the next edit on."""
        with self._changed:
            line = self._lines.get(job_id)
            if line is not None:
                line.preview, line.dirty = preview, True
                self._changed.notify()

    def close(self, job_id: int) -> None:
        """Stop editing this job's message, and return when no edit is under way: the next one may be the last."""
        with self._changed:
            line = self._lines.pop(job_id, None)
            while line is not None and line.busy:
                self._changed.wait(1.0)

    def stop(self, *, within_s: float) -> None:
        """Edit no message any more, and return when no edit is under way; at the latest after `within_s`.

        The next worker may post the final message at once, and no edit of ours may come after it.
        """
        with self._changed:
            self._closing = True
            self._lines = {job_id: line for job_id, line in self._lines.items() if line.busy}
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._under_way, timeout=within_s)

    def join(self, timeout_s: float) -> None:
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)

    def _work(self) -> None:
        try:
            while (line := self._next()) is not None:
                step, total, preview = line.step, line.total, line.preview
                wait_s = self._interval_s
                try:
                    wait_s = self._show(line, step, total, preview)
                except Exception:
                    log.exception("progress_failed", extra={"job_id": line.job.pk})
                    line.mute = True
                with self._changed:
                    line.busy = False
                    self._under_way -= 1
                    line.due = self._clock() + wait_s
                    self._changed.notify_all()
        finally:
            connections.close_all()

    def _next(self) -> _Report | None:
        with self._changed:
            while not self._closing:
                now = self._clock()
                waiting = [line for line in self._lines.values() if line.dirty and not line.busy]
                due = min(waiting, key=lambda line: line.due, default=None)
                if due is not None and due.due <= now:
                    due.dirty, due.busy = False, True
                    self._under_way += 1
                    return due
                self._changed.wait(due.due - now if due is not None else None)
            return None

    def _show(self, line: _Report, step: int, total: int, preview: File | None) -> float:
        """Write the row and edit the message; return the seconds until the next edit."""
        job, now = line.job, datetime.now(UTC)
        close_old_connections()
        try:
            if step and not transitions.record_progress(
                job.pk, worker_id=self._worker_id, step=step, total=total, now=now
            ):
                self._stop(job.pk)
                return self._interval_s
        except DatabaseError as error:
            log.warning("progress_not_written", extra={"job_id": job.pk, "error": type(error).__name__})
        if line.mute or not delivery.can_edit_reply(job, now=now):
            return self._interval_s
        message = messages.processing(job, step=step, total=total, preview=preview)
        try:
            # What would have to wait is old by then.
            shown = self._client.edit_original(job.token, message, may_wait=False)
            delivery.save_reply_id(job, int(shown["id"]))
        except DiscordError as error:
            # Early on the reply may only be unknown to Discord as yet.
            if error.permanent and now - job.created_at >= delivery.OPENING:
                line.mute = True
            return 5 * self._interval_s if line.mute or not error.permanent else self._interval_s
        except DatabaseError as error:
            log.warning("progress_not_written", extra={"job_id": job.pk, "error": type(error).__name__})
        return self._interval_s


def _nobody(_job_id: int) -> None:
    return None
