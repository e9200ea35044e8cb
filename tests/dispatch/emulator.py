"""SQS itself, as far as its protocol goes: one ministack for the run, and the deployment's queues for each test."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A FIFO queue with its dead-letter queue behind it, and a client."""

    url: str
    dead_url: str
    sqs: Any
    environment: dict[str, str]

    @property
    def missing_url(self) -> str:
        """The address of a queue that is not there."""
        return self.url.removesuffix(".fifo") + "-missing.fifo"

    def put(self, body: str, *, group: str = "g", dedup_id: str) -> None:
        self.sqs.send_message(
            QueueUrl=self.url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=dedup_id
        )

    def depth(self) -> tuple[int, int]:
        """Return how many messages can be received and how many are in hand."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


def make_queue(environment: Mapping[str, str]) -> Queue:
    """Make two queues of names that nobody else has, in the SQS that `environment` leads to."""
    sqs = boto3.client(
        "sqs",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    name = f"sparkle-{secrets.token_hex(4)}"
    dead = sqs.create_queue(QueueName=f"{name}-dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    behind = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "20"})
    url = sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true", "RedrivePolicy": behind})[
        "QueueUrl"
    ]
    return Queue(url=url, dead_url=dead, sqs=sqs, environment={**environment, "SQS_QUEUE_URL": url})
