"""Moderators remove single images, warn and ban members; the mod-log channel is told once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone

from devtools.simulator import injected_faults, seed_data, snowflake_generator, store
from devtools.simulator.message_rules import NewFile, Upload
from devtools.simulator.models import SimChannel, SimMessage, SimUser
from discord_api.client import DiscordClient
from guilds.models import Ban, Guild, MemberNote, ModLogEntry, QuotaRule
from guilds.policy import Refusal
from jobs import image_removal, member_moderation, privacy, reports, storage, submission, transitions, upkeep
from jobs.job_status import Status
from jobs.models import Job, JobEvent, JobImage
from jobs.transitions import StoredImage
from tests.simulator.in_process_transport import SiteTransport

pytestmark = pytest.mark.django_db
BY = "discord-77"


@pytest.fixture
def client(db: None) -> Iterator[DiscordClient]:
    seed_data.make_servers(now=timezone.now())
    made = DiscordClient(
        "http://testserver/simulator/api/v10",
        application_id=settings.DISCORD_APPLICATION_ID,
        bot_token=settings.DISCORD_BOT_TOKEN,
        transport=SiteTransport(),
        attempts=1,
        sleep=lambda seconds: None,
    )
    yield made
    made.close()


@pytest.fixture
def guild(client: DiscordClient, make_guild: Callable[..., Any]) -> Guild:
    log = SimChannel.objects.get(guild__name="Pixel Garden", name="general")
    made: Guild = make_guild(id=log.guild_id, name="Pixel Garden", mod_log_channel_id=log.pk)
    return made


@pytest.fixture
def done(guild: Guild, make_ask: Callable[..., Any]) -> Callable[..., Job]:
    """Make a completed request of Yuki's with its images in storage and in a message with so many files."""

    def make(*, files: int, count: int = 4) -> Job:
        now = timezone.now()
        channel = SimChannel.objects.get(guild_id=guild.pk, name="sparkle")
        yuki = SimUser.objects.get(username="yuki")
        ask = make_ask(guild, count=count, channel_id=channel.pk, user_id=yuki.pk)
        job: Job = submission.submit(ask, now=now).job
        assert transitions.claim(job.pk, worker_id="w1", now=now)
        keys = [storage.image_key(job.guild_id, job.pk, index) for index in range(count)]
        grid = storage.grid_key(job.guild_id, job.pk)
        for key in (*keys, grid):
            storage.store(key, b"an image")
        made = [
            StoredImage(index=index, key=key, seed=index, width=8, height=8, bytes=9) for index, key in enumerate(keys)
        ]
        assert transitions.record_images(job.pk, worker_id="w1", images=made, grid_key=grid, gpu_ms=600, now=now)
        posted = SimMessage.objects.create(
            pk=snowflake_generator.make(now), channel=channel, author=store.bot(), content="Completed your Sparkle!"
        )
        for number in range(files):
            name = f"{number}.png"
            upload = Upload(index=number, filename=name, content_type="image/png", content=b"an image")
            store.attach(NewFile(upload=upload, filename=name, description=""), message=posted, now=now)
        assert transitions.complete(job.pk, worker_id="w1", delivered_via="channel", message_id=posted.pk, now=now)
        return Job.objects.get(pk=job.pk)

    return make


def image(job: Job, index: int) -> JobImage:
    return JobImage.objects.get(job=job, index=index)


def logged(guild: Guild) -> list[str]:
    """Return the lines that upkeep posted in the mod-log channel."""
    messages = SimMessage.objects.filter(channel_id=guild.mod_log_channel_id).order_by("pk")
    return [line for message in messages for line in message.content.splitlines()]


def test_one_of_four_images_is_removed_from_discord_storage_and_gallery(client, done, now):
    job = done(files=4)
    second = image(job, 1)
    (removed,) = image_removal.remove([second.pk], by=BY, now=now, client=client)
    assert (removed.images, removed.others, removed.on_discord, removed.message_deleted) == (1, 3, True, False)
    assert not default_storage.exists(second.key)
    assert not default_storage.exists(job.grid_key), "the grid shows the removed image too"
    assert list(JobImage.objects.filter(job=job).values_list("index", flat=True)) == [0, 2, 3]
    posted = SimMessage.objects.get(pk=job.message_id)
    assert [each.filename for each in posted.attachments.order_by("pk")] == ["0.png", "2.png", "3.png"]
    assert posted.content == "Completed your Sparkle!", "the rest of the message stays"
    assert JobEvent.objects.get(job=job, kind="removed").detail == {"by": BY, "images": "2"}


def test_a_grid_that_shows_the_image_leaves_discord_as_a_whole(client, done, now):
    job = done(files=1)
    (removed,) = image_removal.remove([image(job, 0).pk], by=BY, now=now, client=client)
    assert (removed.others, removed.on_discord, removed.message_deleted) == (3, True, True)
    assert SimMessage.objects.get(pk=job.message_id).deleted_at is not None
    assert JobImage.objects.filter(job=job).count() == 3


def test_an_image_leaves_the_storage_even_while_discord_is_unavailable(client, done, now):
    job = done(files=4)
    injected_faults.plan("server_error", path="/messages", times=9)
    (removed,) = image_removal.remove([image(job, 0).pk], by=BY, now=now, client=client)
    assert not removed.on_discord
    assert JobImage.objects.filter(job=job).count() == 3


