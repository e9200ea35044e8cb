"""Discord waits 3 s: the response is sent in time even if the database or the queue is slow."""

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
Send = Callable[[], None]

# Seconds after the request arrived. The rest of the 3 s is for the network.
SEND_BY_S = 2.0
LAST_STATEMENT_S = 2.3
RESPOND_BY_S = 2.6
# The minimum that a working database gets, even after a slow cold start.
MIN_WAIT_S = 0.4


class StatementDeadlineExceeded(OperationalError):
    """The deadline passed before the transaction was complete. It is rolled back."""


class ResponseDeadlineExceeded(Exception):
    """No response in time. The work may still complete; the member then sees its result later."""


@functools.cache
def _threads(purpose: str) -> ThreadPoolExecutor:
    # Idle threads are reused with their own connection, so there is one thread until one gets stuck.
    return ThreadPoolExecutor(max_workers=16, thread_name_prefix=purpose)


def _left(by_s: float, started: float) -> float:
    return max(MIN_WAIT_S, by_s - (time.monotonic() - started))


def run(act: Callable[[], T], *, started: float) -> T:
    """Run `act` with a database connection, send the messages that it registered, and return its result.

    `started` is the time.monotonic() value when the request arrived. If the queue is too slow, upkeep sends the message
    later: the job is committed by then, and a second message does no harm.

    Raises: ResponseDeadlineExceeded if `act` does not return in time, and whatever `act` raises.
    """
    sends: list[tuple[Send, Send]] = []
    outcome: Future[T] = Future()
    # One thread does both: switching threads takes as long as a statement.
    all_done = _threads("request").submit(_act_and_send, act, started, outcome, sends)
    try:
        _wait(all_done, _left(SEND_BY_S, started))
    except ResponseDeadlineExceeded:
        all_done.cancel()
        # Never cancel `outcome`: the thread could not set it, and would end before it sends the messages.
        result = _wait(outcome, _left(RESPOND_BY_S, started))
        if not all_done.done():
            for _, missed in sends:
                missed()
            connection.close()
        return result
    return outcome.result()


def send_after_commit(send: Send, missed: Send) -> None:
    """Register a message to send after the current request has committed (jobs.dispatch.sending.SendHook)."""
    _sends.get().append((send, missed))


_sends: ContextVar[list[tuple[Send, Send]]] = ContextVar("sends")


def _run_collecting(sends: list[tuple[Send, Send]], act: Callable[[], T]) -> T:
    token = _sends.set(sends)
    try:
        return act()
    finally:
        _sends.reset(token)


def _act_and_send(act: Callable[[], T], started: float, outcome: Future[T], sends: list[tuple[Send, Send]]) -> None:
    try:
        connection.close_if_unusable_or_obsolete()
        with _deadline(started):
            result = _run_collecting(sends, act)
    except BaseException as error:  # The waiting thread raises it.
        outcome.set_exception(error)
    else:
        outcome.set_result(result)
    # What is committed is sent even if `act` failed after the commit.
    for send, missed in sends:
        try:
            send_now(send, missed)
        except Exception:
            # The request is accepted. Upkeep sends its message again.
            logger.exception("send_failed")
    connection.close_if_unusable_or_obsolete()


def _wait(running: Future[T], seconds: float) -> T:
    try:
        return running.result(timeout=seconds)
    except TimeoutError:
        if running.done():
            raise
        raise ResponseDeadlineExceeded from None


def _deadline(started: float) -> AbstractContextManager[None]:
    """Refuse writes and statements in a transaction after the deadline, so that a reported failure is rolled back."""

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        # In autocommit mode a writing statement is its own transaction.
        changes = context["connection"].in_atomic_block or not sql.lstrip().startswith("SELECT")
        if changes and time.monotonic() - started > LAST_STATEMENT_S:
            raise StatementDeadlineExceeded("out of time")
        return run(sql, params, many, context)

    return connection.execute_wrapper(execute)


def run_within(act: Callable[[], object], *, by_s: float, started: float) -> bool:
    """Run `act`, which needs no database, and return whether it completed in time. Raises whatever `act` raises."""
    running = _threads("background").submit(act)
    try:
        _wait(running, _left(by_s, started))
    except ResponseDeadlineExceeded:
        running.cancel()
        return False
    return True
