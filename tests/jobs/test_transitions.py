from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from guilds.models import Ban, BlockedTerm, ModelProfile, Platform, QuotaRule, Usage
from guilds.policy import Refusal
from jobs import submission, transitions
from jobs.dispatch import sending
from jobs.dispatch.memory import MemoryDispatcher
from jobs.dispatch.message import DispatchFailed
from jobs.job_status import Status
from jobs.models import Job, JobEvent
from jobs.submission import Accepted
from jobs.transitions import StoredImage

pytestmark = pytest.mark.django_db


def sent():
    return [message.job_id for message in MemoryDispatcher.sent]


def images_of(job, count=None):
    return [
        StoredImage(index=i, key=f"k{job.pk}-{i}", seed=job.seed + i, width=512, height=512, bytes=9)
        for i in range(count or job.count)
    ]


def deliver(job, worker="w1", *, now, gpu_ms=1000):
    assert transitions.record_images(
        job.pk, worker_id=worker, images=images_of(job), grid_key="g", gpu_ms=gpu_ms, now=now
    )
    return transitions.complete(job.pk, worker_id=worker, delivered_via="original", message_id=5, now=now)


def used(guild, user_id=42, window="day"):
    row = Usage.objects.filter(guild=guild, subject_id=user_id, window=window).first()
    return (row.images, row.gpu_ms) if row else (0, 0)


def test_a_request_travels_from_submit_to_completed(make_guild, make_ask, now):
    guild = make_guild()
    accepted = submission.submit(make_ask(guild), now=now)
    assert isinstance(accepted, Accepted)
    job = accepted.job
    assert (job.status, accepted.place, accepted.gpu_starting) == (Status.QUEUED, 1, True)
    assert sent() == [job.pk]
    assert used(guild) == (4, job.reserved_gpu_ms)

    claimed = transitions.claim(job.pk, worker_id="w1", now=now)
    assert claimed is not None
    assert claimed.token == "a-token"
    assert transitions.record_progress(job.pk, worker_id="w1", step=3, total=16, now=now)
    assert deliver(claimed, now=now)

    job.refresh_from_db()
    assert (job.status, job.delivered_via, job.message_id, job.token) == (Status.COMPLETED, "original", 5, "")
    assert used(guild) == (4, 1000)
    assert [event.kind for event in job.events.all()] == ["waiting", "queued", "running", "made", "completed"]


def test_the_same_interaction_twice_is_one_job(make_guild, make_ask, now):
    ask = make_ask(make_guild())
    first = submission.submit(ask, now=now)
    again = submission.submit(ask, now=now + timedelta(seconds=1))
    assert isinstance(again, Accepted)
    assert again.job.pk == first.job.pk
    assert again.repeated
    assert Job.objects.count() == 1
    assert used(ask and first.job.guild) == (4, first.job.reserved_gpu_ms)


def test_a_refusal_is_recorded_and_costs_nothing(make_guild, make_ask, now):
    guild = make_guild(enabled=False)
    refusal = submission.submit(make_ask(guild), now=now)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "guild_disabled"
    assert Job.objects.get().status == Status.REFUSED
    assert used(guild) == (0, 0)
    assert sent() == []


def test_refuses_when_the_daily_limit_is_spent_and_accepts_again_after_the_reset(make_guild, make_ask, now):
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="member", limit=8)
    for _ in range(2):
        assert isinstance(submission.submit(make_ask(guild), now=now), Accepted)
    refusal = submission.submit(make_ask(guild), now=now)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "quota_exceeded"
    assert refusal.params["limit"] == 8
    assert isinstance(submission.submit(make_ask(guild, user_id=43), now=now), Accepted)
    assert isinstance(submission.submit(make_ask(guild), now=now + timedelta(days=1)), Accepted)


def test_a_role_with_an_unlimited_rule_is_not_held_by_the_members_rule(make_guild, make_ask, now):
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="member", limit=4)
    QuotaRule.objects.create(guild=guild, subject="role", role_id=9, limit=None)
    for _ in range(3):
        assert isinstance(submission.submit(make_ask(guild, role_ids=frozenset({9})), now=now), Accepted)


def test_a_budget_warns_and_then_stops(make_guild, make_ask, now):
    ModelProfile.objects.update(gpu_ms_per_step=1000)  # 64 s a request
    guild = make_guild(monthly_budget_gpu_seconds=150, budget_warning_percent=80)
    assert submission.submit(make_ask(guild), now=now).budget_warning is False
    assert submission.submit(make_ask(guild), now=now).budget_warning is True
    assert submission.submit(make_ask(guild), now=now).code == "budget_spent"


def test_a_banned_member_is_refused_until_the_ban_ends(make_guild, make_ask, now):
    guild = make_guild()
    Ban.objects.create(guild=guild, user_id=42, reason="spam", until=now + timedelta(hours=1))
    assert submission.submit(make_ask(guild), now=now).params == {"reason": "spam"}
    assert isinstance(submission.submit(make_ask(guild), now=now + timedelta(hours=2)), Accepted)
    Ban.objects.create(guild=None, user_id=43)
    assert submission.submit(make_ask(guild, user_id=43), now=now).code == "banned"


