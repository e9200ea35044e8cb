"""SQS itself, as far as its protocol goes: ministack in a process of its own, with the queues of the deployment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3

from sparkle_site.local import emulator as local


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A FIFO queue with its dead-letter queue behind it, and a client."""

    url: str
    dead_url: str
    sqs: Any
    environment: dict[str, str]

    def put(self, body: str, *, group: str = "g", dedup_id: str) -> None:
        self.sqs.send_message(
            QueueUrl=self.url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=dedup_id
        )

    def depth(self) -> tuple[int, int]:
        """Return how many messages can be received and how many are in hand."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


@contextmanager
def emulator() -> Iterator[Queue]:
    """Start it, make the queues, and end it."""
    with local.sqs() as environment:
        sqs = boto3.client(
            "sqs",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name=environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )
        dead = sqs.create_queue(QueueName="sparkle-dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        url = sqs.create_queue(
            QueueName="sparkle.fifo",
            Attributes={
                "FifoQueue": "true",
                "RedrivePolicy": f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"20"}}',
            },
        )["QueueUrl"]
        yield Queue(url=url, dead_url=dead, sqs=sqs, environment=environment | {"SQS_QUEUE_URL": url})
