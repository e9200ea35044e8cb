"""A member sees, downloads and deletes their own images and data, and no one else's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
import time_machine
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone
from PIL import Image

from jobs import storage, submission, transitions
from jobs.models import Job, JobImage
from jobs.transitions import StoredImage
from tests.admin.conftest import discord_user, signed_in

pytestmark = pytest.mark.django_db
ME, OTHER = 900_000_000_000_000_021, 900_000_000_000_000_022


@pytest.fixture
def member(db: None) -> Client:
    return signed_in(discord_user(ME, first_name="Chiyo"))


def png() -> bytes:
    written = BytesIO()
    Image.new("RGB", (64, 64), "teal").save(written, "PNG")
    return written.getvalue()


@pytest.fixture
def done(make_guild: Callable[..., Any], make_ask: Callable[..., Any]) -> Callable[..., Job]:
    def make(user_id: int = ME, *, count: int = 2, **ask: Any) -> Job:
        now = timezone.now()
        job: Job = submission.submit(make_ask(make_guild(), user_id=user_id, count=count, **ask), now=now).job
        assert transitions.claim(job.pk, worker_id="w1", now=now)
        keys = [storage.image_key(job.guild_id, job.pk, index) for index in range(count)]
        for key in (*keys, storage.grid_key(job.guild_id, job.pk)):
            storage.store(key, png())
        made = [
            StoredImage(index=index, key=key, seed=index, width=64, height=64, bytes=99)
            for index, key in enumerate(keys)
        ]
        grid = storage.grid_key(job.guild_id, job.pk)
        assert transitions.record_images(job.pk, worker_id="w1", images=made, grid_key=grid, gpu_ms=600, now=now)
        assert transitions.complete(job.pk, worker_id="w1", delivered_via="original", message_id=None, now=now)
        return Job.objects.get(pk=job.pk)

    return make


def addresses(page: Any) -> list[str]:
    """Those of the images that a page shows."""
    return re.findall(r'src="(/p/[^"]+)"', page.text)


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_a_member_sees_their_own_images_and_no_others(member, done):
    done(prompt="a teal square")
    done(OTHER, prompt="somebody else's secret")
    page = member.get("/")
    assert "a teal square" in page.text
    assert "secret" not in page.text
    shown = addresses(page)
    assert len(shown) == 2
    small = member.get(shown[0])
    assert (small.status_code, small["Content-Type"]) == (200, "image/webp")
    original = member.get(shown[0].partition("?")[0])
    assert body(original) == png(), "the download is the image as it was made"


def test_an_image_that_a_moderator_hid_is_not_shown_and_its_old_address_is_dead(member, done):
    from jobs import moderation

    job = done()
    first = addresses(member.get("/"))[0]
    moderation.hide(list(job.images.values_list("pk", flat=True)), by="mona", now=timezone.now())
    assert addresses(member.get("/")) == []
    assert member.get(first).status_code == 404


def test_an_address_of_an_image_ends_after_an_hour(member, done):
    done()
    address = addresses(member.get("/"))[0]
    assert Client().get(address).status_code == 200, "anyone with the address may look"
    with time_machine.travel(timezone.now() + timedelta(minutes=61), tick=False):
        assert Client().get(address).status_code == 404


def test_the_gallery_of_a_request_opens_for_its_asker_alone(member, done):
    mine, other = done(prompt="a teal square"), done(OTHER)
    page = member.get(f"/gallery/{mine.guild_id}/{mine.pk}/")
    assert page.status_code == 200
    assert len(addresses(page)) == 2
    assert member.get(f"/gallery/{other.guild_id}/{other.pk}/").status_code == 404
    assert member.get(f"/gallery/{other.guild_id}/{mine.pk}/").status_code == 404, "not under another server"


def test_a_long_history_comes_in_pages(member, make_guild, make_ask):
    guild, now = make_guild(max_waiting=100, max_waiting_per_member=100, concurrency=1), timezone.now()
    for number in range(30):
        submission.submit(make_ask(guild, user_id=ME, prompt=f"number {number:02}"), now=now)
    first = member.get("/")
    assert "number 29" in first.text
    assert "number 05" not in first.text
    older = re.search(r'href="(\?before=\d+)"', first.text)
    assert older
    second = member.get("/" + older[1])
    assert "number 05" in second.text
    assert "number 06" not in second.text
    assert "Older" not in second.text


def test_a_member_deletes_one_request(member, done):
    job, kept = done(prompt="a teal square"), done(prompt="a kept square")
    keys = [*job.images.values_list("key", flat=True), job.grid_key]
    answer = member.post(f"/requests/{job.pk}/delete/", follow=True)
    assert "Deleted." in answer.text
    assert "a teal square" not in answer.text
    assert "a kept square" in answer.text
    assert not any(default_storage.exists(key) for key in keys)
    job.refresh_from_db()
    assert (job.prompt, job.member_name, job.images.count()) == ("", "", 0)
    assert JobImage.objects.filter(job=kept).count() == 2


def test_what_is_still_being_made_cannot_be_deleted_and_nor_can_anothers(member, done, make_guild, make_ask):
    now = timezone.now()
    running = submission.submit(make_ask(make_guild(), user_id=ME), now=now).job
    assert transitions.claim(running.pk, worker_id="w1", now=now)
    assert "still running" in member.post(f"/requests/{running.pk}/delete/", follow=True).text
    assert Job.objects.get(pk=running.pk).prompt
    other = done(OTHER)
    assert member.post(f"/requests/{other.pk}/delete/").status_code == 404
    assert member.get(f"/requests/{other.pk}/delete/").status_code == 405
    assert JobImage.objects.filter(job=other).count() == 2


def test_a_member_downloads_all_that_is_kept_about_them(member, done):
    done(prompt="a teal square")
    done(OTHER, prompt="somebody else's secret")
    answer = member.get("/data/")
    assert answer["Content-Disposition"] == 'attachment; filename="sparkle-data.jsonl"'
    assert answer["Cache-Control"] == "no-store"
    text = body(answer).decode()
    records = [json.loads(line) for line in text.splitlines()]
    assert "a teal square" in text
    assert "secret" not in text
    assert {"account"} <= {record["type"] for record in records}


def test_deleting_everything_asks_first_and_then_leaves_nothing_but_what_others_have(member, done):
    job, other = done(prompt="a teal square"), done(OTHER)
    keys = list(job.images.values_list("key", flat=True))
    assert "Delete everything?" in member.get("/data/delete/").text
    assert "Delete everything?" in member.post("/data/delete/").text, "not without the answer"
    assert Job.objects.filter(user_id=ME).exists()
    answer = member.post("/data/delete/", {"sure": "yes"}, follow=True)
    assert "All your data was deleted. Requests: 1." in answer.text
    assert not Job.objects.filter(user_id=ME).exists()
    assert not any(default_storage.exists(key) for key in keys)
    assert Job.objects.filter(pk=other.pk).exists()
    assert member.get("/data/").status_code == 302, "signed out"


def test_a_visitor_is_sent_to_sign_in(done):
    job = done()
    assert "Sign in with Discord" in Client().get("/").text
    for address in ("/data/", "/data/delete/", f"/gallery/{job.guild_id}/{job.pk}/"):
        assert Client().get(address)["Location"].startswith("/accounts/login/")


def test_an_account_without_discord_has_no_data_pages(db):
    from django.contrib.auth.models import User

    client = signed_in(User.objects.create(username="otto"))
    assert "isn’t connected to Discord" in client.get("/").text
    assert client.get("/data/").status_code == 404
    assert client.post("/data/delete/", {"sure": "yes"}).status_code == 404


def test_a_reported_image_is_gone_for_its_member_and_kept_until_a_moderator_decides(member, done):
    from jobs import moderation, reports

    job = done(prompt="a teal square")
    keys = list(job.images.values_list("key", flat=True))
    address = addresses(member.get("/"))[0]
    assert reports.report(job, by=OTHER, now=timezone.now())
    member.post(f"/requests/{job.pk}/delete/")
    assert "a teal square" not in member.get("/").text
    assert member.get(f"/gallery/{job.guild_id}/{job.pk}/").status_code == 404
    assert member.get(address).status_code == 404
    assert b"a teal square" not in b"".join(member.get("/data/").streaming_content)
    assert member.post(f"/requests/{job.pk}/delete/").status_code == 404, "it is gone for them"
    kept = JobImage.objects.filter(job=job)
    assert all(image.hidden_at and image.reported_at for image in kept)
    assert all(default_storage.exists(key) for key in keys)
    assert Job.objects.get(pk=job.pk).prompt == "a teal square"
    moderation.dismiss_reports(list(kept.values_list("pk", flat=True)), by="mona", now=timezone.now())
    assert not any(default_storage.exists(key) for key in keys)
    assert Job.objects.get(pk=job.pk).prompt == ""


@pytest.mark.parametrize("decision", ["dismiss", "delete"])
def test_a_reported_image_outlives_the_erasure_of_its_member_until_a_moderator_decides(member, done, decision):
    from jobs import moderation, reports, upkeep

    job, other = done(), done()
    keys = list(job.images.values_list("key", flat=True))
    assert reports.report(job, by=OTHER, now=timezone.now())
    assert member.post("/data/delete/", {"sure": "yes"}).status_code == 302
    assert [each.pk for each in Job.objects.filter(user_id=ME)] == [job.pk]
    upkeep.purge_images(now=timezone.now() + timedelta(days=4000))
    upkeep.run(now=timezone.now())
    assert all(default_storage.exists(key) for key in keys)
    ids = list(JobImage.objects.filter(job=job).values_list("pk", flat=True))
    if decision == "dismiss":
        moderation.dismiss_reports(ids[:1], by="mona", now=timezone.now())
        assert all(default_storage.exists(key) for key in keys), "the other report is open"
        moderation.dismiss_reports(ids, by="mona", now=timezone.now())
    else:
        moderation.delete_everywhere(job.pk, by="mona", now=timezone.now())
    assert not any(default_storage.exists(key) for key in keys)
    assert not Job.objects.filter(user_id=ME).exists()
    assert not Job.objects.filter(pk=other.pk).exists()


def test_an_operator_who_erases_a_guild_decides_on_its_reports(done):
    from guilds.models import Guild
    from jobs import reports
    from sparkle_site import data_subject_requests

    job = done()
    assert reports.report(job, by=OTHER, now=timezone.now())
    data_subject_requests.erase_guild(job.guild_id, now=timezone.now())
    assert not Guild.objects.filter(pk=job.guild_id).exists()


def test_retention_keeps_reported_images_and_is_not_held_up_by_them(done):
    from jobs import moderation, reports, upkeep

    job, old = done(), done()
    assert reports.report(job, by=OTHER, now=timezone.now())
    later = timezone.now() + timedelta(days=4000)
    upkeep.purge_images(now=later)
    upkeep.purge_images(now=later)
    assert JobImage.objects.filter(job=job).count() == 2
    assert not JobImage.objects.filter(job=old).exists()
    moderation.dismiss_reports(list(job.images.values_list("pk", flat=True)), by="mona", now=later)
    assert not JobImage.objects.filter(job=job).exists()
