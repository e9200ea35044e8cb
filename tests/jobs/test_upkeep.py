from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from pytest_httpserver import HTTPServer

from discord_api.client import ATTEMPTS, DiscordClient
from guilds.models import ModelProfile, Usage
from jobs import storage, submission, transitions, upkeep
from jobs.dispatch.memory import MemoryDispatcher
from jobs.job_status import Status
from jobs.models import Job
from jobs.transitions import StoredImage

pytestmark = pytest.mark.django_db
REPLY = "/api/v10/webhooks/1/a-token/messages/@original"


@pytest.fixture
def discord(httpserver: HTTPServer) -> Iterator[DiscordClient]:
    client = DiscordClient(
        httpserver.url_for("/api/v10"), application_id=1, bot_token="bot", sleep=lambda seconds: None
    )
    yield client
    client.close()


def submitted(make_guild, make_ask, now, **fields):
    return submission.submit(make_ask(make_guild(), **fields), now=now).job


def completed(job, *, now, key="k", gpu_ms=6400):
    transitions.claim(job.pk, worker_id="w1", now=now)
    made = [StoredImage(index=0, key=key, seed=1, width=8, height=8, bytes=7)]
    transitions.record_images(job.pk, worker_id="w1", images=made, grid_key="", gpu_ms=gpu_ms, now=now)
    assert transitions.complete(job.pk, worker_id="w1", delivered_via="original", message_id=1, now=now)


def test_resends_a_lost_message_at_growing_intervals(make_guild, make_ask, now):
    job = submitted(make_guild, make_ask, now)
    assert upkeep.resend_lost_messages(now=now + timedelta(minutes=4)) == 0
    assert upkeep.resend_lost_messages(now=now + timedelta(minutes=6)) == 1
    assert upkeep.resend_lost_messages(now=now + timedelta(minutes=12)) == 0
    assert upkeep.resend_lost_messages(now=now + timedelta(minutes=17)) == 1
    assert [message.job_id for message in MemoryDispatcher.sent] == [job.pk] * 3


def test_reclaims_a_lost_workers_job_until_its_attempts_are_spent(make_guild, make_ask, now, settings):
    job = submitted(make_guild, make_ask, now)
    for attempt in range(1, settings.SPARKLE_MAX_ATTEMPTS + 1):
        assert transitions.claim(job.pk, worker_id=f"w{attempt}", now=now) is not None
        now += timedelta(seconds=settings.SPARKLE_LEASE_SECONDS + 1)
        assert upkeep.reclaim_dead(now=now) == 1
        assert upkeep.reclaim_dead(now=now) == 0
    job.refresh_from_db()
    assert (job.status, job.reason) == (Status.FAILED, "worker_lost")
    assert not Usage.objects.exclude(images=0).exists()


def test_stored_images_are_delivered_after_any_number_of_lost_workers(make_guild, make_ask, now, settings):
    job = submitted(make_guild, make_ask, now, count=1)
    for _ in range(settings.SPARKLE_MAX_ATTEMPTS + 2):
        transitions.claim(job.pk, worker_id="w1", now=now)
        made = [StoredImage(index=0, key="k", seed=1, width=8, height=8, bytes=7)]
        transitions.record_images(job.pk, worker_id="w1", images=made, grid_key="", gpu_ms=1, now=now)
        now += timedelta(minutes=2)
        upkeep.reclaim_dead(now=now)
    job.refresh_from_db()
    assert job.status == Status.QUEUED


def test_expires_and_refunds_jobs_that_were_never_started(make_guild, make_ask, now):
    job = submitted(make_guild, make_ask, now)
    assert upkeep.expire_old(now=now + timedelta(hours=5)) == 0
    assert upkeep.expire_old(now=now + timedelta(hours=7)) == 1
    job.refresh_from_db()
    assert job.status == Status.EXPIRED
    assert not Usage.objects.exclude(images=0).exists()