def test_a_blocked_term_counts_its_hits(make_guild, make_ask, now):
    guild = make_guild()
    BlockedTerm.objects.create(guild=guild, phrase="Dark Magic")
    assert submission.submit(make_ask(guild, prompt="some dàrk magic!"), now=now).code == "term_blocked"
    assert BlockedTerm.objects.get().hits == 1
    assert isinstance(submission.submit(make_ask(make_guild(), prompt="dark magic"), now=now), Accepted)


def test_the_operators_switch_stops_every_guild(make_guild, make_ask, now):
    Platform.objects.update(maintenance=True, notice="Back at noon.")
    refusal = submission.submit(make_ask(make_guild()), now=now)
    assert (refusal.code, refusal.params["notice"]) == ("maintenance", "Back at noon.")


def test_what_exceeds_the_concurrency_waits_and_is_promoted_when_a_job_ends(make_guild, make_ask, now):
    guild = make_guild(concurrency=1)
    first = submission.submit(make_ask(guild), now=now).job
    second = submission.submit(make_ask(guild), now=now)
    assert (second.job.status, second.place) == (Status.WAITING, 2)
    assert sent() == [first.pk]
    claimed = transitions.claim(first.pk, worker_id="w1", now=now)
    assert deliver(claimed, now=now)
    assert sent() == [first.pk, second.job.pk]


def test_members_take_turns(make_guild, make_ask, now):
    guild = make_guild(concurrency=1)
    running = submission.submit(make_ask(guild, user_id=1), now=now).job
    flood = [submission.submit(make_ask(guild, user_id=1), now=now).job.pk for _ in range(3)]
    single = submission.submit(make_ask(guild, user_id=2), now=now).job.pk
    order = []
    current = running.pk
    for _ in range(4):
        now += timedelta(seconds=1)
        deliver(transitions.claim(current, worker_id="w1", now=now), now=now)
        current = Job.objects.get(status=Status.QUEUED).pk
        order.append(current)
    assert order == [single, *flood]


def test_the_queue_has_a_limit(make_guild, make_ask, now):
    guild = make_guild(concurrency=1, max_waiting=3, max_waiting_per_member=2)
    for _ in range(3):
        assert isinstance(submission.submit(make_ask(guild), now=now), Accepted)
    assert submission.submit(make_ask(guild), now=now).code == "too_many_waiting"
    assert isinstance(submission.submit(make_ask(guild, user_id=43), now=now), Accepted)
    assert submission.submit(make_ask(guild, user_id=44), now=now).code == "queue_full"


def test_only_one_worker_can_claim(make_guild, make_ask, now):
    job = submission.submit(make_ask(make_guild()), now=now).job
    assert transitions.claim(job.pk, worker_id="w1", now=now) is not None
    assert transitions.claim(job.pk, worker_id="w2", now=now) is None
    assert transitions.claim(10**9, worker_id="w2", now=now) is None


def test_a_lost_workers_job_is_taken_over_and_its_late_result_ignored(make_guild, make_ask, now, settings):
    job = submission.submit(make_ask(make_guild()), now=now).job
    lost = transitions.claim(job.pk, worker_id="w1", now=now)
    later = now + timedelta(seconds=settings.SPARKLE_LEASE_SECONDS + 1)
    taken = transitions.claim(job.pk, worker_id="w2", now=later)
    assert taken is not None
    assert taken.attempts == 2
    assert not transitions.record_progress(job.pk, worker_id="w1", step=1, total=2, now=later)
    assert not transitions.record_images(
        job.pk, worker_id="w1", images=images_of(lost), grid_key="g", gpu_ms=1, now=later
    )
    assert not transitions.complete(job.pk, worker_id="w1", delivered_via="original", message_id=1, now=later)
    assert deliver(taken, "w2", now=later)


def test_fails_with_a_refund_after_the_last_attempt(make_guild, make_ask, now, settings):
    guild = make_guild()
    job = submission.submit(make_ask(guild), now=now).job
    for attempt in range(1, settings.SPARKLE_MAX_ATTEMPTS + 1):
        assert transitions.claim(job.pk, worker_id="w1", now=now) is not None
        status = transitions.fail(job.pk, worker_id="w1", reason="out_of_memory", permanent=False, now=now)
        assert status == (Status.FAILED if attempt == settings.SPARKLE_MAX_ATTEMPTS else Status.QUEUED)
    assert used(guild) == (0, 0)
    assert sent() == [job.pk] * settings.SPARKLE_MAX_ATTEMPTS
    assert transitions.fail(job.pk, worker_id="w1", reason="again", permanent=True, now=now) is None


def test_a_released_job_does_not_count_the_attempt(make_guild, make_ask, now):
    job = submission.submit(make_ask(make_guild()), now=now).job
    for _ in range(5):
        assert transitions.claim(job.pk, worker_id="w1", now=now) is not None
        assert transitions.release(job.pk, worker_id="w1", now=now)
    job.refresh_from_db()
    assert (job.status, job.attempts) == (Status.QUEUED, 0)


