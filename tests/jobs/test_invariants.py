"""Random members, roles, rules, clocks, failures, cancels and bans, against the invariants that must always hold."""

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.db import connections

from guilds import gpu_ledger, quota
from guilds.generation_params import RequestedParams
from guilds.models import Ban, Guild, ModelProfile, QuotaRule, Usage
from guilds.quota_clock import WINDOWS, window_start
from jobs import submission, transitions, upkeep
from jobs.job_status import ACTIVE, ENDED, Status
from jobs.models import Job
from jobs.submission import Accepted, JobRequest
from jobs.transitions import StoredImage
from tests.conftest import NOW
from tests.properties import given, settings, st

_ids = itertools.count(1_300_000_000_000_000_000)
MEMBERS = (1, 2, 3)
ROLE = 9

rules = st.lists(
    st.tuples(
        st.sampled_from(["guild", "member", "role"]),
        st.sampled_from(["images", "gpu_seconds"]),
        st.sampled_from(["hour", "day", "month"]),
        st.integers(0, 40),
    ),
    max_size=4,
    unique_by=lambda rule: rule[:3],
)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from(MEMBERS), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("claim")),
        st.tuples(st.just("progress"), st.integers(1, 16)),
        st.tuples(st.just("deliver"), st.integers(0, 9000)),
        st.tuples(st.just("fail"), st.booleans(), st.one_of(st.none(), st.integers(0, 9000))),
        st.tuples(st.just("give_back"), st.one_of(st.none(), st.integers(0, 9000))),
        st.tuples(st.just("cancel"), st.integers(0, 10)),
        st.tuples(st.just("die")),
        st.tuples(st.just("wait"), st.integers(1, 90)),
        st.tuples(st.just("ban"), st.sampled_from(MEMBERS)),
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class World:
    guild: Guild
    now: object = NOW
    running: list[int] = field(default_factory=list)
    started: list[tuple[int, int]] = field(default_factory=list)

    def submit(self, member, count, has_role):
        ask = JobRequest(
            interaction_id=next(_ids), application_id=1, token="t", guild_id=self.guild.pk, channel_id=7,
            user_id=member, role_ids=frozenset({ROLE} if has_role else ()),
            params=RequestedParams(prompt="a star", count=count),
        )  # fmt: skip
        submission.submit(ask, now=self.now)

    def claim(self):
        # The queue keeps each member's order, so a worker sees the first of a member's queued jobs.
        for job in Job.objects.filter(guild=self.guild, status=Status.QUEUED).order_by("queued_at")[:1]:
            if transitions.claim(job.pk, worker_id="w", now=self.now):
                self.running.append(job.pk)

    def deliver(self, gpu_ms):
        for pk in self.running[:1]:
            job = Job.objects.get(pk=pk)
            made = [StoredImage(index=i, key=f"{pk}-{i}", seed=i, width=8, height=8, bytes=1) for i in range(job.count)]
            if transitions.record_images(pk, worker_id="w", images=made, grid_key="g", gpu_ms=gpu_ms, now=self.now):
                assert transitions.complete(pk, worker_id="w", delivered_via="original", message_id=1, now=self.now)
                self.running.remove(pk)

    def progress(self, step):
        for pk in self.running[:1]:
            transitions.record_progress(pk, worker_id="w", step=step, total=16, now=self.now)

    def fail(self, permanent, gpu_ms):
        for pk in self.running[:1]:
            assert transitions.fail(pk, worker_id="w", reason="x", permanent=permanent, gpu_ms=gpu_ms, now=self.now)
            self.running.remove(pk)

    def give_back(self, gpu_ms):
        for pk in self.running[:1]:
            assert transitions.release(pk, worker_id="w", gpu_ms=gpu_ms, now=self.now)
            self.running.remove(pk)

    def cancel(self, which):
        jobs = list(Job.objects.filter(guild=self.guild).order_by("pk").values_list("pk", flat=True))
        if jobs:
            transitions.cancel(jobs[which % len(jobs)], by=1, now=self.now)
            for pk in list(self.running):
                if transitions.finish_cancel(pk, worker_id="w", now=self.now):
                    self.running.remove(pk)

    def die(self):
        if self.running:
            self.now += timedelta(minutes=2)
            upkeep.reclaim_dead(now=self.now)
            self.running.clear()

    def wait(self, minutes):
        self.now += timedelta(minutes=minutes)
        transitions.renew(self.running, worker_id="w", now=self.now)

    def ban(self, member):
        Ban.objects.get_or_create(guild=self.guild, user_id=member, until=self.now + timedelta(minutes=30))


