"""Discord waits 3 s. Whatever is slow or stuck behind us, the answer goes out before."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from django.db import OperationalError, connection

from jobs.dispatch.doorbell import Dispatcher, DispatchFailed, Doorbell, current

T = TypeVar("T")

# Seconds after the request came in. What is left to 3 s is the way to Discord.
RING_BY_S = 2.0
LAST_STATEMENT_S = 2.3
ANSWER_BY_S = 2.6
# After a cold start that took longer, a working database still gets this much.
AT_LEAST_S = 0.4


class TooSlow(OperationalError):
    """The time is up before the transaction was complete: it is rolled back."""


class TooLate(Exception):
    """No answer in time. What was begun may still be finished; then the member sees it in place of our answer."""


@functools.cache
def _threads(purpose: str) -> ThreadPoolExecutor:
    # Idle threads are used again, each with its own connection: a Lambda has one until one of them is stuck.
    return ThreadPoolExecutor(max_workers=16, thread_name_prefix=purpose)


def _left(by_s: float, started: float) -> float:
    return max(AT_LEAST_S, by_s - (time.monotonic() - started))


def run(act: Callable[[], T], *, started: float) -> T:
    """Run `act` with a database connection and return what it returns. Raise TooLate if it does not return in time.

    `started` is when the request came in, on time.monotonic's clock.
    """
    if connection.in_atomic_block:
        # Within a caller's transaction (a test's) it must be done on the caller's connection.
        with _deadline(started):
            return act()
    running = _threads("answer").submit(_on_own_connection, act, started)
    return _wait(running, _left(ANSWER_BY_S, started))


def _wait(running: Future[T], seconds: float) -> T:
    try:
        return running.result(timeout=seconds)
    except TimeoutError:
        if running.done():
            raise
        running.cancel()
        raise TooLate from None


def _on_own_connection(act: Callable[[], T], started: float) -> T:
    # A connection that died since the last request is replaced.
    connection.close_if_unusable_or_obsolete()
    try:
        with _deadline(started):
            return act()
    finally:
        connection.close_if_unusable_or_obsolete()


def _deadline(started: float) -> AbstractContextManager[None]:
    """Begin no statement of a transaction when the time is up, so that what is told as failed is rolled back."""

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if time.monotonic() - started > LAST_STATEMENT_S and context["connection"].in_atomic_block:
            raise TooSlow("out of time")
        return run(sql, params, many, context)

    return connection.execute_wrapper(execute)


def attempt(act: Callable[[], object], *, by_s: float, started: float) -> bool:
    """Run something slow that needs no database and return whether it was done in time; what it raises is raised."""
    try:
        _wait(_threads("aside").submit(act), _left(by_s, started))
    except TooLate:
        return False
    return True


class PunctualDispatcher:
    """Rings by the current dispatcher, and leaves it to upkeep where the queue does not answer in time.

    The row is committed by then, so a late message only doubles upkeep's.
    """

    def __init__(self, *, started: float, dispatcher: Dispatcher | None = None) -> None:
        self._started = started
        self._dispatcher = dispatcher

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        self.begin(doorbells)()

    def begin(self, doorbells: Sequence[Doorbell]) -> Callable[[], None]:
        dispatcher = self._dispatcher or current()
        ringing = _threads("aside").submit(dispatcher.ring, doorbells)

        def end() -> None:
            try:
                _wait(ringing, _left(RING_BY_S, self._started))
            except TooLate:
                raise DispatchFailed("the queue did not answer in time") from None

        return end