def test_removing_a_reported_image_decides_the_report_and_an_erasure_that_waited_for_it(client, done, now):
    job = done(files=4)
    reports.report(job, by=5, now=now)
    for index in range(3):
        image_removal.remove([image(job, index).pk], by=BY, now=now, client=client)
    privacy.erase_member(job.user_id, now=now)
    assert Job.objects.filter(pk=job.pk).exists(), "one report is still open"
    image_removal.remove([image(job, 3).pk], by=BY, now=now, client=client)
    assert not Job.objects.filter(pk=job.pk).exists()


def test_a_warning_reaches_the_member_in_their_language_and_stays_on_record(client, guild, done, now):
    job = done(files=1)
    Job.objects.filter(pk=job.pk).update(locale="de")
    assert member_moderation.warn(guild, job.user_id, reason="No @everyone", by=BY, now=now, client=client)
    (dm,) = SimMessage.objects.filter(channel__recipient_id=job.user_id)
    assert "Moderation von **Pixel Garden**" in dm.content
    assert not dm.pinged_everyone
    warning = MemberNote.objects.get()
    assert (warning.kind, warning.text, warning.created_by) == ("warning", "No @everyone", BY)


def test_a_member_who_takes_no_messages_is_warned_on_record(client, guild, now):
    nadia = SimUser.objects.get(username="nadia")
    assert not member_moderation.warn(guild, nadia.pk, reason="", by=BY, now=now, client=client)
    assert MemberNote.objects.filter(user_id=nadia.pk).count() == 1


def test_a_time_out_is_replaced_by_a_ban_and_cancels_what_waits(guild, make_ask, now):
    waiting = submission.submit(make_ask(guild, user_id=9), now=now).job
    until = now + member_moderation.TIME_OUTS["1h"]
    ban, cancelled = member_moderation.ban(guild.pk, 9, until=until, reason="spam", by=BY, now=now)
    assert cancelled == 1
    assert Job.objects.get(pk=waiting.pk).status == Status.CANCELLED
    refused = submission.submit(make_ask(guild, user_id=9), now=now)
    assert isinstance(refused, Refusal)
    assert refused.code == "banned"
    assert not isinstance(submission.submit(make_ask(guild, user_id=9), now=until + timedelta(seconds=1)), Refusal)
    member_moderation.ban(guild.pk, 9, until=None, reason="spam", by=BY, now=now)
    assert list(Ban.objects.values_list("pk", "until")) == [(ban.pk, None)]


def test_the_mod_log_tells_of_reports_removals_bans_and_limits_once(client, guild, done, make_ask, now):
    job = done(files=4)
    now = timezone.now()
    reports.report(job, by=5, now=now)
    image_removal.remove([image(job, 0).pk], by=BY, now=now, client=client)
    member_moderation.ban(guild.pk, 6, until=now + timedelta(days=1), reason="spam", by="olivia", now=now)
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=1)
    for _ in range(3):
        assert isinstance(submission.submit(make_ask(guild, user_id=8, count=2), now=now), Refusal)
    assert upkeep.post_mod_log(now=now, client=client) == 1
    lines = logged(guild)
    assert len(lines) == 4
    assert f"<@5> reported images of request #{job.pk}." in lines[0]
    assert f"<@77> removed images of request #{job.pk} by" in lines[1]
    assert "the operators of Sparkle banned <@6> from Sparkle until" in lines[2]
    assert "olivia" not in "".join(lines)
    assert "<@8> reached their limit of 1 images per day." in lines[3]
    assert upkeep.post_mod_log(now=now, client=client) == 0
    assert len(logged(guild)) == 4


def test_a_closed_log_channel_stops_nothing_and_an_outage_is_tried_again(client, guild, make_guild, now):
    closed = SimChannel.objects.get(guild__name="Night Owls", name="rules")
    other = make_guild(id=closed.guild_id, name="Night Owls", mod_log_channel_id=closed.pk)
    for each in (other, guild):
        member_moderation.ban(each.pk, 6, until=None, reason="", by=BY, now=now)
    injected_faults.plan("server_error", path=f"/channels/{guild.mod_log_channel_id}", times=1)
    upkeep.post_mod_log(now=now, client=client)
    assert logged(guild) == []
    assert upkeep.post_mod_log(now=now, client=client) == 1
    assert len(logged(guild)) == 1
    assert not ModLogEntry.objects.filter(posted_at=None).exists()


def test_a_server_without_a_log_channel_writes_no_entries(make_guild, now):
    member_moderation.ban(make_guild().pk, 6, until=None, reason="", by=BY, now=now)
    assert not ModLogEntry.objects.exists()


def test_an_erased_member_is_in_no_note_and_no_log(guild, now):
    member_moderation.note(guild, 6, text="asked twice", by=BY, now=now)
    member_moderation.ban(guild.pk, 6, until=None, reason="", by=BY, now=now)
    assert {"warning", "note"} & {record["type"] for record in privacy.export_member(6)} == {"note"}
    privacy.erase_member(6, now=now)
    assert not MemberNote.objects.exists()
    assert not ModLogEntry.objects.exists()
