"""Discord waits 3 s. Whatever is slow or stuck behind us, the answer goes out before."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, TypeVar

from django.db import OperationalError, connection

from jobs.dispatch.sending import send_now

logger = logging.getLogger(__name__)
T = TypeVar("T")
Step = Callable[[], None]

# Seconds after the request came in. What is left to 3 s is the way to Discord.
SEND_BY_S = 2.0
LAST_STATEMENT_S = 2.3
ANSWER_BY_S = 2.6
# After a cold start that took longer, a working database still gets this much.
AT_LEAST_S = 0.4


class StatementDeadlineExceeded(OperationalError):
    """The time is up before the transaction was complete: it is rolled back."""


class ResponseDeadlineExceeded(Exception):
    """No answer in time. What was begun may still be finished; then the member sees it in place of our answer."""


@functools.cache
def _threads(purpose: str) -> ThreadPoolExecutor:
    # Idle threads are used again, each with its own connection: a Lambda has one until one of them is stuck.
    return ThreadPoolExecutor(max_workers=16, thread_name_prefix=purpose)


def _left(by_s: float, started: float) -> float:
    return max(AT_LEAST_S, by_s - (time.monotonic() - started))


def run(act: Callable[[], T], *, started: float) -> T:
    """Run `act` with a database connection, then send what it left to `send_after_commit`, and return what it returned.

    Raise TooLate if it does not return in time. A queue that does not answer in time is left to upkeep: what sends is
    committed by then, so a late message only doubles upkeep's. `started` is when the request came in, on
    time.monotonic's clock.
    """
    sends: list[tuple[Step, Step]] = []
    acted: Future[T] = Future()
    # One thread does both, since a change of threads takes as long as a statement.
    all_done = _threads("answer").submit(_act_and_send, act, started, acted, sends)
    try:
        _wait(all_done, _left(SEND_BY_S, started))
    except ResponseDeadlineExceeded:
        answer = _wait(acted, _left(ANSWER_BY_S, started))
        if not all_done.done():
            for _, missed in sends:
                missed()
            connection.close()
        return answer
    return acted.result()


def send_after_commit(send: Step, missed: Step) -> None:
    """Send when the request that is being acted upon is done with its database (jobs.dispatch.sending.SendHook)."""
    _sends.get().append((send, missed))


_sends: ContextVar[list[tuple[Step, Step]]] = ContextVar("sends")


def _collecting(sends: list[tuple[Step, Step]], act: Callable[[], T]) -> T:
    token = _sends.set(sends)
    try:
        return act()
    finally:
        _sends.reset(token)


def _act_and_send(act: Callable[[], T], started: float, acted: Future[T], sends: list[tuple[Step, Step]]) -> None:
    try:
        connection.close_if_unusable_or_obsolete()
        with _deadline(started):
            answer = _collecting(sends, act)
    except BaseException as error:  # the waiting thread raises it
        acted.set_exception(error)
    else:
        acted.set_result(answer)
    # Where telling of it failed, what is committed is sent all the same.
    for send, missed in sends:
        try:
            send_now(send, missed)
        except Exception:
            # It is accepted all the same: upkeep sends a message for what nobody claims again.
            logger.exception("send_failed")
    connection.close_if_unusable_or_obsolete()


def _wait(running: Future[T], seconds: float) -> T:
    try:
        return running.result(timeout=seconds)
    except TimeoutError:
        if running.done():
            raise
        running.cancel()
        raise ResponseDeadlineExceeded from None


def _deadline(started: float) -> AbstractContextManager[None]:
    """When the time is up begin nothing in a transaction and nothing that writes: what is told as failed is undone."""

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        # A statement that writes can be a transaction by itself.
        changes = context["connection"].in_atomic_block or not sql.lstrip().startswith("SELECT")
        if changes and time.monotonic() - started > LAST_STATEMENT_S:
            raise StatementDeadlineExceeded("out of time")
        return run(sql, params, many, context)

    return connection.execute_wrapper(execute)


def run_within(act: Callable[[], object], *, by_s: float, started: float) -> bool:
    """Run something slow that needs no database and return whether it was done in time; what it raises is raised."""
    try:
        _wait(_threads("aside").submit(act), _left(by_s, started))
    except ResponseDeadlineExceeded:
        return False
    return True
