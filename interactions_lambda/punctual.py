"""Discord waits 3 s. What is slow behind us is stopped in time for an honest answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import OperationalError

from jobs.dispatch.doorbell import Dispatcher, DispatchFailed, Doorbell, current

# A statement may still take its own time-out (1.5 s) after this.
LAST_STATEMENT_S = 1.2
LAST_RING_S = 2.3


class TooSlow(OperationalError):
    """The database answers, but not within what is left of Discord's 3 s."""


def deadline(started: float) -> Callable[..., Any]:
    """Return a wrapper for Django's connection that begins no statement later than LAST_STATEMENT_S.

    `started` is on time.monotonic's clock. Raised inside a transaction, it rolls everything back.
    """

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if time.monotonic() - started > LAST_STATEMENT_S and context["connection"].in_atomic_block:
            raise TooSlow("out of time")
        return run(sql, params, many, context)

    return execute


def attempt(run: Callable[[], object], *, until_s: float, started: float) -> bool:
    """Run something slow and return whether it was done in time; what it raises is raised.

    It gets until `until_s` after `started`, and at least a moment. Past that it is left to itself.
    """
    raised: list[Exception] = []

    def guarded() -> None:
        try:
            run()
        except Exception as error:
            raised.append(error)

    running = threading.Thread(target=guarded, name="attempt", daemon=True)
    running.start()
    running.join(max(0.3, until_s - (time.monotonic() - started)))
    if running.is_alive():
        return False
    if raised:
        raise raised[0]
    return True


class PunctualDispatcher:
    """Rings by the current dispatcher, and leaves it to upkeep where the queue does not answer in time.

    The row is committed by then, so a late message only doubles upkeep's.
    """

    def __init__(self, *, started: float, dispatcher: Dispatcher | None = None) -> None:
        self._started = started
        self._dispatcher = dispatcher

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        dispatcher = self._dispatcher or current()
        if not attempt(lambda: dispatcher.ring(doorbells), until_s=LAST_RING_S, started=self._started):
            raise DispatchFailed("the queue did not answer in time")