def test_cancelling_a_waiting_job_refunds_it_once(make_guild, make_ask, now):
    guild = make_guild(concurrency=1)
    submission.submit(make_ask(guild), now=now)
    job = submission.submit(make_ask(guild), now=now).job
    before = used(guild)[0]
    assert transitions.cancel(job.pk, by=42, now=now)
    assert not transitions.cancel(job.pk, by=42, now=now)
    assert used(guild)[0] == before - 4


def test_cancelling_a_running_job_takes_effect_at_the_next_step(make_guild, make_ask, now):
    guild = make_guild()
    job = submission.submit(make_ask(guild), now=now).job
    transitions.claim(job.pk, worker_id="w1", now=now)
    assert transitions.cancel(job.pk, by=42, now=now)
    assert not transitions.record_progress(job.pk, worker_id="w1", step=1, total=16, now=now)
    assert transitions.renew([job.pk], worker_id="w1", now=now).cancel == {job.pk}
    assert transitions.finish_cancel(job.pk, worker_id="w1", now=now)
    assert used(guild) == (0, 0)


def test_a_job_with_stored_images_is_neither_cancelled_nor_expired(make_guild, make_ask, now):
    guild = make_guild()
    job = submission.submit(make_ask(guild), now=now).job
    transitions.claim(job.pk, worker_id="w1", now=now)
    image = StoredImage(index=0, key="k", seed=job.seed, width=512, height=512, bytes=9)
    transitions.cancel(job.pk, by=42, now=now)
    # The wish came while the images were being stored, and the worker is lost after it posted them.
    assert transitions.record_images(job.pk, worker_id="w1", images=[image], grid_key="g", gpu_ms=5, now=now)
    job.refresh_from_db()
    later = job.lease_expires_at + timedelta(seconds=1)
    assert transitions.reclaim(job, now=later) == Status.QUEUED
    assert not transitions.cancel(job.pk, by=42, now=later)
    assert not transitions.expire(job.pk, now=later)
    assert transitions.claim(job.pk, worker_id="w2", now=later)
    assert transitions.complete(job.pk, worker_id="w2", delivered_via="original", message_id=1, now=later)
    assert used(guild)[0] == 4


def test_a_variation_of_another_guilds_image_is_refused(make_guild, make_ask, now):
    ours, theirs = make_guild(), make_guild()
    job = submission.submit(make_ask(theirs), now=now).job
    deliver(transitions.claim(job.pk, worker_id="w1", now=now), now=now)
    ask = {"kind": "variation", "source_job_id": job.pk, "source_index": 1}
    assert submission.submit(make_ask(ours, **ask), now=now).code == "image_gone"
    assert isinstance(submission.submit(make_ask(theirs, **ask), now=now), Accepted)


def test_no_job_is_lost_while_the_queue_is_unavailable(make_guild, make_ask, now):
    class Away:
        def send(self, messages):
            raise DispatchFailed("away")

    job = submission.submit(make_ask(make_guild()), now=now, dispatch=Away()).job
    job.refresh_from_db()
    assert (job.status, job.message_sent_at) == (Status.QUEUED, None)
    assert sending.resend_messages([job.pk], now=now) == 1
    assert sent() == [job.pk]


def test_the_token_is_encrypted_at_rest(make_guild, make_ask, now):
    job = submission.submit(make_ask(make_guild(), token="planted-secret"), now=now).job
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(j)::text FROM jobs_job j WHERE id = %s", [job.pk])
        row = cursor.fetchone()[0]
    assert "planted-secret" not in row
    assert b"planted-secret".hex() not in row
    assert Job.objects.get(pk=job.pk).token == "planted-secret"


def test_an_accepted_request_takes_few_statements_and_not_more_with_history(make_guild, make_ask, now):
    guild = make_guild(concurrency=64)
    QuotaRule.objects.create(guild=guild, subject="member", limit=10_000)
    submission.submit(make_ask(guild), now=now)
    with CaptureQueriesContext(connection) as few:
        submission.submit(make_ask(guild), now=now)
    for _ in range(10):
        submission.submit(make_ask(guild), now=now)
    with CaptureQueriesContext(connection) as many:
        submission.submit(make_ask(guild), now=now)
    assert len(few) == len(many) <= 9, [query["sql"][:80] for query in many]


def test_events_are_written_for_every_move(make_guild, make_ask, now):
    job = submission.submit(make_ask(make_guild()), now=now).job
    transitions.claim(job.pk, worker_id="w1", now=now)
    transitions.release(job.pk, worker_id="w1", now=now)
    transitions.cancel(job.pk, by=7, now=now)
    events = list(JobEvent.objects.filter(job=job).values_list("kind", "old_status"))
    assert events == [("waiting", ""), ("queued", "waiting"), ("running", "queued"), ("queued", "running"),
                      ("cancelled", "queued")]  # fmt: skip
