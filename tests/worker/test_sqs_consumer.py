"""The worker at a real queue: messages of active jobs stay invisible, those of ended jobs are deleted, those of
released jobs become visible at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gpu_worker.engine import Engine
from gpu_worker.job_runner import Runner
from gpu_worker.noise_engine import NoiseEngine
from gpu_worker.sqs_consumer import SqsConsumer
from guilds.models import Platform
from jobs.dispatch.message import JobMessage
from jobs.dispatch.sqs import SqsDispatcher
from jobs.job_status import Status
from jobs.models import Job, JobEvent
from tests.dispatch.emulator import Queue, make_queue

from .conftest import Place, running

WITHIN_S = 120


@pytest.fixture
def queue(sqs_environment: dict[str, str]) -> Queue:
    """An empty queue."""
    return make_queue(sqs_environment)


@contextmanager
def serving(
    queue: Queue, *, visibility_s: int = 12, long_poll_s: int = 1, **worker: Any
) -> Iterator[tuple[Runner, SqsConsumer]]:
    with running(**worker) as runner:
        consumer = SqsConsumer(
            queue.sqs, queue.url, visibility_s=visibility_s, long_poll_s=long_poll_s, extend_interval_s=0.5
        )
        consumer.start(runner)
        try:
            yield runner, consumer
        finally:
            _stop(runner, consumer)


def _stop(runner: Runner, consumer: SqsConsumer) -> None:
    consumer.stop()
    runner.stop()
    assert consumer.join(60), "it could still take messages of the next test"


def _send(queue: Queue, *jobs: Job) -> None:
    SqsDispatcher(queue.sqs, queue.url).send([JobMessage.of(job) for job in jobs])


def _until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not ready():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def _slow(source: str) -> Engine:
    return NoiseEngine(source, step_s=0.2)


def _completed() -> int:
    return Job.objects.filter(status=Status.COMPLETED).count()


def test_jobs_with_a_message_are_done_and_their_messages_deleted(place: Place, queue: Queue) -> None:
    jobs = [place.ask() for _ in range(8)]
    with serving(queue):
        _send(queue, *jobs)
        _until(lambda: _completed() == 8)
        _until(lambda: queue.depth() == (0, 0))


def test_long_work_keeps_its_message_invisible_and_its_lease(place: Place, queue: Queue, settings: Any) -> None:
    settings.SPARKLE_LEASE_SECONDS = 1
    job = place.ask(steps=20)  # 4 seconds, twice the visibility and four times the lease
    with serving(queue, visibility_s=2, load=_slow), serving(queue, visibility_s=2, name="worker-2"):
        _send(queue, job)
        _until(lambda: _completed() == 1)
    job.refresh_from_db()
    assert job.attempts == 1
    assert JobEvent.objects.filter(job=job, kind="running").count() == 1


def test_shutdown_makes_messages_visible_at_once_and_another_worker_continues(place: Place, queue: Queue) -> None:
    jobs = [place.ask(steps=50, user_id=member) for member in range(100, 103)]
    with serving(queue, load=_slow, visibility_s=600) as (runner, consumer):
        _send(queue, *jobs)
        _until(lambda: len(runner.active_ids) == 3)
        _stop(runner, consumer)
        assert queue.depth() == (3, 0)
    assert {job.attempts for job in Job.objects.all()} == {0}
    with serving(queue, name="worker-2"):
        _until(lambda: _completed() == 3)


def test_a_stopped_consumer_receives_no_later_message(place: Place, queue: Queue) -> None:
    job = place.ask()
    with serving(queue, long_poll_s=5) as (runner, consumer):
        time.sleep(0.3)  # during a long poll
        _stop(runner, consumer)
        _send(queue, job)
        time.sleep(1)  # for a receive that is still waiting
        (message,) = queue.sqs.receive_message(
            QueueUrl=queue.url, WaitTimeSeconds=5, AttributeNames=["ApproximateReceiveCount"]
        )["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_an_unknown_message_stays_for_the_dead_letter_queue(place: Place, queue: Queue) -> None:
    job = place.ask()
    queue.put('{"v":9,"job_id":1}', group="strange", dedup_id="strange")
    with serving(queue):
        _send(queue, job)
        _until(lambda: _completed() == 1)
        _until(lambda: sum(queue.depth()) == 1)


def test_duplicate_and_unknown_messages_do_no_harm(place: Place, queue: Queue) -> None:
    job = place.ask()
    with serving(queue), serving(queue, name="worker-2"):
        for number in range(4):
            queue.put(f'{{"v":1,"job_id":{job.pk}}}', group=f"g{number}", dedup_id=f"x{number}")
        queue.put('{"v":1,"job_id":999999}', group="nobody", dedup_id="nobody")
        _until(lambda: _completed() == 1)
        _until(lambda: queue.depth() == (0, 0))
    assert JobEvent.objects.filter(job=job, kind="completed").count() == 1


def test_while_the_platform_is_draining_no_job_starts_and_none_is_lost(place: Place, queue: Queue) -> None:
    Platform.objects.update(draining=True)
    job = place.ask()
    with serving(queue):
        _send(queue, job)
        time.sleep(2)
        assert sum(queue.depth()) == 1
        assert Job.objects.get(pk=job.pk).status == Status.QUEUED
        Platform.objects.update(draining=False)
        _until(lambda: _completed() == 1)


def test_a_worker_receives_no_more_jobs_than_it_has_slots(place: Place, queue: Queue) -> None:
    jobs = [place.ask(steps=50, user_id=member) for member in range(100, 108)]
    with serving(queue, load=lambda source: NoiseEngine(source, step_s=0.2, capacity=8.0)) as (runner, _):
        _send(queue, *jobs)
        _until(lambda: len(runner.active_ids) == 3)  # two in the batch of eight images, one prepared ahead
        time.sleep(1.5)
        assert len(runner.active_ids) == 3