def test_delivers_the_final_message_that_no_worker_delivered(make_guild, make_ask, now, httpserver, discord):
    job = submitted(make_guild, make_ask, now)
    transitions.cancel(job.pk, by=1, now=now)
    for method in ("GET", "PATCH"):
        httpserver.expect_ordered_request(REPLY, method=method).respond_with_json({"id": "9"})
    assert upkeep.notify_ended(now=now + timedelta(minutes=1), client=discord) == 1
    assert upkeep.notify_ended(now=now + timedelta(minutes=1), client=discord) == 0
    httpserver.check_assertions()
    job.refresh_from_db()
    assert (job.delivered_via, job.message_id, job.token) == ("original", 9, "")


def test_postpones_delivery_while_discord_is_unavailable(make_guild, make_ask, now, httpserver, discord):
    job = submitted(make_guild, make_ask, now)
    transitions.cancel(job.pk, by=1, now=now)
    httpserver.expect_request(REPLY).respond_with_data(status=503)
    assert upkeep.notify_ended(now=now + timedelta(minutes=1), client=discord) == 0
    job.refresh_from_db()
    assert job.notified_at is None
    assert job.token == "a-token"


def test_saves_the_reply_id_before_the_token_expires(make_guild, make_ask, now, httpserver, discord):
    job = submitted(make_guild, make_ask, now)
    private = submission.submit(make_ask(make_guild(results_ephemeral=True)), now=now).job
    httpserver.expect_oneshot_request(REPLY, method="GET").respond_with_json({"id": "9"})
    assert upkeep.save_reply_ids(now=now + timedelta(minutes=9), client=discord) == 0
    assert upkeep.save_reply_ids(now=now + timedelta(minutes=10), client=discord) == 1
    assert upkeep.save_reply_ids(now=now + timedelta(minutes=11), client=discord) == 0
    httpserver.check_assertions()
    assert [Job.objects.get(pk=each.pk).message_id for each in (job, private)] == [9, None]


def test_fetches_only_one_reply_while_discord_is_unavailable(make_guild, make_ask, now, httpserver, discord):
    guild = make_guild()
    for _ in range(3):
        submission.submit(make_ask(guild), now=now)
    httpserver.expect_request(REPLY).respond_with_data(status=503)
    assert upkeep.save_reply_ids(now=now + timedelta(minutes=10), client=discord) == 0
    assert len(httpserver.log) == ATTEMPTS


def test_a_failed_row_is_reported_with_its_task_and_the_others_are_done(make_guild, make_ask, now, caplog, settings):
    job = submitted(make_guild, make_ask, now)
    transitions.cancel(job.pk, by=1, now=now)
    # No client can be made of this, so nothing can be announced.
    settings.DISCORD_API_BASE = None
    assert upkeep.run(now=now + timedelta(minutes=16)).changed["wipe_tokens"] == 1
    assert {record.task for record in caplog.records if record.msg == "upkeep_row_failed"} == {"notify_ended"}


def test_deletes_expired_tokens(make_guild, make_ask, now):
    job = submitted(make_guild, make_ask, now)
    assert upkeep.wipe_tokens(now=now + timedelta(minutes=14)) == 0
    assert upkeep.wipe_tokens(now=now + timedelta(minutes=15)) == 1
    assert Job.objects.get(pk=job.pk).token == ""


def test_purges_images_and_words_by_the_guilds_retention(make_guild, make_ask, now):
    guild = make_guild(retention_days=30)
    job = submission.submit(make_ask(guild, prompt="a secret garden"), now=now).job
    key = default_storage.save(f"{guild.pk}/{job.pk}/0.png", ContentFile(b"image"))
    completed(job, now=now, key=key)
    assert upkeep.purge_images(now=now + timedelta(days=29)) == 0
    assert upkeep.purge_images(now=now + timedelta(days=31)) == 1
    assert upkeep.purge_images(now=now + timedelta(days=31)) == 0
    job.refresh_from_db()
    assert (job.prompt, job.images.count(), job.status) == ("", 0, Status.COMPLETED)
    assert not default_storage.exists(key)


