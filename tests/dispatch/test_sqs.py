"""Messages over the real protocol."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.dispatch import codec
from jobs.dispatch.memory import MemoryDispatcher
from jobs.dispatch.message import DispatchFailed, JobMessage
from jobs.dispatch.sqs import SqsDispatcher

from .emulator import Queue


def _job_message(job_id: int, *, group: str = "1-42", number: int = 1) -> JobMessage:
    return JobMessage(job_id=job_id, group=group, dedup_id=f"{job_id}-{number}")


def _received(queue: Queue) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    while batch := queue.sqs.receive_message(
        QueueUrl=queue.url, MaxNumberOfMessages=10, AttributeNames=["All"], WaitTimeSeconds=0
    ).get("Messages"):
        messages += batch
        for message in batch:
            queue.sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
    return messages


def test_a_message_carries_version_and_job_id_and_nothing_else(queue: Queue) -> None:
    SqsDispatcher(queue.sqs, queue.url).send([_job_message(17)])
    (message,) = _received(queue)
    assert message["Body"] == '{"v":1,"job_id":17}'
    assert message["Attributes"]["MessageGroupId"] == "1-42"
    assert message["Attributes"]["MessageDeduplicationId"] == "17-1"


def test_a_members_messages_keep_their_order_over_several_batches(queue: Queue) -> None:
    SqsDispatcher(queue.sqs, queue.url).send([_job_message(number) for number in range(101, 126)])
    assert [codec.decode(message["Body"]) for message in _received(queue)] == list(range(101, 126))


def test_ringing_twice_is_heard_once_and_a_new_number_again(queue: Queue) -> None:
    dispatcher = SqsDispatcher(queue.sqs, queue.url)
    dispatcher.send([_job_message(201)])
    dispatcher.send([_job_message(201)])
    assert len(_received(queue)) == 1
    dispatcher.send([_job_message(201, number=2)])
    assert len(_received(queue)) == 1


def test_a_queue_that_is_not_there_is_one_error(queue: Queue) -> None:
    with pytest.raises(DispatchFailed):
        SqsDispatcher(queue.sqs, queue.missing_url).send([_job_message(1)])


def test_a_queue_out_of_reach_is_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from botocore.config import Config

    nowhere = boto3.client(
        "sqs",
        endpoint_url="http://127.0.0.1:1",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(connect_timeout=1, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(DispatchFailed):
        SqsDispatcher(nowhere, "http://127.0.0.1:1/000000000000/sparkle.fifo").send([_job_message(1)])


def test_memory_rings_as_the_queue_does() -> None:
    dispatcher = MemoryDispatcher()
    dispatcher.send([_job_message(1), _job_message(2), _job_message(1)])
    assert [message.job_id for message in MemoryDispatcher.sent] == [1, 2]
