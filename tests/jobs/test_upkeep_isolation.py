"""One server's rows, and one part of upkeep, cost the others nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import connection
from pytest_httpserver import HTTPServer

from discord_api.client import DiscordClient
from jobs import submission, transitions, upkeep
from jobs.models import ClosedRoute, Job
from jobs.transitions import StoredImage
from jobs.upkeep_tasks.task import Deadline, Row, TaskRun, interleave_guilds

pytestmark = pytest.mark.django_db


def completed(make_ask, guild, now, **fields):
    job = submission.submit(make_ask(guild, **fields), now=now).job
    transitions.claim(job.pk, worker_id="w1", now=now)
    made = [StoredImage(index=0, key=f"jobs/{job.pk}", seed=1, width=8, height=8, bytes=7)]
    transitions.record_images(job.pk, worker_id="w1", images=made, grid_key="", gpu_ms=5, now=now)
    assert transitions.complete(job.pk, worker_id="w1", delivered_via="original", message_id=1, now=now)
    return job


def test_a_retention_beyond_any_date_stops_no_other_server(make_guild, make_ask, now):
    poison, good = make_guild(), make_guild()
    completed(make_ask, poison, now)
    job = completed(make_ask, good, now)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE guilds_guild DROP CONSTRAINT guild_retention_days_bounds")
        cursor.execute("UPDATE guilds_guild SET retention_days = 2000000000 WHERE id = %s", [poison.pk])
    assert upkeep.purge_images(now=now + timedelta(days=100)) == 1
    job.refresh_from_db()
    assert job.prompt == ""


def test_a_row_that_breaks_stops_no_other_row(make_guild, make_ask, now, monkeypatch, caplog):
    guild = make_guild(concurrency=3)
    jobs = [completed(make_ask, guild, now) for _ in range(3)]
    delete = FileSystemStorage.delete

    def delete_all_but_the_first(self, key):
        if key == jobs[0].grid_key:
            raise OSError("this object cannot be deleted")
        delete(self, key)

    Job.objects.filter(pk=jobs[0].pk).update(grid_key="kept")
    jobs[0].refresh_from_db()
    monkeypatch.setattr(FileSystemStorage, "delete", delete_all_but_the_first)
    assert upkeep.purge_images(now=now + timedelta(days=100)) == 2
    assert [record.job_id for record in caplog.records if record.msg == "upkeep_row_failed"] == [jobs[0].pk]


def test_many_backed_off_messages_do_not_hide_one_that_is_lost(make_guild, make_ask, now):
    guild = make_guild(concurrency=64, max_waiting=10_000)
    job = submission.submit(make_ask(guild), now=now).job
    template = Job.objects.get(pk=job.pk)
    later = now + timedelta(seconds=1000)
    backed_off = []
    for n in range(250):
        copy = Job.objects.get(pk=template.pk)
        copy.pk, copy.interaction_id = None, template.interaction_id + 1 + n
        # Sent six times: not due for hours. All are older than the lost one.
        copy.messages_sent, copy.message_sent_at, copy.created_at = (
            6,
            later - timedelta(seconds=900),
            now - timedelta(hours=1),
        )
        backed_off.append(copy)
    Job.objects.bulk_create(backed_off)
    assert upkeep.resend_lost_messages(now=later) == 1
    job.refresh_from_db()
    assert job.messages_sent == 2


def test_an_outage_of_discord_keeps_nothing_else_from_its_work(make_guild, make_ask, now, httpserver: HTTPServer):
    httpserver.expect_request("").respond_with_data("down", status=503)
    guild = make_guild(concurrency=64)
    key = default_storage.save("jobs/held", ContentFile(b"png"))
    job = completed(make_ask, guild, now)
    Job.objects.filter(pk=job.pk).update(grid_key=key, encrypted_token=b"sealed")
    later = now + timedelta(days=100)
    for n in range(20):
        unsaid = submission.submit(make_ask(guild, user_id=n + 1), now=later).job
        transitions.cancel(unsaid.pk, by=1, now=later)
    naps: list[float] = []
    client = DiscordClient(
        httpserver.url_for("/api/v10"), application_id=1, bot_token="bot", sleep=naps.append, attempts=1
    )
    report = upkeep.run(now=later + timedelta(minutes=20), client=client)
    client.close()
    assert report.changed["wipe_tokens"] > 0
    assert report.changed["purge_images"] > 0
    assert not default_storage.exists(key)
    # The first refusal of a server that is down ends the part, and the next ones are not begun.
    assert len(httpserver.log) <= 2
    assert "notify_ended" in report.skipped or "notify_ended" in report.unfinished


def test_what_an_outage_held_up_is_tried_again_a_minute_later(make_guild, make_ask, now, httpserver: HTTPServer):
    httpserver.expect_request("").respond_with_data("down", status=503)
    unsaid = submission.submit(make_ask(make_guild()), now=now).job
    transitions.cancel(unsaid.pk, by=1, now=now)
    client = DiscordClient(httpserver.url_for("/api/v10"), application_id=1, bot_token="bot", attempts=1)
    later = now + timedelta(minutes=20)
    upkeep.run(now=later, client=client)
    client.close()
    unsaid.refresh_from_db()
    assert unsaid.notified_at is None
    assert unsaid.notify_after == later + timedelta(minutes=1)


def test_servers_take_turns():
    rows = [Row(pk=n, guild_id=1) for n in range(5)] + [Row(pk=10, guild_id=2), Row(pk=20, guild_id=3)]
    assert [row.pk for row in interleave_guilds(rows)] == [0, 10, 20, 1, 2, 3, 4]


def test_what_the_budget_leaves_over_is_the_next_runs(now):
    clock = iter(range(100))
    work = TaskRun(name="test", now=now, deadline=Deadline(3, clock=lambda: next(clock)))
    done: list[int] = []
    work.for_each([Row(pk=n, guild_id=n) for n in range(10)], lambda pk: done.append(pk) is None)
    assert work.unfinished
    assert 0 < len(done) < 10


def test_a_part_without_time_is_unfinished(now):
    report = upkeep.run(now=now, budget_s=0)
    assert set(report.unfinished) == {part.name for part in upkeep.TASKS}


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, 50013), (403, 50001), (404, 10003), (400, 50083), (400, 160005), (400, 50008), (400, 20009), (400, 77777)],
)
def test_where_a_channel_is_closed_the_next_route_is_taken(make_guild, make_ask, now, httpserver, status, code):
    """The token is dead; the channel refuses; a direct message is taken."""
    job = submission.submit(make_ask(make_guild()), now=now).job
    transitions.cancel(job.pk, by=1, now=now)
    httpserver.expect_request("/api/v10/channels/77/messages").respond_with_json(
        {"code": code, "message": "no"}, status=status
    )
    httpserver.expect_request("/api/v10/users/@me/channels").respond_with_json({"id": "5"})
    httpserver.expect_request("/api/v10/channels/5/messages").respond_with_json({"id": "6"})
    client = DiscordClient(
        httpserver.url_for("/api/v10"), application_id=1, bot_token="bot", sleep=lambda seconds: None
    )
    assert upkeep.notify_ended(now=now + timedelta(minutes=20), client=client) == 1
    job.refresh_from_db()
    assert job.delivered_via == Job.Via.DM
    closed = ClosedRoute.objects.filter(kind="channel", target_id=77).exists()
    assert closed is (code not in (20009, 77777)), "a filter refuses one message, not all of them"
    client.close()


def test_a_closed_channel_is_left_alone_for_a_while(make_guild, make_ask, now, httpserver):
    httpserver.expect_request("/api/v10/channels/77/messages").respond_with_json({"code": 50013}, status=403)
    httpserver.expect_request("/api/v10/users/@me/channels").respond_with_json({"code": 50007}, status=403)
    guild = make_guild(concurrency=9)
    client = DiscordClient(
        httpserver.url_for("/api/v10"), application_id=1, bot_token="bot", sleep=lambda seconds: None
    )
    for _ in range(5):
        job = submission.submit(make_ask(guild), now=now).job
        transitions.cancel(job.pk, by=1, now=now)
    assert upkeep.notify_ended(now=now + timedelta(minutes=20), client=client) == 5
    assert len(httpserver.log) == 2, "one post and one direct message were tried for five requests"
    client.close()


def test_parts_that_need_no_discord_come_first():
    needs = [part.needs_discord for part in upkeep.TASKS]
    assert needs == sorted(needs)
    assert all(part.budget_s > 0 for part in upkeep.TASKS)


def test_images_that_were_made_while_discord_was_away_are_delivered_later(make_guild, make_ask, now, httpserver):
    job = submission.submit(make_ask(make_guild()), now=now).job
    transitions.claim(job.pk, worker_id="w1", now=now)
    key = default_storage.save("jobs/late", ContentFile(b"a png"))
    made = [StoredImage(index=0, key=key, seed=1, width=8, height=8, bytes=5)]
    transitions.record_images(job.pk, worker_id="w1", images=made, grid_key=key, gpu_ms=5, now=now)
    assert transitions.complete(job.pk, worker_id="w1", delivered_via=None, message_id=None, now=now)
    httpserver.expect_request("/api/v10/channels/77/messages").respond_with_json({"id": "6"})
    client = DiscordClient(
        httpserver.url_for("/api/v10"), application_id=1, bot_token="bot", sleep=lambda seconds: None
    )
    assert upkeep.notify_ended(now=now + timedelta(minutes=20), client=client) == 1
    job.refresh_from_db()
    assert (job.delivered_via, job.message_id, bytes(job.encrypted_token)) == (Job.Via.CHANNEL, 6, b"")
    (request, _), *_ = httpserver.log
    assert b"a png" in request.get_data()
    assert b"Completed your Sparkle!" in request.get_data()
    assert upkeep.notify_ended(now=now + timedelta(minutes=30), client=client) == 0
    client.close()
