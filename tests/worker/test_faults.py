"""Workers are killed at random moments while everything around them fails for a while: nothing is lost or duplicated.

Real processes, PostgreSQL, SQS's protocol, and the simulator over HTTP. The moments are drawn from a fixed seed, and
counted in jobs that have ended, so that a slow machine meets them under the same load. SPARKLE_FAULT_JOBS sets how many
jobs there are.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devtools.chaos.invariants import Observed, check, outside_rows, platform_rows
from devtools.simulator import injected_faults
from devtools.simulator.models import SimMessage
from guilds.models import Guild, ModelProfile
from jobs import transitions, upkeep
from jobs.dispatch import codec, sqs
from jobs.job_status import OPEN, Status
from jobs.models import Job, JobEvent
from tests.dispatch.emulator import Queue, make_queue

from .conftest import Place

ROOT = Path(__file__).resolve().parents[2]
JOBS = max(60, int(os.environ.get("SPARKLE_FAULT_JOBS", "200")))
MEMBERS, WORKERS, KILLS = JOBS // 5, 2, JOBS // 14
LATE = JOBS // 25  # jobs have a token that has expired
DYING = JOBS // 10  # jobs have a token that expires within about half a minute
UNMAKEABLE = JOBS // 50
CANCELLED = JOBS // 12  # jobs are cancelled, unless they have ended
REDELIVERED = JOBS // 10  # messages are delivered twice
AWAY_S = 3.0
WITHIN_S = 120 + 3 * JOBS
LEAVES_WITHIN_S = 60


class Fleet:
    """Worker processes that are replaced when they end, as ECS does."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = os.environ | environment
        self._log = log
        self._workers: list[subprocess.Popen[bytes]] = []
        self.clean_exits = 0

    def start_worker(self) -> None:
        with self._log.open("ab") as log:
            self._workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "gpu_worker"], env=self._environment, cwd=ROOT, stdout=log, stderr=log
                )
            )

    def strike(self, number: int, how: signal.Signals) -> None:
        """End one worker and start another. A worker that gets SIGTERM must end in time."""
        worker = self._workers.pop(number)
        worker.send_signal(how)
        self.start_worker()
        status = worker.wait(LEAVES_WITHIN_S)
        # A worker that has just started may not handle signals yet. It has no jobs.
        assert status in ({0, -signal.SIGTERM} if how is signal.SIGTERM else {-signal.SIGKILL})
        self.clean_exits += status == 0

    def kill_all(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait(60)


class Outages:
    """The current outages and their ends."""

    def __init__(self, media: Path) -> None:
        self._media = media
        self._aside = media.with_name("media-aside")
        self._ends: list[tuple[float, Callable[[], object]]] = []
        media.mkdir(exist_ok=True)

    def discord(self, seconds: float) -> None:
        away = injected_faults.plan(injected_faults.Kind.BAD_GATEWAY, times=10**6)
        self._ends.append((time.monotonic() + seconds, away.delete))

    def storage(self, seconds: float) -> None:
        """Replace the folder by a file: nothing can be stored or fetched."""
        self._media.rename(self._aside)
        self._media.write_text("")
        self._ends.append((time.monotonic() + seconds, self._storage_is_back))

    def end(self, *, now: float) -> None:
        """End the outages that are over."""
        for until, put_back in [each for each in self._ends if each[0] <= now]:
            self._ends.remove((until, put_back))
            put_back()

    def _storage_is_back(self) -> None:
        self._media.unlink()
        self._aside.rename(self._media)


def _database_url() -> str:
    from django.db import connection

    database = connection.settings_dict
    who = f"{database['USER']}:{database['PASSWORD'] or ''}"
    return f"postgres://{who}@{database['HOST']}:{database['PORT']}/{database['NAME']}"


@pytest.fixture
def queue(sqs_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Queue]:
    queue = make_queue(sqs_environment)
    for name, value in queue.environment.items():
        monkeypatch.setenv(name, value)
    settings.SQS_QUEUE_URL = queue.url
    settings.JOB_DISPATCHER = "jobs.dispatch.sqs.SqsDispatcher"
    sqs.client.cache_clear()
    yield queue
    sqs.client.cache_clear()


@pytest.fixture
def fleet(place: Place, queue: Queue, settings: Any, tmp_path: Path) -> Iterator[Fleet]:
    log = tmp_path / "workers.log"
    fleet = Fleet(
        queue.environment
        | {
            "DJANGO_SETTINGS_MODULE": "devtools.chaos.settings",
            "DJANGO_SECRET_KEY": settings.SECRET_KEY,
            "DATABASE_URL": _database_url(),
            "DATABASE_STATEMENT_TIMEOUT_MS": "10000",
            "DISCORD_API_BASE": settings.DISCORD_API_BASE,
            "DISCORD_APPLICATION_ID": str(settings.DISCORD_APPLICATION_ID),
            "DISCORD_BOT_TOKEN": settings.DISCORD_BOT_TOKEN,
            "SITE_URL": settings.SITE_URL,
            # A worker that ends a job sends the next one's message; the tests' own dispatcher would keep it in memory.
            "JOB_DISPATCHER": "jobs.dispatch.sqs.SqsDispatcher",
            "SPARKLE_ENGINE": "noise",
            "SPARKLE_NOISE_STEP_S": "0.05",
            "SPARKLE_LEASE_SECONDS": "3",
            "SPARKLE_MAX_ATTEMPTS": "20",
            "SPARKLE_LOCAL_DIR": str(tmp_path),
        },
        log,
    )
    settings.SPARKLE_LEASE_SECONDS = 3
    settings.SPARKLE_MAX_ATTEMPTS = 20
    settings.SPARKLE_ANNOUNCE_AFTER_SECONDS = 3
    yield fleet
    fleet.kill_all()


def _wait_for(condition: Callable[[], bool], *, within_s: float) -> None:
    """Return when the condition is true, or when the time is up: in an outage nothing may run."""
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_workers_lose_no_job_no_image_and_no_quota(
    place: Place, queue: Queue, fleet: Fleet, tmp_path: Path
) -> None:
    chance = random.Random(20261123)
    Guild.objects.update(concurrency=64, max_waiting=JOBS, max_waiting_per_member=50)
    ModelProfile.objects.update(sizes=["64x64", "68x68"])
    for _ in range(WORKERS):
        fleet.start_worker()
    numbers = chance.sample(range(JOBS), LATE + DYING + UNMAKEABLE)
    late, dying, unmakeable = (
        set(numbers[:LATE]),
        set(numbers[LATE : LATE + DYING]),
        set(numbers[LATE + DYING :]),
    )
    ids: list[int] = []
    interaction_of: dict[int, int] = {}
    secrets = {"a very red circle"}

    def ask(number: int) -> None:
        # The simulator ends a token at 15 minutes, the platform half a minute before.
        # Half of the dying tokens end before any worker can be done, the others at some point of the work.
        left_s = chance.uniform(0, 1) if number % 2 else chance.uniform(1, 40)
        age_s = 20 * 60 if number in late else 14.5 * 60 - left_s if number in dying else 10
        side = 68 if number in unmakeable else 64
        job = place.ask(
            user_id=100 + number % MEMBERS,
            prompt="a very red circle",
            steps=chance.randint(4, 40),
            width=side,
            height=side,
            token_age_s=age_s,
        )
        ids.append(job.pk)
        interaction_of[number] = job.interaction_id
        secrets.add(job.token)

    # Unlike edits, posts cannot be repeated: a post whose response is lost could show an image twice.
    injected_faults.plan(injected_faults.Kind.LOST_ANSWER, path="/channels/", times=LATE + DYING // 2)
    outages = Outages(tmp_path / "media")
    number_again = 0

    def strike(how: signal.Signals) -> None:
        fleet.strike(chance.randrange(WORKERS), how)

    def redeliver() -> None:
        nonlocal number_again
        number_again += 1
        name = f"again-{number_again}"
        queue.put(codec.encode(chance.choice(ids)), group=name, dedup_id=name)

    def cancel() -> None:
        still = list(Job.objects.filter(status__in=OPEN).order_by("pk").values_list("pk", flat=True))
        if still:
            # One of the first, so that some are cancelled while they run.
            transitions.cancel(chance.choice(still[:10]), by=42, now=datetime.now(UTC))

    troubles: list[Callable[[], object]] = [
        *(partial(strike, signal.SIGTERM if number % 2 else signal.SIGKILL) for number in range(KILLS)),
        *(redeliver for _ in range(REDELIVERED)),
        *(cancel for _ in range(CANCELLED)),
        *(partial(outages.discord, AWAY_S) for _ in range(2)),
        *(partial(outages.storage, AWAY_S) for _ in range(1)),
        *(partial(injected_faults.plan, injected_faults.Kind.LOST_ANSWER, times=15) for _ in range(2)),
        partial(injected_faults.plan, injected_faults.Kind.RATE_LIMITED, times=10, seconds=0.3),
    ]
    chance.shuffle(troubles)
    deadline = time.monotonic() + WITHIN_S
    # Before each fault a few more jobs are submitted, and one runs: the faults meet work however fast the workers are.
    jobs_per_fault = JOBS // len(troubles)
    for number in range(JOBS):
        ask(number)
        if number % jobs_per_fault == 0 and troubles:
            _wait_for(Job.objects.filter(status=Status.RUNNING).exists, within_s=20)
            time.sleep(chance.uniform(0, 0.2))
            troubles.pop()()
            upkeep.run(now=datetime.now(UTC))
            outages.end(now=time.monotonic())
    assert not troubles
    while Job.objects.filter(status__in=OPEN).exists():
        assert time.monotonic() < deadline, Counter(Job.objects.values_list("status", flat=True))
        upkeep.run(now=datetime.now(UTC))
        outages.end(now=time.monotonic())
        time.sleep(0.1)
    outages.end(now=float("inf"))
    injected_faults.clear()
    # Upkeep posts the end of jobs that were cancelled in the queue or ended in an outage.
    while Job.objects.filter(notified_at=None).exists():
        assert time.monotonic() < deadline
        upkeep.run(now=datetime.now(UTC))
        time.sleep(0.5)

    # The faults must have had an effect.
    assert fleet.clean_exits > 0
    assert Job.objects.filter(attempts__gt=1).exists()
    assert JobEvent.objects.filter(kind=Status.QUEUED, detail__cause="released").exists()
    by = Counter(Job.objects.values_list("status", flat=True))
    assert by[Status.CANCELLED] > 0
    assert by[Status.COMPLETED] + by[Status.CANCELLED] + by[Status.FAILED] == JOBS
    assert set(Job.objects.filter(status=Status.FAILED).values_list("reason", flat=True)) == {"size_not_possible"}
    vias = Counter(Job.objects.filter(status=Status.COMPLETED).values_list("delivered_via", flat=True))
    assert vias["original"] > 0
    assert vias["channel"] > 0
    assert vias.keys() == {"original", "channel"}
    assert Job.objects.filter(pk__in=[ids[number] for number in dying], delivered_via="channel").exists()

    posts: Counter[str] = Counter()
    for message in SimMessage.objects.filter(content__contains="Completed your Sparkle"):
        assert message.attachments.count() == 1
        posts[message.embeds[0]["footer"]["text"].rpartition("#")[2]] += 1
    completed = Job.objects.filter(status=Status.COMPLETED).values_list("pk", flat=True)
    assert posts == {str(job_id): 1 for job_id in completed}

    # The invariants of the chaos runs, except what a requester with an expired token still sees. Where the token ends
    # seconds after the request, the message's id may still be unknown: then nobody can edit or delete it.
    invariants = check(
        accepted=set(interaction_of.values()),
        platform=platform_rows(_database_url()),
        messages=outside_rows(_database_url()),
        media=tmp_path / "media",
        dead_letters=[],
        logs=tmp_path,
        secrets=secrets,
        observed=Observed(),
    )
    stale = {f"interaction_id={interaction_of[number]}" for number in late | dying}
    broken = {each.name: each.broken for each in invariants if not each.holds}
    broken.pop("each requester saw exactly one final message, or the row says why none", None)
    unfinished = broken.pop("no message still says that it is waiting or being made", [])
    assert not [line for line in unfinished if stale.isdisjoint(line.split(", "))]
    assert not broken
