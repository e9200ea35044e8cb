"""The relaxed lane: it starts no GPU until it is due, rides along where one runs, and delays no prompt request."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from guilds.models import Guild, QuotaRule
from guilds.policy import Refusal
from jobs import fair_queue, progress_messages, relaxed_promotion, scaling, submission, transitions, upkeep
from jobs.dispatch.memory import MemoryDispatcher
from jobs.job_status import Status
from jobs.models import Worker
from jobs.scaling import Demand, Limits, desired_workers, worker_deficit

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(make_ask, now):
    def submit(guild, *, at=now, **wish):
        return submission.submit(make_ask(guild, **wish), now=at)

    return submit


def status(job):
    job.refresh_from_db()
    return job.status


def workers(now):
    return scaling.desired_workers(fair_queue.read_demand(now=now), Limits())


def end(job, *, now):
    transitions.claim(job.pk, worker_id="w1", now=now)
    assert transitions.fail(job.pk, worker_id="w1", reason="failed", permanent=True, now=now)


# -- pure


@pytest.mark.parametrize(
    ("demand", "expected"),
    [
        (Demand(runnable=0, relaxed=31), 0),
        # Together they are worth a start.
        (Demand(runnable=0, relaxed=32), 1),
        (Demand(runnable=0, relaxed=65), 3),
        # One that is due is runnable.
        (Demand(runnable=1, relaxed=31), 1),
    ],
)
def test_relaxed_requests_start_a_worker_only_together(demand, expected):
    assert desired_workers(demand, Limits(relaxed_together=32, jobs_per_worker=32)) == expected


def test_a_worker_that_runs_stays_for_relaxed_requests_and_no_further_one_starts():
    assert worker_deficit(Demand(runnable=0, relaxed=5), desired=1, limits=Limits()) == 0
    assert worker_deficit(Demand(runnable=0, relaxed=5), desired=0, limits=Limits()) == 0
    assert worker_deficit(Demand(runnable=0, relaxed=1), desired=3, limits=Limits()) == -2
    assert worker_deficit(Demand(runnable=0, relaxed=0), desired=1, limits=Limits()) == -1


# -- from the request to the GPU


def test_a_relaxed_request_waits_and_asks_for_no_gpu_until_it_is_due(make_guild, ask, now):
    guild = make_guild(relaxed_patience_hours=2)
    accepted = ask(guild, speed="relaxed")
    assert status(accepted.job) == Status.WAITING
    assert not MemoryDispatcher.sent
    due = now + timedelta(hours=2)
    assert accepted.job.due_at == due
    assert workers(due - timedelta(seconds=1)) == 0
    assert workers(due) == 1
    # Upkeep gives it its turn, as every other job's.
    assert upkeep.start_relaxed(now=due - timedelta(seconds=1)) == 0
    assert upkeep.start_relaxed(now=due) == 1
    assert status(accepted.job) == Status.QUEUED
    assert [message.job_id for message in MemoryDispatcher.sent] == [accepted.job.pk]


def test_the_reply_says_when_it_starts_at_the_latest(make_guild, ask, now):
    accepted = ask(make_guild(), speed="relaxed")
    text = progress_messages.submitted(
        accepted.job, place=accepted.place, wait_s=accepted.wait_s, gpu_starting=True
    ).content
    assert f"<t:{int((now + timedelta(hours=6)).timestamp())}:R>" in text
    assert "Relaxed" in text
    # No promise that only a prompt request can keep.
    assert "next in line" not in text
    assert "starting up" not in text


def test_a_servers_default_applies_to_requests_without_a_speed(make_guild, ask):
    guild = make_guild(default_speed="relaxed")
    assert ask(guild).job.due_at is not None
    assert ask(guild, speed="prompt").job.due_at is None


def test_an_unknown_speed_is_refused_with_what_is_allowed(make_guild, ask):
    refusal = ask(make_guild(), speed="warp")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.params["parameter"], refusal.params["range"]) == (
        "parameter_out_of_range",
        "speed",
        "prompt, relaxed",
    )


def test_what_remains_when_a_quota_is_used_up_is_relaxed_where_the_server_says_so(make_guild, ask):
    guild = make_guild(relaxed_over_quota=True)
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=4)
    first, second = ask(guild, count=4), ask(guild, count=4)
    assert (first.job.due_at, first.over_quota) == (None, False)
    assert second.job.due_at is not None
    assert second.over_quota
    shown = progress_messages.submitted(second.job, place=0, wait_s=None, gpu_starting=False, over_quota=True).content
    assert "quota is used up" in shown


def test_the_budget_is_never_lifted(make_guild, ask):
    guild = make_guild(relaxed_over_quota=True, monthly_budget_gpu_seconds=0)
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=0)
    refusal = ask(guild, count=4)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "budget_spent"


# -- beside prompt requests


def test_an_idle_worker_takes_relaxed_jobs_of_each_server_in_turn(make_guild, ask, now):
    first, second = make_guild(), make_guild()
    jobs = [ask(first, speed="relaxed", at=now + timedelta(seconds=n)).job for n in range(3)]
    other = ask(second, speed="relaxed", at=now + timedelta(seconds=9)).job
    assert relaxed_promotion.promote_relaxed(now=now + timedelta(minutes=1), most=2) == 2
    assert [status(job) for job in [*jobs, other]] == ["queued", "waiting", "waiting", "queued"]


def test_no_relaxed_job_is_queued_before_a_prompt_one(make_guild, ask, now):
    guild = make_guild()
    waits = ask(guild, speed="relaxed").job
    prompt = ask(guild).job
    assert relaxed_promotion.promote_relaxed(now=now, most=4) == 0
    end(prompt, now=now)
    assert relaxed_promotion.promote_relaxed(now=now, most=4) == 1
    assert status(waits) == Status.QUEUED


def test_relaxed_jobs_take_no_slot_and_no_place_of_a_prompt_request(make_guild, ask, now):
    guild = make_guild(concurrency=1, max_waiting_per_member=1, max_waiting=1)
    ask(guild, speed="relaxed")
    relaxed_promotion.promote_relaxed(now=now, most=1)
    ask(guild, speed="relaxed")
    prompt = ask(guild)
    assert prompt.job.status == Status.QUEUED
    # One relaxed job may wait, one prompt job may wait, each in its own lane.
    refusal = ask(guild, speed="relaxed")
    assert isinstance(refusal, Refusal)
    assert refusal.code == "too_many_waiting"
    assert ask(guild).job.status == Status.WAITING


def test_the_end_of_a_prompt_job_promotes_no_relaxed_one_that_is_not_due(make_guild, ask, now):
    guild = make_guild(concurrency=1)
    prompt, waits = ask(guild).job, ask(guild, speed="relaxed").job
    end(prompt, now=now)
    assert status(waits) == Status.WAITING


def test_relaxed_requests_do_not_keep_a_worker_awake(make_guild, ask, now):
    guild = make_guild()
    for _ in range(20):
        ask(guild, speed="relaxed", user_id=_ + 1)
    demand = fair_queue.read_demand(now=now + timedelta(seconds=1))
    assert (demand.runnable, demand.relaxed, demand.accepted_in_long_window) == (0, 20, 0)


def test_upkeep_gives_relaxed_jobs_to_a_worker_that_reports_it_is_idle(make_guild, ask, now):
    job = ask(make_guild(), speed="relaxed").job
    Worker.objects.create(id="w1", state=Worker.State.BUSY, seen_at=now)
    assert upkeep.start_relaxed(now=now) == 0
    Worker.objects.update(state=Worker.State.READY)
    assert upkeep.start_relaxed(now=now) == 1
    assert status(job) == Status.QUEUED


# -- time


def test_a_relaxed_job_expires_hours_after_it_was_due(make_guild, ask, now):
    job = ask(make_guild(relaxed_patience_hours=24), speed="relaxed").job
    assert upkeep.expire_old(now=now + timedelta(hours=29)) == 0
    assert status(job) == Status.WAITING
    assert upkeep.expire_old(now=now + timedelta(hours=31)) == 1
    assert status(job) == Status.EXPIRED


@pytest.mark.parametrize("jump", [timedelta(days=-30), timedelta(days=-2), timedelta(hours=7), timedelta(days=400)])
def test_a_clock_that_jumps_strands_no_request(make_guild, ask, now, jump):
    job = ask(make_guild(), speed="relaxed").job
    assert workers(now + jump) == 1
    assert upkeep.start_relaxed(now=now + jump) == 1
    assert status(job) == Status.QUEUED


def test_a_clock_that_goes_back_an_hour_starts_no_gpu(make_guild, ask, now):
    ask(make_guild(), speed="relaxed")
    assert workers(now - timedelta(hours=1)) == 0


# -- the setting


@pytest.mark.parametrize("hours", [0, 25])
def test_a_patience_out_of_bounds_is_refused_by_form_and_database(make_guild, hours):
    guild = make_guild()
    guild.relaxed_patience_hours = hours
    with pytest.raises(ValidationError, match="Enter a value from 1 to 24"):
        guild.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        Guild.objects.filter(pk=guild.pk).update(relaxed_patience_hours=hours)
