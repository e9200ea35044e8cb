"""One lock order: whatever writes counters of a guild at once neither deadlocks nor loses or doubles anything."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections

from guilds import gpu_ledger
from guilds.models import Guild, QuotaRule, Usage
from jobs import moderation, privacy, submission, transitions, upkeep
from jobs.guild_lock import lock_guild
from jobs.job_status import ENDED, Status
from jobs.models import Job
from jobs.transitions import StoredImage
from tests.conftest import NOW

SECONDS = 6.0
MEMBERS = (1, 2, 3)
# Erased while others ask: their counters move to a pseudonym's.
ERASED = 3


class Crowd:
    """Members, workers, moderators and upkeep of two guilds, each a thread with a connection of its own."""

    def __init__(self, guilds: list[Guild], make_ask: Callable[..., Any]) -> None:
        self.guilds = guilds
        self.make_ask = make_ask
        self.errors: list[BaseException] = []
        self.done: Counter[str] = Counter()

    def run(self, act: Callable[[random.Random], None], seed: int, until: float) -> None:
        chance = random.Random(seed)
        try:
            while time.monotonic() < until:
                act(chance)
                self.done[act.__name__] += 1
        except BaseException as error:
            self.errors.append(error)
        finally:
            connections.close_all()

    def any_job(self, chance: random.Random, **of: Any) -> Job | None:
        jobs = list(Job.objects.filter(guild__in=self.guilds, **of).order_by("-pk")[:30])
        return chance.choice(jobs) if jobs else None

    def submit(self, chance: random.Random) -> None:
        ask = self.make_ask(chance.choice(self.guilds), user_id=chance.choice(MEMBERS), count=chance.randint(1, 4))
        submission.submit(ask, now=NOW)

    def work(self, chance: random.Random) -> None:
        job = self.any_job(chance, status=Status.QUEUED)
        worker = f"w{threading.get_ident()}"
        if job is None or not transitions.claim(job.pk, worker_id=worker, now=NOW):
            return
        transitions.record_progress(job.pk, worker_id=worker, step=3, total=16, now=NOW)
        gpu_ms = chance.choice([None, chance.randint(1, 30_000)])
        end = chance.randrange(4)
        if end == 0:
            transitions.release(job.pk, worker_id=worker, gpu_ms=gpu_ms, now=NOW)
        elif end == 1:
            transitions.fail(
                job.pk, worker_id=worker, reason="x", permanent=chance.random() < 0.5, gpu_ms=gpu_ms, now=NOW
            )
        elif not transitions.finish_cancel(job.pk, worker_id=worker, gpu_ms=gpu_ms, now=NOW):
            images = [StoredImage(index=0, key=f"{job.pk}", seed=0, width=8, height=8, bytes=1)]
            transitions.record_images(job.pk, worker_id=worker, images=images, grid_key="", gpu_ms=gpu_ms or 5, now=NOW)
            transitions.complete(job.pk, worker_id=worker, delivered_via="original", message_id=1, now=NOW)

    def cancel(self, chance: random.Random) -> None:
        if job := self.any_job(chance):
            moderation.cancel(job.pk, by="m", now=NOW)

    def refund(self, chance: random.Random) -> None:
        for job in Job.objects.filter(guild__in=self.guilds, status=Status.COMPLETED).order_by("?")[:10]:
            moderation.refund(job.pk, by="m", now=NOW)

    def grant(self, chance: random.Random) -> None:
        for usage in Usage.objects.order_by("?")[:5]:
            moderation.grant(usage.pk, images=1, operator=True)
            moderation.reset_window(usage.pk, operator=True)

    def move(self, chance: random.Random) -> None:
        zone = chance.choice(["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"])
        Guild.objects.filter(pk=chance.choice(self.guilds).pk).update(time_zone=zone)
        time.sleep(0.05)

    def erase(self, chance: random.Random) -> None:
        privacy.erase_member(ERASED, now=NOW)
        time.sleep(0.3)

    def upkeep(self, chance: random.Random) -> None:
        later = NOW + timedelta(minutes=5)
        for job in Job.objects.filter(status=Status.RUNNING).order_by("?")[:2]:
            transitions.reclaim(job, now=later)
        upkeep.forget_counters(now=NOW)
        time.sleep(0.1)


@pytest.mark.django_db(transaction=True)
def test_counters_equal_the_rows_after_concurrent_writes(make_guild, make_ask):
    guilds = [make_guild(concurrency=4, max_waiting=50, max_waiting_per_member=20) for _ in range(2)]
    for guild in guilds:
        QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=10_000)
    crowd = Crowd(guilds, make_ask)
    until = time.monotonic() + SECONDS
    acts = [crowd.submit, crowd.submit, crowd.work, crowd.work, crowd.cancel, crowd.refund, crowd.grant, crowd.move,
            crowd.erase, crowd.upkeep]  # fmt: skip
    threads = [threading.Thread(target=crowd.run, args=(act, seed, until)) for seed, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS + 60)
    assert not crowd.errors, crowd.errors
    assert set(crowd.done) == {act.__name__ for act in acts}
    for job in Job.objects.exclude(status__in=ENDED):
        transitions.cancel(job.pk, by=1, now=NOW)
        transitions.finish_cancel(job.pk, worker_id=job.worker_id, now=NOW)
    # What has its images is not cancelled any more: it is delivered.
    for job in Job.objects.exclude(status__in=ENDED):
        assert job.images_stored_at is not None
        worker = job.worker_id or "w"
        transitions.claim(job.pk, worker_id=worker, now=NOW)
        transitions.complete(job.pk, worker_id=worker, delivered_via="original", message_id=1, now=NOW)
    assert not Job.objects.exclude(status__in=ENDED).exists()
    for guild in guilds:
        _check(guild)


def _check(guild: Guild) -> None:
    jobs = list(Job.objects.filter(guild=guild).exclude(status=Status.REFUSED))
    kept = [member for member in MEMBERS if member != ERASED]
    for window in ("hour", "day", "month"):
        for member in kept:
            rows = Usage.objects.filter(guild=guild, subject_id=member, window=window)
            assert rows.count() == 1, "no change of zone has started a window"
            mine = [job for job in jobs if job.user_id == member]
            held = [job for job in mine if job.status == Status.COMPLETED and job.refunded_at is None]
            assert rows[0].images == sum(job.reserved_images for job in held)
            assert rows[0].gpu_ms == sum(job.gpu_ms for job in mine)
        whole = Usage.objects.get(guild=guild, subject_id=0, window=window)
        members = Usage.objects.filter(guild=guild, window=window).exclude(subject_id=0)
        assert whole.images == sum(row.images for row in members)
        assert whole.gpu_ms == sum(row.gpu_ms for row in members)
        assert whole.gpu_ms == gpu_ledger.used_ms([guild.pk], now=NOW)[guild.pk]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "write", ["refund", "grant", "reset_window", "erase", "cancel", "record", "complete", "submit"]
)
def test_every_write_of_a_counter_waits_for_the_guilds_row(make_guild, make_ask, write):
    guild = make_guild()
    job = submission.submit(make_ask(guild), now=NOW).job
    if write in ("refund", "record", "complete"):
        assert transitions.claim(job.pk, worker_id="w", now=NOW)
    images = [StoredImage(index=0, key="k", seed=0, width=8, height=8, bytes=1)]
    if write in ("refund", "complete"):
        assert transitions.record_images(job.pk, worker_id="w", images=images, grid_key="", gpu_ms=5, now=NOW)
    end = {"worker_id": "w", "delivered_via": "original", "message_id": 1, "now": NOW}
    if write == "refund":
        assert transitions.complete(job.pk, **end)
    usage = Usage.objects.get(guild=guild, subject_id=42, window="day")
    ask = make_ask(guild)
    act = {
        "refund": lambda: moderation.refund(job.pk, by="m", now=NOW),
        "grant": lambda: moderation.grant(usage.pk, images=1),
        "reset_window": lambda: moderation.reset_window(usage.pk),
        "erase": lambda: privacy.erase_member(42, now=NOW),
        "cancel": lambda: transitions.cancel(job.pk, by=1, now=NOW),
        "record": lambda: transitions.record_images(
            job.pk, worker_id="w", images=images, grid_key="", gpu_ms=5, now=NOW
        ),
        "complete": lambda: transitions.complete(job.pk, **end),
        "submit": lambda: submission.submit(ask, now=NOW),
    }[write]

    def run() -> None:
        try:
            act()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    with lock_guild(guild.pk):
        thread.start()
        deadline = time.monotonic() + 60
        while not _waits_for_us():
            assert time.monotonic() < deadline, "it wrote without the guild's lock"
            assert thread.is_alive(), "it ended without the guild's lock"
            time.sleep(0.01)
    thread.join(60)
    assert not thread.is_alive()


def _waits_for_us() -> bool:
    with connection.cursor() as cursor:
        # The lock of a row that another transaction holds is a wait for that transaction.
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])