def test_learns_the_measured_time_of_a_step(make_guild, make_ask, now):
    for _ in range(5):
        completed(submitted(make_guild, make_ask, now, steps=16, count=4), now=now, gpu_ms=16 * 4 * 77)
    upkeep.learn_speed(now=now)
    assert ModelProfile.objects.get(is_default=True).learned_gpu_ms_per_step == pytest.approx(77)
    asked = submission.submit(make_ask(make_guild(), steps=16, count=4), now=now)
    assert asked.job.reserved_gpu_ms == 16 * 4 * 77


def test_an_error_in_one_task_does_not_stop_the_others(make_guild, make_ask, now, settings, discord, monkeypatch):
    job = submitted(make_guild, make_ask, now)
    transitions.claim(job.pk, worker_id="w1", now=now)

    def broken(work):
        raise OSError("the disk is gone")

    parts = [replace(part, do=broken) if part.name == "resend_lost_messages" else part for part in upkeep.TASKS]
    monkeypatch.setattr(upkeep, "TASKS", parts)
    report = upkeep.run(now=now + timedelta(days=200), client=discord)
    # The last one asks Discord, which is not there.
    assert set(report.failed) - {"refresh_command_ids"} == {"resend_lost_messages"}
    assert report.changed["reclaim_dead"] == 1


def test_concurrent_runs_do_everything_once(make_guild, make_ask, now):
    job = submitted(make_guild, make_ask, now)
    transitions.claim(job.pk, worker_id="w1", now=now)
    stale = Job.objects.get(pk=job.pk)
    later = now + timedelta(minutes=5)
    assert transitions.reclaim(stale, now=later) == Status.QUEUED
    assert transitions.reclaim(stale, now=later) is None


def test_syncs_the_bots_guilds_every_15_minutes(make_guild, httpserver, discord, now):
    stays, leaves = make_guild(), make_guild()
    httpserver.expect_request("/api/v10/users/@me/guilds").respond_with_json([{"id": str(stays.pk), "name": "Stays"}])
    assert upkeep.sync_guilds(now=now + timedelta(minutes=7), client=discord) == 0
    assert upkeep.sync_guilds(now=now, client=discord) == 1
    leaves.refresh_from_db()
    assert leaves.left_at == now


def test_forgets_counters_of_windows_long_past(make_guild, now):
    guild = make_guild()
    for window, days in (("hour", 9), ("hour", 7), ("day", 401), ("day", 9), ("month", 401), ("month", 399)):
        Usage.objects.create(guild=guild, subject_id=1, window=window, starts_at=now - timedelta(days=days))
    assert upkeep.forget_counters(now=now) == 3
    kept = Usage.objects.order_by("window").values_list("window", "starts_at")
    assert [(window, (now - at).days) for window, at in kept] == [("day", 9), ("hour", 7), ("month", 399)]


@pytest.mark.parametrize(
    ("layout", "names"), [("grid", ["sparkle-{}.png"]), ("attachments", ["sparkle-{}-1.png", "sparkle-{}-2.png"])]
)
def test_late_images_have_the_servers_layout(make_guild, make_ask, now, httpserver, discord, layout, names):
    job = submission.submit(make_ask(make_guild(result_layout=layout), count=2), now=now).job
    transitions.claim(job.pk, worker_id="w1", now=now)
    made = []
    for index in range(2):
        key = storage.image_key(job.guild_id, job.pk, index)
        storage.store(key, b"png")
        made.append(StoredImage(index=index, key=key, seed=1, width=8, height=8, bytes=3))
    grid = storage.grid_key(job.guild_id, job.pk)
    storage.store(grid, b"grid")
    transitions.record_images(job.pk, worker_id="w1", images=made, grid_key=grid, gpu_ms=1, now=now)
    assert transitions.complete(job.pk, worker_id="w1", delivered_via="", message_id=None, now=now)
    Job.objects.filter(pk=job.pk).update(notified_at=None, reply_deadline=now)
    httpserver.expect_request(f"/api/v10/channels/{job.channel_id}/messages").respond_with_json({"id": "9"})
    assert upkeep.notify_ended(now=now + timedelta(minutes=1), client=discord) == 1
    (sent,) = [request for request, _ in httpserver.log]
    body = sent.get_data()
    assert [name.format(job.pk).encode() in body for name in names] == [True] * len(names)
    assert (b"grid" in body) is (layout == "grid")
