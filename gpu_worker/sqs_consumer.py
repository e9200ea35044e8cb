"""Receives the worker's jobs from SQS by long polling. A message is deleted when its job has ended.

While a job is active its message stays invisible. When the job is released the message becomes visible at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from django.db import Error as DatabaseError
from django.db import close_old_connections, connections

from jobs.dispatch import codec
from jobs.dispatch.codec import BadMessage

from .active_job import Outcome

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

# Shutdown waits for the receive in progress, which could otherwise take a message that was just made visible, and lose
# it with the process. So the poll is shorter than the time for shutdown. SQS allows 20; four times as many empty
# receives cost a cent a day for a worker.
LONG_POLL_S = 5
MAX_BATCH = 10  # entries of one SQS call
# Until the job is submitted: a message that is lost on the way becomes visible again soon.
FIRST_VISIBILITY_S = 20
EXTEND_INTERVAL_S = 5.0


class JobSink(Protocol):
    """What the consumer submits jobs to (gpu_worker.job_runner.Runner)."""

    @property
    def free_slots(self) -> int: ...
    def submit(self, job_id: int) -> Future[Outcome]: ...


class SqsConsumer:
    """Receives from one FIFO queue. `start` it once, `stop` it once."""

    def __init__(
        self,
        sqs: SQSClient,
        queue_url: str,
        *,
        visibility_s: int,
        long_poll_s: int = LONG_POLL_S,
        extend_interval_s: float = EXTEND_INTERVAL_S,
        on_idle: Callable[[int], object] = lambda most: None,
    ) -> None:
        """`visibility_s` should be a little longer than a job's lease, so that a redelivered job can be claimed.

        `on_idle` is called when the queue is empty, with how many more jobs the worker could take and still have room.
        """
        self._sqs = sqs
        self._queue_url = queue_url
        self._visibility_s = visibility_s
        self._long_poll_s = long_poll_s
        self._extend_interval_s = extend_interval_s
        self._on_idle = on_idle
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._job_ids: dict[str, int] = {}  # by receipt handle
        self._settled = threading.Condition(self._lock)
        # Held while visibility changes: a message that became visible must not be hidden after that.
        self._changing = threading.Lock()
        self._slot_freed = threading.Event()

    def start(self, runner: JobSink) -> None:
        self._receiving = threading.Thread(target=self._receive_all, args=(runner,), name="sqs-receive", daemon=True)
        self._receiving.start()
        threading.Thread(target=self._extend_all, name="sqs-extend", daemon=True).start()

    def stop(self) -> None:
        """Receive no more. Call it before the runner stops: released messages still become visible after it."""
        self._stopping.set()
        self._slot_freed.set()

    def join(self, within_s: float) -> bool:
        """Wait until the last receive has returned and every message is deleted or visible. Return False on timeout.

        Call it after the runner has stopped.
        """
        deadline = time.monotonic() + within_s
        self._receiving.join(within_s)
        with self._lock:
            is_settled = self._settled.wait_for(lambda: not self._job_ids, max(0.0, deadline - time.monotonic()))
        return is_settled and not self._receiving.is_alive()

    # -- receiving

    def _receive_all(self, runner: JobSink) -> None:
        pause_s = 0.0
        try:
            while not self._stopping.wait(pause_s):
                pause_s = 0.0
                count = min(runner.free_slots, MAX_BATCH)
                if not count:
                    self._slot_freed.wait(0.2)
                    self._slot_freed.clear()
                    continue
                try:
                    close_old_connections()
                    self._receive(runner, count)
                except (BotoCoreError, ClientError) as error:
                    log.warning("queue_unavailable", extra={"error": type(error).__name__})
                    pause_s = 1.0
                except Exception:
                    log.exception("consumer_failed")
                    pause_s = 1.0
        finally:
            connections.close_all()

    def _receive(self, runner: JobSink, count: int) -> None:
        response = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=self._long_poll_s,
            VisibilityTimeout=min(FIRST_VISIBILITY_S, self._visibility_s),
        )
        submitted: list[str] = []
        received = response.get("Messages", [])
        # One slot stays free, so that the next prompt job starts at once.
        if not received and not self._stopping.is_set() and (spare := runner.free_slots - 1) > 0:
            self._on_idle(spare)
        for message in received:
            receipt = message["ReceiptHandle"]
            try:
                job_id = codec.decode(message["Body"])
            except BadMessage as error:
                # It goes to the dead-letter queue, where an operator can look at it.
                log.error("bad_message", extra={"why": str(error), "message_id": message.get("MessageId", "")})
                continue
            # Before the submission, so that `join` waits for this message too.
            with self._lock:
                self._job_ids[receipt] = job_id
            if self._stopping.is_set():
                self._settle(receipt, Outcome.RELEASED)
                continue
            try:
                future = runner.submit(job_id)
            except DatabaseError as error:
                log.warning("job_out_of_reach", extra={"job_id": job_id, "error": type(error).__name__})
                self._forget(receipt)
                continue
            except BaseException:
                self._forget(receipt)
                raise
            submitted.append(receipt)
            future.add_done_callback(partial(self._on_job_end, receipt))
        self._extend(submitted)

    # -- deleting and hiding messages

    def _on_job_end(self, receipt: str, future: Future[Outcome]) -> None:
        """Called once for a message, in the thread that ended its job."""
        self._slot_freed.set()
        self._settle(receipt, future.result())

    def _settle(self, receipt: str, outcome: Outcome) -> None:
        try:
            with self._changing:
                try:
                    if outcome is Outcome.RELEASED:
                        self._change_visibility([receipt], 0)
                    else:
                        self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=receipt)
                finally:
                    self._forget(receipt)
        except (BotoCoreError, ClientError) as error:
            # The message will be delivered again, and then there is nothing to claim.
            log.warning("message_not_settled", extra={"error": type(error).__name__, "outcome": outcome.value})

    def _forget(self, receipt: str) -> None:
        with self._lock:
            self._job_ids.pop(receipt, None)
            self._settled.notify_all()

    def _extend_all(self) -> None:
        # It goes on while the runner stops: jobs that are still delivered must stay invisible to other workers.
        while not (self._stopping.is_set() and not self._job_ids):
            self._stopping.wait(self._extend_interval_s) if not self._stopping.is_set() else threading.Event().wait(0.5)
            with self._lock:
                receipts = list(self._job_ids)
            try:
                self._extend(receipts)
            except (BotoCoreError, ClientError) as error:
                log.warning("visibility_not_extended", extra={"error": type(error).__name__})

    def _extend(self, receipts: Sequence[str]) -> None:
        """Extend the visibility timeout of those of `receipts` whose jobs are still active."""
        with self._changing:
            with self._lock:
                active = [receipt for receipt in receipts if receipt in self._job_ids]
            self._change_visibility(active, self._visibility_s)

    def _change_visibility(self, receipts: Sequence[str], seconds: int) -> None:
        for start in range(0, len(receipts), MAX_BATCH):
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                    for index, receipt in enumerate(receipts[start : start + MAX_BATCH])
                ],
            )
