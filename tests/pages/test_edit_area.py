"""The page where a member marks a part of an image: who may open it, what it submits, and what it refuses."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from PIL import Image
from pytest_httpserver import HTTPServer

from guilds.models import BlockedTerm, QuotaRule, Usage
from jobs import edit_links, job_erasure, moderation, storage, submission, transitions
from jobs.models import Job, JobImage
from jobs.transitions import StoredImage
from tests.admin.conftest import discord_user, signed_in

pytestmark = pytest.mark.django_db
ME, OTHER = 900_000_000_000_000_031, 900_000_000_000_000_032
SIZE = 512


@pytest.fixture(autouse=True)
def discord(httpserver: HTTPServer, settings: Any) -> HTTPServer:
    settings.DISCORD_API_BASE = httpserver.url_for("/api/v10")
    return httpserver


@pytest.fixture
def member(db: None) -> Client:
    return signed_in(discord_user(ME, first_name="Chiyo"))


@pytest.fixture
def job(make_guild: Callable[..., Any], make_ask: Callable[..., Any], discord: HTTPServer) -> Job:
    now = timezone.now()
    made = submission.submit(make_ask(make_guild(), user_id=ME, count=1, width=SIZE, height=SIZE), now=now)
    assert isinstance(made, submission.Accepted)
    job = made.job
    assert transitions.claim(job.pk, worker_id="w1", now=now)
    key = storage.image_key(job.guild_id, job.pk, 0)
    storage.store(key, b"png")
    images = [StoredImage(index=0, key=key, seed=1, width=SIZE, height=SIZE, bytes=3)]
    assert transitions.record_images(job.pk, worker_id="w1", images=images, grid_key=key, gpu_ms=600, now=now)
    assert transitions.complete(job.pk, worker_id="w1", delivered_via="original", message_id=77, now=now)
    known = {"nick": "Chi", "roles": ["55"], "user": {"id": str(ME), "username": "chiyo"}}
    discord.expect_request(f"/api/v10/guilds/{job.guild_id}/members/{ME}").respond_with_json(known)
    place = {"id": str(job.channel_id), "guild_id": str(job.guild_id), "type": 0, "nsfw": False, "parent_id": "66"}
    discord.expect_request(f"/api/v10/channels/{job.channel_id}").respond_with_json(place)
    return Job.objects.get(pk=job.pk)


def mask(*, size: tuple[int, int] = (SIZE, SIZE), box: tuple[int, ...] | None = (100, 100, 200, 200)) -> bytes:
    image = Image.new("RGB", size, "black")
    if box:
        image.paste("white", box)  # type: ignore[arg-type]
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def address(job: Job) -> str:
    return edit_links.path(job, 0)


def send(client: Client, job: Job, *, content: bytes | None = None, prompt: str = "a hat", once: str = "") -> Any:
    if not once:
        found = re.search(r'name="once" value="([^"]+)"', client.get(address(job)).text)
        assert found
        once = found[1]
    file = SimpleUploadedFile("mask.png", mask() if content is None else content)
    return client.post(address(job), {"mask": file, "prompt": prompt, "once": once})


def stored_masks(job: Job) -> list[str]:
    folder = f"uploads/{job.guild_id}"
    return default_storage.listdir(folder)[1] if default_storage.exists(folder) else []


def test_a_marked_part_becomes_a_request_of_the_member(member: Client, job: Job) -> None:
    answer = send(member, job)
    assert answer.json() == {"address": "/"}
    made = Job.objects.exclude(pk=job.pk).get()
    assert (made.prompt, made.source_job_id, made.source_index, made.strength) == ("a hat", job.pk, 0, 1.0)
    assert (made.user_id, made.member_name, made.channel_id, made.category_id) == (ME, "Chi", job.channel_id, None)
    assert (made.width, made.height, made.ephemeral, made.pressed_message_id) == (SIZE, SIZE, False, 77)
    assert made.seed != job.seed
    kept = Image.open(io.BytesIO(storage.fetch(made.painted_area)))
    assert (kept.mode, kept.size, kept.getbbox()) == ("1", (SIZE, SIZE), (100, 100, 200, 200))
    assert str(made.guild_id) in made.painted_area
    assert f"#{made.pk}" in member.get("/").text


def test_a_page_that_is_sent_twice_makes_one_request(member: Client, job: Job) -> None:
    once = re.search(r'name="once" value="([^"]+)"', member.get(address(job)).text)[1]  # type: ignore[index]
    assert send(member, job, once=once).status_code == send(member, job, once=once).status_code == 200
    assert Job.objects.count() == 2
    assert len(stored_masks(job)) == 1
    assert "problem" in send(member, job, once="900:forged").json()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (mask(size=(256, 512)), "doesn't have the size of the image"),
        (mask(box=None), "Nothing is marked"),
        (mask(box=(0, 0, SIZE, SIZE)), "The whole image is marked"),
        (b"", "couldn't be read"),
        (b"GIF89a", "couldn't be read"),
        (b"\0" * 5_000_000, "couldn't be read"),
    ],
)
def test_a_mask_that_cannot_be_used_costs_nothing(member: Client, job: Job, content: bytes, sentence: str) -> None:
    used = list(Usage.objects.values_list("images", flat=True))
    answer = send(member, job, content=content)
    assert sentence in answer.json()["problem"]
    assert Job.objects.count() == 1
    assert list(Usage.objects.values_list("images", flat=True)) == used
    assert stored_masks(job) == []


def test_a_refusal_is_one_sentence_and_keeps_no_mask(member: Client, job: Job) -> None:
    BlockedTerm.objects.create(guild_id=job.guild_id, phrase="dragon", folded="dragon")
    assert "term that isn't allowed here: dragon" in send(member, job, prompt="a dragon").json()["problem"]
    assert "Describe your image" in send(member, job, prompt=" ").json()["problem"]
    QuotaRule.objects.create(guild_id=job.guild_id, subject="member", window="day", metric="images", limit=1)
    problem = send(member, job).json()["problem"]
    assert "1 of 1 images used" in problem
    assert "<t:" not in problem
    assert stored_masks(job) == []


def test_the_rules_for_roles_apply(member: Client, job: Job) -> None:
    job.guild.allowed_role_ids = [56]
    job.guild.save()
    assert "role" in send(member, job).json()["problem"]
    job.guild.allowed_role_ids = [55]
    job.guild.save()
    assert send(member, job).status_code == 200


def test_without_discord_nothing_is_submitted(member: Client, job: Job, discord: HTTPServer) -> None:
    discord.clear()
    discord.expect_request(f"/api/v10/guilds/{job.guild_id}/members/{ME}").respond_with_json(
        {"code": 10007, "message": "Unknown Member"}, status=404
    )
    assert "not a member" in send(member, job).json()["problem"]
    discord.clear()
    discord.expect_request(f"/api/v10/guilds/{job.guild_id}/members/{ME}").respond_with_data("", status=503)
    assert "what you painted is kept" in send(member, job).json()["problem"]
    assert Job.objects.count() == 1


def test_an_image_that_is_gone_cannot_be_edited(member: Client, job: Job) -> None:
    once = re.search(r'name="once" value="([^"]+)"', member.get(address(job)).text)[1]  # type: ignore[index]
    moderation.hide(list(job.images.values_list("pk", flat=True)), by="mona", now=timezone.now())
    answer = send(member, job, once=once)
    assert (answer.status_code, Job.objects.count()) == (404, 1)
    assert "no longer available" in answer.json()["problem"]
    assert member.get(address(job)).status_code == 404


def test_another_members_image_opens_only_by_a_link_for_this_reader(job: Job) -> None:
    other = signed_in(discord_user(OTHER))
    assert other.get(address(job)).status_code == 404
    assert send(other, job, once="x").status_code == 404
    link = edit_links.url(job, 0, user_id=OTHER).partition("?")[2]
    assert other.get(f"{address(job)}?{link}").status_code == 200
    assert len(edit_links.url(job, 0, user_id=OTHER)) < 512, "Discord's limit for a button's link"
    assert signed_in(discord_user(OTHER + 1)).get(f"{address(job)}?{link}").status_code == 404
    with time_machine.travel(timezone.now() + timedelta(minutes=61), tick=False):
        assert other.get(f"{address(job)}?{link}").status_code == 404
    assert Client().get(address(job)).status_code == 302


def test_the_result_of_a_private_image_is_private(member: Client, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(ephemeral=True)
    assert send(member, job).status_code == 200
    made = Job.objects.exclude(pk=job.pk).get()
    assert (made.ephemeral, made.pressed_message_id) == (True, None)


def test_a_mask_is_deleted_with_the_last_request_that_has_it(member: Client, job: Job, make_ask: Any) -> None:
    assert send(member, job).status_code == 200
    first = Job.objects.exclude(pk=job.pk).get()
    again = submission.submit(
        make_ask(first.guild, user_id=ME, **{"painted_area": first.painted_area}), now=timezone.now()
    )
    assert isinstance(again, submission.Accepted)
    for made in (first, again.job):
        assert transitions.cancel(made.pk, by=ME, now=timezone.now())
    key = first.painted_area
    job_erasure.erase(first.pk, Job.Erasure.WORDS, now=timezone.now())
    assert default_storage.exists(key)
    job_erasure.erase(again.job.pk, Job.Erasure.ROW, now=timezone.now())
    assert not default_storage.exists(key)
    assert set(Job.objects.values_list("painted_area", flat=True)) == {""}
    assert JobImage.objects.filter(job=job).exists()
