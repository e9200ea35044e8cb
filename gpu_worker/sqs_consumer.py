"""Where a worker's jobs come from: SQS by long poll. A message lives until its job has ended.

While a job is in hand its message is kept invisible; when the job is given back the message is shown again at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
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

# A worker that leaves waits for the receive under way, or that one takes what was just shown and dies with it: the poll
# is shorter than the time to leave. SQS would bear 20; four times the empty receives are a cent a day for a worker.
LONG_POLL_S = 5
MOST = 10
# Until a received message is known to be in hand: one that was lost on the way is soon seen again.
FIRST_VISIBILITY_S = 20
BEAT_S = 5.0


class JobSink(Protocol):
    """What the source feeds (gpu_worker.runner.Runner)."""

    @property
    def free_slots(self) -> int: ...
    def submit(self, job_id: int) -> Future[Outcome]: ...


class SqsSource:
    """Receives from one FIFO queue. `start` it once, `stop` it once."""

    def __init__(
        self,
        sqs: SQSClient,
        queue_url: str,
        *,
        visibility_s: int,
        long_poll_s: int = LONG_POLL_S,
        beat_s: float = BEAT_S,
    ) -> None:
        """`visibility_s` should be a little longer than a job's lease, so that a message seen again can be claimed."""
        self._sqs = sqs
        self._queue_url = queue_url
        self._visibility_s = visibility_s
        self._long_poll_s = long_poll_s
        self._beat_s = beat_s
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._in_hand: dict[str, int] = {}  # receipt handle -> job id
        self._answered = threading.Condition(self._lock)
        # Held while messages are hidden for longer: a message that was made visible must not be hidden again.
        self._answering = threading.Lock()
        self._freed = threading.Event()

    def start(self, runner: JobSink) -> None:
        self._receiving = threading.Thread(target=self._receive_all, args=(runner,), name="source", daemon=True)
        self._receiving.start()
        threading.Thread(target=self._extend_all, name="visibility", daemon=True).start()

    def stop(self) -> None:
        """Receive no more. Call before the runner stops; messages that are given back are still shown again."""
        self._stopping.set()
        self._freed.set()

    def join(self, within_s: float) -> bool:
        """Wait until nothing is being received and every message in hand is answered; False when that takes longer.

        Call after the runner stopped.
        """
        deadline = time.monotonic() + within_s
        self._receiving.join(within_s)
        with self._lock:
            answered = self._answered.wait_for(lambda: not self._in_hand, max(0.0, deadline - time.monotonic()))
        return answered and not self._receiving.is_alive()

    # -- receiving

    def _receive_all(self, runner: JobSink) -> None:
        pause_s = 0.0
        try:
            while not self._stopping.wait(pause_s):
                pause_s = 0.0
                wanted = min(runner.free_slots, MOST)
                if not wanted:
                    self._freed.wait(0.2)
                    self._freed.clear()
                    continue
                try:
                    close_old_connections()
                    self._receive(runner, wanted)
                except (BotoCoreError, ClientError) as error:
                    log.warning("queue_away", extra={"error": type(error).__name__})
                    pause_s = 1.0
                except Exception:
                    log.exception("source_failed")
                    pause_s = 1.0
        finally:
            connections.close_all()

    def _receive(self, runner: JobSink, wanted: int) -> None:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=wanted,
            WaitTimeSeconds=self._long_poll_s,
            VisibilityTimeout=min(FIRST_VISIBILITY_S, self._visibility_s),
        )
        taken: list[str] = []
        for message in answer.get("Messages", []):
            receipt = message["ReceiptHandle"]
            try:
                job_id = codec.decode(message["Body"])
            except BadMessage as error:
                # It stays for the dead-letter queue, where someone can look at it.
                log.error("bad_message", extra={"why": str(error), "message_id": message.get("MessageId", "")})
                continue
            # Before it is submitted, so that a wait for the current messages includes it.
            with self._lock:
                self._in_hand[receipt] = job_id
            if self._stopping.is_set():
                self._answer(receipt, Outcome.RELEASED)
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
            taken.append(receipt)
            future.add_done_callback(partial(self._ended, receipt))
        self._extend(taken)

    # -- afterwards

    def _ended(self, receipt: str, done: Future[Outcome]) -> None:
        """Called once a message, in the thread that ended its job."""
        self._freed.set()
        self._answer(receipt, done.result())

    def _answer(self, receipt: str, outcome: Outcome) -> None:
        try:
            with self._answering:
                try:
                    if outcome is Outcome.RELEASED:
                        self._show([receipt])
                    else:
                        self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=receipt)
                finally:
                    self._forget(receipt)
        except (BotoCoreError, ClientError) as error:
            # It will be seen again, and there will be nothing to claim.
            log.warning("message_not_answered", extra={"error": type(error).__name__, "outcome": outcome.value})

    def _forget(self, receipt: str) -> None:
        with self._lock:
            self._in_hand.pop(receipt, None)
            self._answered.notify_all()

    def _extend_all(self) -> None:
        # It goes on while the runner stops: what is being delivered must not be seen by others meanwhile.
        while not (self._stopping.is_set() and not self._in_hand):
            self._stopping.wait(self._beat_s) if not self._stopping.is_set() else threading.Event().wait(0.5)
            with self._lock:
                receipts = list(self._in_hand)
            try:
                self._extend(receipts)
            except (BotoCoreError, ClientError) as error:
                log.warning("visibility_not_extended", extra={"error": type(error).__name__})

    def _extend(self, receipts: Sequence[str]) -> None:
        """Hide for longer what of `receipts` is still in hand."""
        with self._answering:
            with self._lock:
                held = [receipt for receipt in receipts if receipt in self._in_hand]
            self._change(held, self._visibility_s)

    def _show(self, receipts: Sequence[str]) -> None:
        self._change(receipts, 0)

    def _change(self, receipts: Sequence[str], seconds: int) -> None:
        for start in range(0, len(receipts), MOST):
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(place), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                    for place, receipt in enumerate(receipts[start : start + MOST])
                ],
            )