def check_invariants(world):
    guild = world.guild
    jobs = list(Job.objects.filter(guild=guild))
    assert sum(job.status in ACTIVE for job in jobs) <= guild.concurrency
    for job in jobs:
        assert (job.settled_at is not None) == (job.status in ENDED), "settled once, at its end"
        assert job.attempts <= 3
    # What the counters say is what the rows say.
    for window, subject in itertools.product(WINDOWS, (quota.GUILD_SUBJECT, *MEMBERS)):
        expected: Counter[object] = Counter()
        gpu_ms: Counter[object] = Counter()
        for job in jobs:
            if job.status == Status.REFUSED or subject not in (quota.GUILD_SUBJECT, job.user_id):
                continue
            start = window_start(window, job.created_at, guild.time_zone)
            held = job.reserved_images
            if job.settled_at:
                held = job.reserved_images if job.status == Status.COMPLETED else 0
            expected[start] += held
            gpu_ms[start] += job.gpu_ms if job.settled_at else job.reserved_gpu_ms
        rows = Usage.objects.filter(guild=guild, subject_id=subject, window=window)
        assert {row.starts_at: row.images for row in rows if row.images} == {
            start: images for start, images in expected.items() if images
        }
        assert {row.starts_at: row.gpu_ms for row in rows if row.gpu_ms} == {at: ms for at, ms in gpu_ms.items() if ms}
    # GPU time that was used stays used, however the job ended.
    assert gpu_ledger.used_ms([guild.pk], now=world.now).get(guild.pk, 0) == sum(job.gpu_ms for job in jobs)
    # No member's rule, and no guild's rule, is ever overdrawn, but by what took longer than was estimated.
    for rule in QuotaRule.objects.filter(guild=guild).exclude(subject="role"):
        if (
            rule.subject == "member"
            and QuotaRule.objects.filter(guild=guild, subject="role", metric=rule.metric, window=rule.window).exists()
        ):
            continue
        rows = Usage.objects.filter(guild=guild, window=rule.window)
        rows = rows.filter(subject_id=0) if rule.subject == "guild" else rows.exclude(subject_id=0)
        longer = sum(max(0, job.gpu_ms - job.reserved_gpu_ms) for job in jobs) / 1000
        for row in rows:
            used = row.images if rule.metric == "images" else row.gpu_ms / 1000 - longer
            assert used <= rule.limit


@pytest.mark.django_db
@settings(max_examples=60)
@given(rules=rules, operations=operations, concurrency=st.integers(1, 3), zone=st.sampled_from(["UTC", "Asia/Tokyo"]))
def test_the_invariants_hold_after_every_operation(db, rules, operations, concurrency, zone):
    ModelProfile.objects.update(gpu_ms_per_step=100)
    guild = Guild.objects.create(pk=next(_ids), concurrency=concurrency, time_zone=zone)
    for subject, metric, window, limit in rules:
        QuotaRule.objects.create(
            guild=guild, subject=subject, role_id=ROLE if subject == "role" else None, metric=metric, window=window,
            limit=limit,
        )  # fmt: skip
    world = World(guild)
    for name, *arguments in operations:
        getattr(world, name)(*arguments)
        check_invariants(world)
    # Drained, everything has ended and nothing is held.
    for _ in range(200):
        world.claim()
        world.deliver(500)
        if not Job.objects.filter(guild=guild).exclude(status__in=ENDED).exists():
            break
    check_invariants(world)
    assert not Job.objects.filter(guild=guild).exclude(status__in=ENDED).exists()


@pytest.mark.django_db(transaction=True)
def test_concurrent_submits_exceed_neither_quota_nor_concurrency():
    guild = Guild.objects.create(pk=next(_ids), concurrency=3, max_waiting_per_member=50)
    QuotaRule.objects.create(guild=guild, subject="guild", limit=40)
    interactions = [next(_ids) for _ in range(24)]

    def one(number):
        try:
            ask = JobRequest(
                interaction_id=interactions[number % 24], application_id=1, token="t", guild_id=guild.pk,
                channel_id=7, user_id=number % 5 + 1, params=RequestedParams(prompt="a star", count=4),
            )  # fmt: skip
            return submission.submit(ask, now=NOW + timedelta(milliseconds=number))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, range(48)))
    accepted = {result.job.pk for result in results if isinstance(result, Accepted)}
    assert len(accepted) == 10  # 40 images, four a request
    jobs = Job.objects.filter(guild=guild)
    assert jobs.filter(status=Status.QUEUED).count() == 3
    assert jobs.filter(status=Status.WAITING).count() == 7
    assert jobs.count() == 24
    assert Usage.objects.get(guild=guild, subject_id=0, window="day").images == 40


@pytest.mark.django_db
def test_a_flood_of_one_guild_does_not_starve_another(make_guild, make_ask, now):
    flooding, quiet = make_guild(concurrency=8, max_waiting=1000, max_waiting_per_member=1000), make_guild()
    for _ in range(500):
        assert isinstance(submission.submit(make_ask(flooding), now=now), Accepted)
    single = submission.submit(make_ask(quiet), now=now).job
    world = World(flooding, now=now)
    for position in range(1, 12):
        head = Job.objects.filter(status=Status.QUEUED).order_by("queued_at", "pk").first()
        claimed = transitions.claim(head.pk, worker_id="w", now=world.now)
        world.now += timedelta(seconds=1)
        made = [StoredImage(index=0, key=f"{head.pk}", seed=0, width=8, height=8, bytes=1)]
        transitions.record_images(head.pk, worker_id="w", images=made, grid_key="g", gpu_ms=1, now=world.now)
        transitions.complete(head.pk, worker_id="w", delivered_via="original", message_id=1, now=world.now)
        if claimed.pk == single.pk:
            break
    assert position <= flooding.concurrency + 1
