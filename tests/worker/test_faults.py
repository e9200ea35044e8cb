"""Workers are killed at random moments while everything around them fails for a while: nothing is lost or doubled.

Real processes, PostgreSQL, SQS's protocol, and the simulator over HTTP. The moments are drawn from a fixed seed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guilds.models import Guild, ModelProfile, Usage
from jobs import upkeep
from jobs.dispatch import codec, sqs
from jobs.lifecycle import ENDED, OPEN, Status
from jobs.models import Job, JobEvent
from sparkle_site.local.simulator import faults
from sparkle_site.local.simulator.models import SimMessage
from tests.dispatch.emulator import Queue, emulator

from .conftest import Place

ROOT = Path(__file__).resolve().parents[2]
JOBS, MEMBERS, WORKERS, KILLS = 60, 20, 2, 8
LATE = 6  # of the jobs have a token that is dead already
WITHIN_S = 300
LEAVES_WITHIN_S = 60


class Fleet:
    """Worker processes that are replaced when they end, as ECS does."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = os.environ | environment
        self._log = log
        self._workers: list[subprocess.Popen[bytes]] = []

    def hire(self) -> None:
        with self._log.open("ab") as log:
            self._workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "gpu_worker"], env=self._environment, cwd=ROOT, stdout=log, stderr=log
                )
            )

    def strike(self, number: int, how: signal.Signals) -> None:
        """End one worker and hire another; one that is asked to leave must be gone in time."""
        worker = self._workers.pop(number)
        worker.send_signal(how)
        self.hire()
        status = worker.wait(LEAVES_WITHIN_S)
        assert status == (0 if how is signal.SIGTERM else -signal.SIGKILL)

    def dismiss(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait(10)


@contextmanager
def storage_away(media: Path) -> Iterator[None]:
    """Put a file where the folder is: nothing can be stored or fetched."""
    aside = media.with_name("media-aside")
    media.mkdir(exist_ok=True)
    media.rename(aside)
    media.write_text("")
    try:
        yield
    finally:
        media.unlink()
        aside.rename(media)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Queue]:
    with emulator() as queue:
        for name, value in queue.environment.items():
            monkeypatch.setenv(name, value)
        settings.SQS_QUEUE_URL = queue.url
        settings.JOB_DISPATCHER = "jobs.dispatch.sqs.SqsDispatcher"
        sqs.client.cache_clear()
        yield queue
        sqs.client.cache_clear()


@pytest.fixture
def fleet(place: Place, queue: Queue, settings: Any, tmp_path: Path) -> Iterator[Fleet]:
    from django.db import connection

    database = connection.settings_dict
    log = tmp_path / "workers.log"
    fleet = Fleet(
        queue.environment
        | {
            "DJANGO_SETTINGS_MODULE": "sparkle_site.local.chaos.settings",
            "DJANGO_SECRET_KEY": settings.SECRET_KEY,
            "DATABASE_URL": (
                f"postgres://{database['USER']}:{database['PASSWORD'] or ''}"
                f"@{database['HOST']}:{database['PORT']}/{database['NAME']}"
            ),
            "DATABASE_STATEMENT_TIMEOUT_MS": "10000",
            "DISCORD_API_BASE": settings.DISCORD_API_BASE,
            "DISCORD_APPLICATION_ID": str(settings.DISCORD_APPLICATION_ID),
            "DISCORD_BOT_TOKEN": settings.DISCORD_BOT_TOKEN,
            "SITE_URL": settings.SITE_URL,
            "SPARKLE_ENGINE": "noise",
            "SPARKLE_NOISE_STEP_S": "0.1",
            "SPARKLE_LEASE_SECONDS": "3",
            "SPARKLE_MAX_ATTEMPTS": "20",
            "SPARKLE_LOCAL_DIR": str(tmp_path),
        },
        log,
    )
    settings.SPARKLE_LEASE_SECONDS = 3
    settings.SPARKLE_MAX_ATTEMPTS = 20
    yield fleet
    fleet.dismiss()


@pytest.mark.slow
def test_killed_workers_lose_no_job_no_picture_and_no_quota(
    place: Place, queue: Queue, fleet: Fleet, tmp_path: Path
) -> None:
    chance = random.Random(20261123)
    Guild.objects.update(concurrency=64, max_waiting_per_member=50)
    ModelProfile.objects.update(sizes=["64x64"])
    for _ in range(WORKERS):
        fleet.hire()
    jobs = [
        place.ask(
            user_id=100 + number % MEMBERS,
            steps=chance.randint(4, 40),
            width=64,
            height=64,
            token_age_s=20 * 60 if number < LATE else 10,
        )
        for number in range(JOBS)
    ]
    strikes = [signal.SIGKILL, signal.SIGTERM] * (KILLS // 2)
    next_strike = time.monotonic() + 3
    deadline = time.monotonic() + WITHIN_S
    while Job.objects.filter(status__in=OPEN).exists() or strikes:
        assert time.monotonic() < deadline, Counter(Job.objects.values_list("status", flat=True))
        upkeep.run(now=datetime.now(UTC))
        if strikes and time.monotonic() > next_strike:
            number = len(strikes)
            if number == 6:
                faults.plan(faults.Kind.BAD_GATEWAY, times=25)
            if number == 5:
                faults.plan(faults.Kind.LOST_ANSWER, times=15)
            if number == 4:
                with storage_away(tmp_path / "media"):
                    time.sleep(2)
            job = chance.choice(jobs)
            queue.put(codec.encode(job.pk), group=f"again-{number}", dedup_id=f"again-{number}")
            fleet.strike(chance.randrange(WORKERS), strikes.pop())
            next_strike = time.monotonic() + chance.uniform(1.0, 3.0)
        time.sleep(0.2)

    # The test is worth something only if it hurt.
    assert Job.objects.filter(attempts__gt=1).exists()
    assert JobEvent.objects.filter(kind=Status.QUEUED, detail__cause="given_back").exists()
    statuses = Counter(Job.objects.values_list("status", flat=True))
    assert statuses == {Status.COMPLETED: JOBS}
    ends = Counter(JobEvent.objects.filter(kind__in=ENDED).values_list("job_id", flat=True))
    assert set(ends.values()) == {1}
    assert len(ends) == JOBS

    posts: Counter[str] = Counter()
    for message in SimMessage.objects.filter(content__contains="Completed your Sparkle"):
        assert message.attachments.count() == 1
        posts[message.embeds[0]["footer"]["text"].rpartition("#")[2]] += 1
    assert posts == {str(job.pk): 1 for job in jobs}
    assert sum(Job.objects.values_list("count", flat=True)) == sum(
        usage.pictures for usage in Usage.objects.filter(subject_id=0, window="day")
    )
