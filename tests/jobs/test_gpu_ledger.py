"""The operators' budget is charged with the GPU time that was used, whatever a moderator or a member does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from guilds import gpu_ledger, installations
from guilds.models import GpuLedger, Guild, QuotaRule, Usage
from guilds.policy import Refusal
from jobs import moderation, privacy, submission, transitions
from jobs.job_status import Status
from jobs.models import Job
from jobs.submission import Accepted
from jobs.transitions import StoredImage

pytestmark = pytest.mark.django_db


@pytest.fixture
def running(make_ask, now):
    def run(guild, *, at=now, **wish):
        accepted = submission.submit(make_ask(guild, **wish), now=at)
        assert isinstance(accepted, Accepted), accepted
        assert transitions.claim(accepted.job.pk, worker_id="w", now=at)
        return accepted.job

    return run


def made(job, *, now, gpu_ms):
    images = [StoredImage(index=i, key=f"{job.pk}-{i}", seed=i, width=8, height=8, bytes=1) for i in range(job.count)]
    return transitions.record_images(job.pk, worker_id="w", images=images, grid_key="g", gpu_ms=gpu_ms, now=now)


def complete(job, *, now, gpu_ms):
    assert made(job, now=now, gpu_ms=gpu_ms)
    assert transitions.complete(job.pk, worker_id="w", delivered_via="original", message_id=1, now=now)


def used_ms(guild, now):
    return gpu_ledger.used_ms([guild.pk], now=now).get(guild.pk, 0)


def counters(guild, subject_id=0):
    rows = Usage.objects.filter(guild=guild, subject_id=subject_id)
    return {(row.images, row.gpu_ms) for row in rows}


def test_each_end_charges_what_was_measured(make_guild, running, now):
    guild = make_guild(concurrency=64)
    complete(running(guild), now=now, gpu_ms=700)
    failed = running(guild)
    assert transitions.fail(failed.pk, worker_id="w", reason="x", permanent=True, gpu_ms=30, now=now) == Status.FAILED
    blocked = running(guild)
    assert transitions.fail(blocked.pk, worker_id="w", reason="output_blocked", permanent=True, gpu_ms=500, now=now)
    cancelled = running(guild)
    assert transitions.cancel(cancelled.pk, by=1, now=now)
    assert transitions.finish_cancel(cancelled.pk, worker_id="w", gpu_ms=5, now=now)
    assert used_ms(guild, now) == 700 + 30 + 500 + 5
    assert counters(guild) == {(4, 1235)}, "images are refunded where none were delivered, GPU time is not"


def test_each_attempt_is_charged(make_guild, running, now):
    guild = make_guild()
    job = running(guild)
    assert transitions.release(job.pk, worker_id="w", gpu_ms=11, now=now)
    assert transitions.claim(job.pk, worker_id="w", now=now)
    assert transitions.fail(job.pk, worker_id="w", reason="x", permanent=False, gpu_ms=22, now=now) == Status.QUEUED
    assert transitions.claim(job.pk, worker_id="w", now=now)
    assert made(job, now=now, gpu_ms=33)
    assert transitions.release(job.pk, worker_id="w", gpu_ms=33, now=now), "its delivery takes no GPU time"
    assert transitions.claim(job.pk, worker_id="w", now=now)
    assert transitions.complete(job.pk, worker_id="w", delivered_via="original", message_id=1, now=now)
    assert used_ms(guild, now) == 66
    assert Job.objects.get().gpu_ms == 66
    assert counters(guild) == {(4, 66)}


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_lost_worker_is_charged_by_its_progress(make_guild, running, now, settings, attempts):
    settings.SPARKLE_MAX_ATTEMPTS = attempts
    guild = make_guild()
    job = running(guild)
    assert transitions.record_progress(job.pk, worker_id="w", step=4, total=16, now=now)
    job.refresh_from_db()
    assert transitions.reclaim(job, now=now + timedelta(minutes=5))
    assert used_ms(guild, now) == round(job.reserved_gpu_ms / 4)


def test_more_than_was_estimated_is_charged_too(make_guild, running, now):
    guild = make_guild()
    job = running(guild)
    complete(job, now=now, gpu_ms=3 * job.reserved_gpu_ms)
    assert used_ms(guild, now) == 3 * job.reserved_gpu_ms
    assert counters(guild, subject_id=job.user_id) == {(4, 3 * job.reserved_gpu_ms)}


@pytest.mark.parametrize(
    ("gpu_ms", "charged"),
    [
        (-5, 0),
        (0, 0),
        (1, 1),
        (gpu_ledger.MAX_GPU_MS - 1, gpu_ledger.MAX_GPU_MS - 1),
        (gpu_ledger.MAX_GPU_MS + 1, 86_400_000),
        (10**30, 86_400_000),
    ],
)
def test_an_attempt_is_charged_nothing_at_least_and_a_day_at_most(make_guild, running, now, gpu_ms, charged):
    guild = make_guild()
    complete(running(guild), now=now, gpu_ms=gpu_ms)
    assert used_ms(guild, now) == charged
    assert Job.objects.get().gpu_ms == charged
    assert counters(guild) == {(4, charged)}


def test_a_refund_never_makes_a_counter_negative(make_guild, running, now):
    """A counter may have been lowered by hand since the request was admitted."""
    guild = make_guild()
    job = running(guild)
    Usage.objects.filter(guild=guild).update(images=3, gpu_ms=1)
    assert transitions.fail(job.pk, worker_id="w", reason="x", permanent=True, gpu_ms=0, now=now) == Status.FAILED
    assert counters(guild) == counters(guild, subject_id=job.user_id) == {(0, 0)}


@pytest.fixture
def spent(make_guild, running, now):
    """A guild whose budget of 20 s is spent."""
    guild = make_guild(monthly_budget_gpu_seconds=20, time_zone="UTC")
    job = running(guild)
    complete(job, now=now, gpu_ms=20_000)
    return guild, job


def refused(guild, make_ask, now):
    answer = submission.submit(make_ask(Guild.objects.get(pk=guild.pk)), now=now)
    return isinstance(answer, Refusal) and answer.code == "budget_spent"


def test_no_refund_and_no_grant_lifts_the_budget(spent, make_ask, now):
    guild, job = spent
    assert moderation.refund(job.pk, by="m", now=now)
    for usage in Usage.objects.filter(guild=guild):
        moderation.grant(usage.pk, gpu_ms=10**9, operator=True)
        moderation.reset_window(usage.pk, operator=True)
    assert refused(guild, make_ask, now)


def test_no_setting_lifts_the_budget(spent, make_ask, now):
    guild, _ = spent
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12", "Asia/Tokyo", "America/New_York", "UTC"):
        Guild.objects.filter(pk=guild.pk).update(time_zone=zone, retention_days=1)
        assert refused(guild, make_ask, now)
    Guild.objects.filter(pk=guild.pk).update(left_at=now)
    installations.install({"id": str(guild.pk)}, now)
    assert refused(guild, make_ask, now)


def test_no_erasure_lifts_the_budget(spent, make_ask, now):
    guild, job = spent
    privacy.erase_member(job.user_id, now=now)
    assert refused(guild, make_ask, now)
    privacy.erase_guild(guild.pk, now=now)
    assert not Guild.objects.filter(pk=guild.pk).exists()
    installations.install({"id": str(guild.pk)}, now)
    Guild.objects.filter(pk=guild.pk).update(monthly_budget_gpu_seconds=20)
    assert refused(guild, make_ask, now)
    assert str(guild.pk) not in {str(key) for key in GpuLedger.objects.values_list("guild_key", flat=True)}


def test_a_month_of_the_budget_is_utcs(spent, make_ask):
    guild, _ = spent
    Guild.objects.filter(pk=guild.pk).update(time_zone="Pacific/Kiritimati")
    assert refused(guild, make_ask, datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC))
    assert not refused(guild, make_ask, datetime(2026, 12, 1, tzinfo=UTC))


def test_what_open_jobs_will_take_is_reserved_over_a_months_boundary(make_guild, make_ask):
    guild = make_guild(monthly_budget_gpu_seconds=20)
    before, after = datetime(2026, 11, 30, 23, 59, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    job = submission.submit(make_ask(guild), now=before).job
    assert job.reserved_gpu_ms == 16_000
    assert refused(guild, make_ask, after)
    assert transitions.cancel(job.pk, by=1, now=after)
    assert not refused(guild, make_ask, after)


def test_only_operators_change_the_whole_servers_counters(spent, now):
    guild, job = spent
    own = Usage.objects.get(guild=guild, subject_id=job.user_id, window="day")
    whole = Usage.objects.get(guild=guild, subject_id=0, window="day")
    assert moderation.grant(own.pk, images=1)
    assert moderation.reset_window(own.pk)
    assert not moderation.grant(whole.pk, images=1)
    assert not moderation.reset_window(whole.pk)
    assert moderation.grant(whole.pk, images=1, operator=True)


def test_five_zones_in_a_row_give_no_more_quota(make_guild, make_ask, now):
    guild = make_guild()
    for subject in ("member", "guild"):
        for window in ("day", "month"):
            QuotaRule.objects.create(guild=guild, subject=subject, metric="images", window=window, limit=8)
    accepted = 0
    for zone in ("UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Tokyo", "America/New_York", "Asia/Kolkata"):
        Guild.objects.filter(pk=guild.pk).update(time_zone=zone)
        for _ in range(3):
            accepted += isinstance(submission.submit(make_ask(guild), now=now), Accepted)
    assert accepted == 2
    assert {row.images for row in Usage.objects.filter(guild=guild)} == {8}


def test_a_grant_survives_a_change_of_zone(make_guild, make_ask, now):
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=4)
    assert isinstance(submission.submit(make_ask(guild), now=now), Accepted)
    moderation.grant(Usage.objects.get(guild=guild, subject_id=42, window="day").pk, images=4)
    Guild.objects.filter(pk=guild.pk).update(time_zone="Asia/Tokyo")
    assert isinstance(submission.submit(make_ask(guild), now=now), Accepted)
    assert isinstance(submission.submit(make_ask(guild), now=now), Refusal)


def test_erasing_ones_data_three_times_gives_one_month(make_guild, make_ask, running, now):
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="month", limit=8)
    accepted = 0
    for _ in range(3):
        for _ in range(3):
            answer = submission.submit(make_ask(guild), now=now)
            if isinstance(answer, Accepted):
                accepted += 1
                assert transitions.claim(answer.job.pk, worker_id="w", now=now)
                complete(answer.job, now=now, gpu_ms=100)
        privacy.erase_member(42, now=now)
        assert not Usage.objects.filter(subject_id=42).exists()
    assert accepted == 2
    assert isinstance(submission.submit(make_ask(guild, user_id=43), now=now), Accepted), "another member's own quota"
    assert isinstance(submission.submit(make_ask(guild), now=now + timedelta(days=31)), Accepted)


def test_a_job_that_outlives_an_erasure_gives_its_images_back(make_guild, make_ask, running, now):
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="month", limit=8)
    complete(running(guild), now=now, gpu_ms=100)
    privacy.erase_member(42, now=now)
    job = running(guild)
    privacy.erase_member(42, now=now)
    job.refresh_from_db()
    assert transitions.finish_cancel(job.pk, worker_id="w", gpu_ms=10, now=now)
    assert isinstance(submission.submit(make_ask(guild), now=now), Accepted)
    assert isinstance(submission.submit(make_ask(guild), now=now), Refusal)


def test_what_is_kept_of_an_erased_member_goes_with_its_window(make_guild, running, now):
    from jobs import upkeep

    complete(running(make_guild()), now=now, gpu_ms=100)
    privacy.erase_member(42, now=now)
    assert Usage.objects.filter(subject_id__lt=0).count() == 3
    upkeep.forget_counters(now=now)
    assert Usage.objects.filter(subject_id__lt=0).count() == 3
    upkeep.forget_counters(now=now + timedelta(days=35))
    assert not Usage.objects.filter(subject_id__lt=0).exists()
