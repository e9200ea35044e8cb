"""What moderators do to requests, images and members succeeds, once, and leaves an event."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from discord_api.client import DiscordClient
from guilds.models import Ban, BlockedTerm, QuotaRule, Usage
from guilds.policy import Refusal
from jobs import moderation, storage, submission, transitions
from jobs.job_status import Status
from jobs.models import Job, JobEvent, JobImage
from jobs.submission import Accepted
from jobs.transitions import StoredImage
from tests.simulator.in_process_transport import SiteTransport

pytestmark = pytest.mark.django_db
BY = "mona"


@pytest.fixture
def done(make_guild: Callable[..., Any], make_ask: Callable[..., Any]) -> Callable[..., Job]:
    """Make a completed request with its images in storage."""

    def make(guild: Any = None, *, count: int = 2, **ask: Any) -> Job:
        now = timezone.now()
        job: Job = submission.submit(make_ask(guild or make_guild(), count=count, **ask), now=now).job
        assert transitions.claim(job.pk, worker_id="w1", now=now)
        keys = [storage.image_key(job.guild_id, job.pk, index) for index in range(count)]
        grid = storage.grid_key(job.guild_id, job.pk)
        for key in (*keys, grid):
            storage.store(key, b"an image")
        made = [
            StoredImage(index=index, key=key, seed=index, width=8, height=8, bytes=9) for index, key in enumerate(keys)
        ]
        assert transitions.record_images(job.pk, worker_id="w1", images=made, grid_key=grid, gpu_ms=600, now=now)
        assert transitions.complete(job.pk, worker_id="w1", delivered_via="original", message_id=None, now=now)
        return Job.objects.get(pk=job.pk)

    return make


def ids(job: Job) -> list[int]:
    return list(JobImage.objects.filter(job=job).order_by("index").values_list("pk", flat=True))


def events(job: Job, kind: str) -> list[dict[str, Any]]:
    return list(JobEvent.objects.filter(job=job, kind=kind).order_by("pk").values_list("detail", flat=True))


def test_an_image_is_hidden_once_and_shown_again(done, now):
    job = done()
    first, second = ids(job)
    assert moderation.hide([first], by=BY, now=now) == 1
    assert moderation.hide([first, second], by=BY, now=now) == 1, "the first was hidden before"
    assert JobImage.objects.filter(job=job, hidden_at=now).count() == 2
    assert events(job, "hidden") == [{"by": BY, "image": 1}, {"by": BY, "image": 2}]
    assert moderation.unhide([first], by=BY, now=now) == 1
    assert moderation.unhide([first], by=BY, now=now) == 0
    assert JobImage.objects.get(pk=first).hidden_at is None
    assert events(job, "shown") == [{"by": BY, "image": 1}]


def test_an_image_is_blurred_and_clear_again(done, now):
    job = done()
    first, second = ids(job)
    assert moderation.blur([first], blurred=True, by=BY, now=now) == 1
    assert list(JobImage.objects.order_by("index").values_list("blurred", flat=True)) == [True, False]
    assert moderation.blur([first, second], blurred=False, by=BY, now=now) == 1
    assert not JobImage.objects.filter(blurred=True).exists()
    assert (events(job, "blurred"), events(job, "unblurred")) == ([{"by": BY, "image": 1}],) * 2


def test_a_dismissed_report_leaves_the_inbox_and_its_image_stays(done, now):
    job = done()
    first, _ = ids(job)
    JobImage.objects.filter(pk=first).update(reported_at=now, reported_by=7)
    assert moderation.dismiss_reports(ids(job), by=BY, now=now) == 1
    image = JobImage.objects.get(pk=first)
    assert (image.reported_at, image.reported_by, image.hidden_at) == (None, None, None)
    assert events(job, "report_dismissed") == [{"by": BY, "image": 1}]


@pytest.fixture
def discord(db: None, settings: Any) -> Any:
    """Discord as the simulator has it, with a channel where the bot may post."""
    from devtools.simulator import seed_data

    seed_data.make_servers(now=timezone.now())
    client = DiscordClient(
        "http://testserver/simulator/api/v10",
        application_id=settings.DISCORD_APPLICATION_ID,
        bot_token=settings.DISCORD_BOT_TOKEN,
        transport=SiteTransport(),
        sleep=lambda seconds: None,
    )
    yield client
    client.close()


def test_deleting_everywhere_leaves_nothing_in_storage_gallery_or_discord(done, discord, now):
    from devtools.simulator.models import SimChannel, SimMessage
    from discord_api import payloads

    channel = SimChannel.objects.get(name="sparkle")
    posted = discord.create_message(channel.pk, payloads.Message(content="Completed your Sparkle!"))
    job = done(count=4)
    Job.objects.filter(pk=job.pk).update(channel_id=channel.pk, message_id=int(posted["id"]))
    keys = [*JobImage.objects.filter(job=job).values_list("key", flat=True), job.grid_key]
    assert all(default_storage.exists(key) for key in keys)

    gone = moderation.delete_everywhere(job.pk, by=BY, now=now, client=discord)
    assert gone == moderation.Deleted(images=4, message_gone=True)
    assert not any(default_storage.exists(key) for key in keys)
    assert not JobImage.objects.filter(job=job).exists()
    assert not SimMessage.objects.filter(pk=posted["id"], deleted_at=None).exists()
    job.refresh_from_db()
    assert (job.grid_key, job.message_id, job.status) == ("", None, Status.COMPLETED)
    assert events(job, "deleted") == [{"by": BY, "images": 4}]
    # Again is no error: there is nothing left to do.
    assert moderation.delete_everywhere(job.pk, by=BY, now=now, client=discord) == moderation.Deleted(
        images=0, message_gone=True
    )


def test_a_message_that_is_gone_already_counts_as_gone_and_one_out_of_reach_does_not(done, discord, now):
    from devtools.simulator.models import SimChannel

    channel = SimChannel.objects.get(name="sparkle")
    job = done()
    Job.objects.filter(pk=job.pk).update(channel_id=channel.pk, message_id=1)
    assert moderation.delete_everywhere(job.pk, by=BY, now=now, client=discord).message_gone
    by_dm = done()
    Job.objects.filter(pk=by_dm.pk).update(delivered_via="dm", message_id=2)
    gone = moderation.delete_everywhere(by_dm.pk, by=BY, now=now, client=discord)
    assert gone == moderation.Deleted(images=2, message_gone=False)


def test_a_running_job_is_not_deleted(make_guild, make_ask, now):
    job = submission.submit(make_ask(make_guild()), now=now).job
    assert transitions.claim(job.pk, worker_id="w1", now=now)
    assert moderation.delete_everywhere(job.pk, by=BY, now=now) is None
    assert not events(job, "deleted")


def test_a_refund_returns_used_images_once(make_guild, done, now):
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=10)
    job = done(guild, count=4)
    used = Usage.objects.get(guild=guild, subject_id=job.user_id, window="day")
    assert used.images == 4
    assert moderation.refund(job.pk, by=BY, now=now)
    assert not moderation.refund(job.pk, by=BY, now=now)
    used.refresh_from_db()
    assert used.images == 0
    assert events(job, "refunded") == [{"by": BY}]


def test_a_retry_is_a_request_of_its_own_with_the_same_words_and_seed(make_guild, done, now):
    job = done(make_guild(), seed=77, prompt="a blue square")
    again = moderation.retry(job.pk, by=BY, now=timezone.now())
    assert isinstance(again, Accepted)
    made = Job.objects.get(pk=again.job.pk)
    assert made.pk != job.pk
    assert (made.prompt, made.seed, made.user_id, made.channel_id) == ("a blue square", 77, job.user_id, job.channel_id)
    assert made.encrypted_token in (b"", memoryview(b"")), "there is no interaction to answer"
    assert events(job, "retried") == [{"by": BY, "as_job": made.pk}]
    assert moderation.retry(made.pk, by=BY, now=now) is None, "it has not ended yet"


def test_a_retry_is_subject_to_the_members_limits(make_guild, done):
    job = done(make_guild())
    Ban.objects.create(guild_id=job.guild_id, user_id=job.user_id)
    refused = moderation.retry(job.pk, by=BY, now=timezone.now())
    assert isinstance(refused, Refusal)
    assert refused.code == "banned"
    assert not events(job, "retried")


def test_a_ban_cancels_and_refunds_what_the_member_has_waiting_there_and_nowhere_else(make_guild, make_ask, now):
    here, there = make_guild(), make_guild()
    waiting = [submission.submit(make_ask(here), now=now).job for _ in range(2)]
    elsewhere = submission.submit(make_ask(there), now=now).job
    Ban.objects.create(guild=here, user_id=42, reason="flooding", until=now + timedelta(days=1), created_by=BY)
    assert moderation.cancel_member_jobs(here.pk, 42, by=BY, now=now) == 2
    assert {Job.objects.get(pk=job.pk).status for job in waiting} == {Status.CANCELLED}
    assert Job.objects.get(pk=elsewhere.pk).status == Status.QUEUED
    assert Usage.objects.filter(guild=here, images__gt=0).count() == 0
    refused = submission.submit(make_ask(here), now=now)
    assert isinstance(refused, Refusal)
    assert refused.code == "banned"


def test_a_grant_raises_the_limit_and_a_reset_restores_it(make_guild, make_ask, done):
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=4)
    job = done(guild, count=4)
    now = timezone.now()
    assert isinstance(submission.submit(make_ask(guild, count=1), now=now), Refusal)
    usage = Usage.objects.get(guild=guild, subject_id=job.user_id, window="day")
    assert moderation.grant(usage.pk, images=1)
    assert isinstance(submission.submit(make_ask(guild, count=1), now=now), Accepted)
    assert isinstance(submission.submit(make_ask(guild, count=1), now=now), Refusal)
    assert moderation.reset_window(usage.pk)
    assert isinstance(submission.submit(make_ask(guild, count=4), now=now), Accepted)
    assert not moderation.grant(10**9, images=1)


def test_a_dry_run_reports_matching_prompts_and_changes_nothing(make_guild, make_ask, now):
    here, there = make_guild(), make_guild()
    for guild, prompt in ((here, "A Red FOX in snow"), (here, "a foxglove"), (here, "a hen"), (there, "a fox")):
        submission.submit(make_ask(guild, prompt=prompt), now=now)
    found = moderation.dry_run("fox", guild_ids=[here.pk])
    assert (found.looked_at, found.hits) == (3, 1), "whole words, of one's own servers"
    assert [job.prompt for job in found.examples] == ["A Red FOX in snow"]
    assert moderation.dry_run("fox", guild_ids=None).hits == 2
    assert moderation.dry_run("  ", guild_ids=None).hits == 0
    assert not BlockedTerm.objects.exists()


def test_a_dry_run_over_the_longest_prompts_is_limited_in_time(make_guild, make_ask, now):
    guild = make_guild()
    job = submission.submit(make_ask(guild, prompt="a hen"), now=now).job
    words = ["masterpiece,", "(best quality:1.2),", "un été", "美しい", "дом", "누워서", "一个女孩", "[cat|dog]"]
    prompts = [" ".join(words[(n + k) % len(words)] + str(n * k % 97) for k in range(900))[:6000] for n in range(2000)]
    for start in range(0, len(prompts), 500):
        copies = [copy.copy(job) for _ in prompts[start : start + 500]]
        for n, (row, prompt) in enumerate(zip(copies, prompts[start:], strict=False)):
            row.pk, row.interaction_id, row.prompt = None, job.interaction_id + 10**9 + start + n, prompt
        Job.objects.bulk_create(copies)
    began = time.process_time()
    found = moderation.dry_run("dark magic", guild_ids=[guild.pk])
    took = time.process_time() - began
    assert took < 2.5
    assert (found.looked_at, found.hits) == (2000, 0)


def test_a_refusal_shows_the_moderators_own_words(make_guild, make_ask, now):
    guild = make_guild()
    BlockedTerm.objects.create(guild=guild, phrase="Brüste & Möse")
    refusal = submission.submit(make_ask(guild, prompt="[brueste|MOESE]"), now=now)
    assert isinstance(refusal, Refusal)
    assert refusal.params["term"] == "Brüste & Möse"
    assert BlockedTerm.objects.get().hits == 1
