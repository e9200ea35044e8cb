"""A few threads for work without the GPU: encoding, uploads, Discord, rows."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from django.db import close_old_connections, connections

log = logging.getLogger(__name__)
Task = Callable[[], None]


class TaskPool:
    """Runs tasks in order of arrival. Each thread has its own database connection and closes it at its end."""

    def __init__(self, *, threads: int) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"task-{number}", daemon=True) for number in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def put(self, task: Task) -> None:
        self._tasks.put(task)

    def stop(self, *, timeout_s: float) -> bool:
        """Run the tasks put so far and end the threads. Return False when that takes longer than `timeout_s`."""
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        try:
            while (task := self._tasks.get()) is not None:
                close_old_connections()
                try:
                    task()
                except Exception:
                    log.exception("pool_task_failed")
        finally:
            connections.close_all()
