"""Dead letters over the real SQS protocol: an operator redrives them, and each job is found by a worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from jobs import submission, transitions
from jobs.dispatch import codec, sqs
from jobs.job_status import Status
from jobs.models import Job
from tests.dispatch.emulator import Queue, make_queue

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue(sqs_environment: dict[str, str], settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """Two empty queues that the site's SQS client uses."""
    queue = make_queue(sqs_environment)
    for name, value in queue.environment.items():
        monkeypatch.setenv(name, value)
    sqs.client.cache_clear()
    settings.SQS_QUEUE_URL, settings.SQS_DEAD_LETTER_URL = queue.url, queue.dead_url
    settings.JOB_DISPATCHER = "jobs.dispatch.sqs.SqsDispatcher"
    yield queue
    sqs.client.cache_clear()


def bodies(queue: Queue, url: str) -> list[str]:
    """Receive all messages without deleting them and return their bodies."""
    found: list[str] = []
    while batch := queue.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
        found += [message["Body"] for message in batch]
    return found


def bury(queue: Queue, body: str, *, number: int) -> None:
    queue.sqs.send_message(
        QueueUrl=queue.dead_url, MessageBody=body, MessageGroupId=f"g{number}", MessageDeduplicationId=f"d{number}"
    )


def send_again(client: Any) -> Any:
    return client.post("/admin/stuck-jobs/", {"action": "redrive"}, follow=True)


def test_a_dead_letter_goes_back_to_the_queue_and_a_worker_finds_its_job(queue, operator, guild_a, make_ask):
    now = timezone.now()
    job = submission.submit(make_ask(guild_a), now=now).job
    (body,) = bodies(queue, queue.url)
    queue.sqs.purge_queue(QueueUrl=queue.url)
    bury(queue, body, number=1)

    page = operator.get("/admin/stuck-jobs/")
    assert page.context["dead"] == {"configured": True, "count": 1}
    assert "Send them again" in page.text
    answer = send_again(operator)
    assert "Removed 1 message and resent 1 request." in answer.text
    assert answer.context["dead"]["count"] == 0

    (again,) = bodies(queue, queue.url)
    assert codec.decode(again) == job.pk
    assert bodies(queue, queue.dead_url) == []
    claimed = transitions.claim(job.pk, worker_id="w1", now=timezone.now())
    assert claimed is not None
    assert claimed.status == Status.RUNNING


def test_letters_of_what_ended_and_letters_that_nobody_can_read_only_go(queue, operator, guild_a, make_ask):
    now = timezone.now()
    ended = submission.submit(make_ask(guild_a), now=now).job
    assert transitions.cancel(ended.pk, by=ended.user_id, now=now)
    queue.sqs.purge_queue(QueueUrl=queue.url)
    bury(queue, codec.encode(ended.pk), number=2)
    bury(queue, codec.encode(10**12), number=3)
    bury(queue, "no letter of ours", number=4)
    assert "Removed 3 messages and resent 0 requests." in send_again(operator).text
    assert bodies(queue, queue.url) == bodies(queue, queue.dead_url) == []
    assert Job.objects.get(pk=ended.pk).status == Status.CANCELLED


def test_only_operators_send_letters_again(queue, observer, moderator_a):
    bury(queue, codec.encode(1), number=5)
    assert observer.post("/admin/stuck-jobs/", {"action": "redrive"}).status_code == 403
    assert moderator_a.post("/admin/stuck-jobs/", {"action": "redrive"}).status_code == 404
    assert bodies(queue, queue.dead_url) == [codec.encode(1)]


def test_a_queue_that_is_away_is_said_and_breaks_nothing(queue, operator, settings):
    settings.SQS_DEAD_LETTER_URL = queue.missing_url
    assert "The queue isn’t responding." in operator.get("/admin/stuck-jobs/").text
    answer = send_again(operator)
    assert answer.status_code == 200
    assert "The queue does not answer. Nothing was lost. Try again." in answer.text
