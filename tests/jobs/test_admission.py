"""Two requests of one guild at once: the second decides by what the first has written."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections

from guilds.models import Guild, QuotaRule, Usage
from guilds.policy import Refusal
from jobs import submission, transitions
from jobs.guild_lock import lock_guild
from jobs.job_status import Status
from jobs.models import Job

from .sql_statements import asked

pytestmark = pytest.mark.django_db(transaction=True)
Submit = Callable[[], submission.Accepted | Refusal]


def _someone_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        # Not pg_stat_activity, which stays as it was at its first reading in a transaction.
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])


def overtaken(guild: Guild, late: Submit, early: Callable[[], Any]) -> submission.Accepted | Refusal:
    """Let `late` wait for the guild's lock while `early` is done under it; return what `late` came to."""

    def act() -> submission.Accepted | Refusal:
        try:
            return late()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with lock_guild(guild.pk):
            result: Future[submission.Accepted | Refusal] = pool.submit(act)
            deadline = time.monotonic() + 60
            while not _someone_waits_for_us():
                assert time.monotonic() < deadline, "it did not ask for the guild's lock"
                assert not result.done(), result.result()
                time.sleep(0.01)
            early()
        return result.result(timeout=60)


@pytest.fixture
def submit(make_ask: Callable[..., Any], now: datetime) -> Callable[..., submission.Accepted | Refusal]:
    return lambda guild, **wish: submission.submit(make_ask(guild, **wish), now=now)


def test_the_quota_that_another_request_has_just_spent_is_not_spent_again(make_guild, submit):
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="guild", metric="images", window="day", limit=8)
    assert isinstance(submit(guild, count=4), submission.Accepted)
    late = overtaken(guild, lambda: submit(guild, count=4), lambda: submit(guild, count=4))
    assert isinstance(late, Refusal)
    assert late.code == "quota_exceeded"
    assert set(Usage.objects.filter(guild=guild, subject_id=0).values_list("images", flat=True)) == {8}
    assert Job.objects.filter(guild=guild).exclude(status=Status.REFUSED).count() == 2


def test_usage_that_a_refund_offsets_in_the_guilds_counter_still_counts_for_the_member(make_guild, submit, now):
    """The guild's counter is unchanged, the member's is not."""
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=4)
    others = submit(guild, count=4, user_id=1)

    def early() -> None:
        submit(guild, count=4, user_id=2)
        transitions.cancel(others.job.pk, by=1, now=now)

    late = overtaken(guild, lambda: submit(guild, count=4, user_id=2), early)
    assert isinstance(late, Refusal)
    assert Usage.objects.get(guild=guild, subject_id=2, window="day").images == 4


def test_the_first_two_requests_of_a_month_at_once_are_both_counted(make_guild, submit):
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="guild", metric="images", window="day", limit=8)
    late = overtaken(guild, lambda: submit(guild, count=3), lambda: submit(guild, count=3))
    assert isinstance(late, submission.Accepted)
    assert set(Usage.objects.filter(guild=guild, subject_id=0).values_list("images", flat=True)) == {6}
    for job in Job.objects.filter(guild=guild):
        assert set(job.usage_ids) == set(Usage.objects.filter(guild=guild).values_list("pk", flat=True))


def test_the_months_first_request_is_not_admitted_twice_over(make_guild, submit):
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="guild", metric="images", window="day", limit=4)
    late = overtaken(guild, lambda: submit(guild, count=4), lambda: submit(guild, count=4))
    assert isinstance(late, Refusal)
    assert set(Usage.objects.filter(guild=guild, subject_id=0).values_list("images", flat=True)) == {4}


def test_a_request_waits_if_a_concurrent_one_took_the_last_slot(make_guild, submit, now):
    guild = make_guild(concurrency=2)
    first = submit(guild)
    late = overtaken(guild, lambda: submit(guild), lambda: submit(guild))
    assert isinstance(late, submission.Accepted)
    assert late.job.status == Status.WAITING
    assert transitions.cancel(first.job.pk, by=1, now=now)
    late.job.refresh_from_db()
    assert late.job.status == Status.QUEUED


def test_a_request_is_queued_if_a_slot_was_just_freed(make_guild, submit, now):
    """A request that starts to wait after the last job has ended would never be promoted."""
    guild = make_guild(concurrency=1)
    first = submit(guild)
    late = overtaken(guild, lambda: submit(guild), lambda: transitions.cancel(first.job.pk, by=1, now=now))
    assert isinstance(late, submission.Accepted)
    assert late.job.status == Status.QUEUED


def test_facts_are_read_once_and_after_the_lock(make_guild, submit):
    guild = make_guild(concurrency=1)
    for _ in range(3):
        with asked() as statements:
            last = submit(guild)
    assert isinstance(last, submission.Accepted)
    assert last.job.status == Status.WAITING
    kinds = [
        "lock" if "FOR NO KEY UPDATE" in sql else "facts" if "json_build_object" in sql else "write"
        for sql, _ in statements
    ]
    assert kinds == ["lock", "facts", "write"]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_two_requests_on_both_sides_of_a_month_boundary_share_one_slot(make_guild, make_ask, zone):
    """Each uses its own month's counter, and both take one lock."""
    boundary = {"UTC": datetime(2026, 12, 1, tzinfo=UTC), "Asia/Tokyo": datetime(2026, 11, 30, 15, tzinfo=UTC)}[zone]
    guild = make_guild(concurrency=1, time_zone=zone, monthly_budget_gpu_seconds=10_000)
    before, after = boundary - timedelta(microseconds=1), boundary
    asks = [make_ask(guild), make_ask(guild)]
    late = overtaken(
        guild, lambda: submission.submit(asks[0], now=before), lambda: submission.submit(asks[1], now=after)
    )
    assert isinstance(late, submission.Accepted)
    assert sorted(Job.objects.values_list("status", flat=True)) == [Status.QUEUED, Status.WAITING]
    months = Usage.objects.filter(guild=guild, subject_id=0, window="month").order_by("starts_at")
    assert [row.images for row in months] == [4, 4]


def test_a_concurrent_rename_of_the_guild_does_not_affect_admission(make_guild, submit):
    guild = make_guild()
    submit(guild)
    late = overtaken(guild, lambda: submit(guild), lambda: Guild.objects.filter(pk=guild.pk).update(name="Renamed"))
    assert isinstance(late, submission.Accepted)
    assert late.job.status == Status.QUEUED


def test_the_same_interaction_at_once_is_one_job(make_guild, make_ask, now):
    guild = make_guild()
    submission.submit(make_ask(guild), now=now)
    ask = make_ask(guild)
    early: list[Any] = []
    late = overtaken(
        guild, lambda: submission.submit(ask, now=now), lambda: early.append(submission.submit(ask, now=now))
    )
    assert isinstance(late, submission.Accepted)
    assert late.repeated
    assert late.job.pk == early[0].job.pk
