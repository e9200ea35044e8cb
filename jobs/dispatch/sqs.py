"""Dispatch by SQS FIFO, which drops duplicates within five minutes."""

import functools
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict

from django.conf import settings

from . import codec
from .message import DispatchFailed, JobMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)
BATCH = 10  # SendMessageBatch and ReceiveMessage take no more.


@functools.lru_cache(maxsize=2)
def client(*, read_timeout_s: float = 1) -> "SQSClient":
    """Return the process's SQS client, created on first use. Threads may share boto3 clients.

    The time-out fits into Discord's three seconds; long polling needs a longer one.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=1,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": 2},
        # The parameters are built here, and typed.
        parameter_validation=False,
        # botocore builds its own for every message, which takes a tenth of the time of sending.
        user_agent="sparkle",
    )
    return boto3.client("sqs", config=config)


class SqsDispatcher:
    """Sends to `queue_url`, by default settings.SQS_QUEUE_URL."""

    def __init__(self, sqs: "SQSClient | None" = None, queue_url: str | None = None) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def send(self, messages: Sequence[JobMessage]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        unsent = 0
        cause: Exception | None = None
        for batch in _batches(messages):
            try:
                unsent += self._send(batch)
            except (BotoCoreError, ClientError) as exc:
                unsent += len(batch)
                cause = exc
        if unsent:
            log.warning("messages_not_sent", extra={"unsent": unsent, "of": len(messages)})
            raise DispatchFailed(f"{unsent} of {len(messages)} messages were not sent") from cause

    def _send(self, batch: list[JobMessage]) -> int:
        """Send at most BATCH messages and return how many were refused. Raises botocore's errors."""
        url = self._queue_url or settings.SQS_QUEUE_URL
        sqs = self._sqs or client()
        if len(batch) == 1:
            # A batch of one takes a quarter longer.
            sqs.send_message(QueueUrl=url, **_message(batch[0]))
            return 0
        entries: Any = [{"Id": str(place), **_message(message)} for place, message in enumerate(batch)]
        return len(sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed", []))


class _Message(TypedDict):
    MessageBody: str
    MessageGroupId: str
    MessageDeduplicationId: str


def _message(message: JobMessage) -> _Message:
    return {
        "MessageBody": codec.encode(message.job_id),
        "MessageGroupId": message.group,
        "MessageDeduplicationId": message.dedup_id,
    }


def _batches(messages: Sequence[JobMessage]) -> Iterator[list[JobMessage]]:
    remaining = iter(messages)
    while batch := list(islice(remaining, BATCH)):
        yield batch
