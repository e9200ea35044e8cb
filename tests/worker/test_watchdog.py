"""Stuck work ends the worker's process, and its jobs' attempts count. Real processes, short bounds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devtools.chaos.failing_engine import Poison
from guilds.models import Guild, ModelProfile, Usage
from jobs import upkeep
from jobs.job_status import OPEN, Status
from jobs.models import Job, JobEvent
from tests.dispatch.emulator import Queue

from .conftest import Place
from .test_faults import ROOT, _database_url, queue

__all__ = ["queue"]
WITHIN_S = 240


class Workers:
    """Worker processes. One that ends is replaced, as ECS does. `statuses` are the exit statuses so far."""

    def __init__(self, environment: dict[str, str], log: Path, *, count: int) -> None:
        self._environment = os.environ | environment
        self._log = log
        self._count = count
        self._running: list[subprocess.Popen[bytes]] = []
        self.statuses: list[int] = []

    def revive(self) -> None:
        for worker in [worker for worker in self._running if worker.poll() is not None]:
            self._running.remove(worker)
            self.statuses.append(worker.returncode)
        while len(self._running) < self._count:
            with self._log.open("ab") as log:
                command = [sys.executable, "-m", "gpu_worker"]
                self._running.append(subprocess.Popen(command, env=self._environment, cwd=ROOT, stdout=log, stderr=log))

    def end(self) -> None:
        for worker in self._running:
            worker.kill()
            worker.wait(60)


@pytest.fixture
def workers(place: Place, queue: Queue, settings: Any, tmp_path: Path, request: Any) -> Iterator[Workers]:
    environment = queue.environment | {
        "DJANGO_SETTINGS_MODULE": "devtools.chaos.settings",
        "DJANGO_SECRET_KEY": settings.SECRET_KEY,
        "DATABASE_URL": _database_url(),
        "DISCORD_API_BASE": settings.DISCORD_API_BASE,
        "DISCORD_APPLICATION_ID": str(settings.DISCORD_APPLICATION_ID),
        "DISCORD_BOT_TOKEN": settings.DISCORD_BOT_TOKEN,
        "SITE_URL": settings.SITE_URL,
        "JOB_DISPATCHER": "jobs.dispatch.sqs.SqsDispatcher",
        "SPARKLE_ENGINE": "devtools.chaos.failing_engine.loader",
        "SPARKLE_LEASE_SECONDS": "30",
        "SPARKLE_LOADING_BOUND_SECONDS": "4",
        "SPARKLE_STEP_BOUND_SECONDS": "4",
        "SPARKLE_DECODING_BOUND_SECONDS": "4",
        "SPARKLE_LOCAL_DIR": str(tmp_path),
    }
    workers = Workers(environment, tmp_path / "workers.log", count=getattr(request, "param", 1))
    yield workers
    workers.end()


def _run(workers: Workers) -> None:
    deadline = time.monotonic() + WITHIN_S
    while Job.objects.filter(status__in=OPEN).exists():
        assert time.monotonic() < deadline, list(Job.objects.values_list("prompt", "status", "attempts"))
        workers.revive()
        upkeep.run(now=datetime.now(UTC))
        time.sleep(0.3)


def _used() -> int:
    return sum(Usage.objects.filter(window="month", subject_id=0).values_list("images", flat=True))


@pytest.mark.slow
@pytest.mark.parametrize("poison", [Poison.STEP_HANGS, Poison.DECODING_HANGS, Poison.LOADER_HANGS, Poison.CARD_BREAKS])
def test_a_job_that_stops_every_worker_fails_at_its_third_attempt_and_the_others_are_made(
    place: Place, workers: Workers, poison: Poison
) -> None:
    Guild.objects.update(concurrency=20)
    ModelProfile.objects.create(slug="broken", name="Broken", source=f"models/{poison}", sizes=["512x512"])
    loads = poison is Poison.LOADER_HANGS
    healthy = [place.ask(steps=40) for _ in range(2)]
    used = _used()
    poisoned = place.ask(prompt="a cat" if loads else poison, model="broken" if loads else None, steps=20)
    healthy += [place.ask(steps=40) for _ in range(2)]
    _run(workers)
    poisoned.refresh_from_db()
    assert (poisoned.status, poisoned.reason, poisoned.attempts) == (Status.FAILED, "engine_failed", 3)
    assert poisoned.settled_at is not None
    assert {Job.objects.get(pk=job.pk).status for job in healthy} == {Status.COMPLETED}
    assert _used() == used * 2
    deadline = time.monotonic() + WITHIN_S
    while len(workers.statuses) < 3 and time.monotonic() < deadline:
        workers.revive()
        time.sleep(0.2)
    assert workers.statuses == [70, 70, 70]
    if loads:
        # Jobs outside the stuck work are released uncounted.
        assert {Job.objects.get(pk=job.pk).attempts for job in healthy} == {1}
    assert JobEvent.objects.filter(job=poisoned, kind=Status.QUEUED, detail__cause="engine_failed").count() == 2


@pytest.mark.slow
@pytest.mark.parametrize("workers", [6], indirect=True)
def test_poisoned_jobs_end_none_of_six_workers(place: Place, workers: Workers) -> None:
    Guild.objects.update(concurrency=40)
    ModelProfile.objects.create(
        slug="broken", name="Broken", source=f"models/{Poison.LOADER_RAISES}", sizes=["512x512"]
    )
    jobs = [place.ask(steps=12) for _ in range(6)]
    raises = [place.ask(prompt=Poison.STEP_RAISES, steps=12) for _ in range(2)]
    unloadable = [place.ask(model="broken") for _ in range(2)]
    jobs += [place.ask(steps=12) for _ in range(6)]
    _run(workers)
    workers.revive()
    assert workers.statuses == []
    assert {Job.objects.get(pk=job.pk).status for job in jobs} == {Status.COMPLETED}
    ends = {(job.status, job.reason) for job in Job.objects.filter(pk__in=[job.pk for job in raises + unloadable])}
    assert ends == {(Status.FAILED, "not_possible"), (Status.FAILED, "model_unavailable")}
    assert _used() == sum(job.count for job in jobs)
