"""The menu and the buttons below a result: one image in full size, and what a form asks before it is done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from discord_api.custom_id import pack
from discord_api.payloads import EPHEMERAL, LAYOUT
from guilds.models import Guild
from jobs import painted_areas, privacy, result_messages, submission
from jobs.models import Job, JobImage

from .conftest import message_text, payload
from .test_round_trips import REQUESTER, complete, newest, submit_form

pytestmark = pytest.mark.django_db
OTHER = 1190000000000000042


@pytest.fixture
def guild(make_guild: Callable[..., Guild]) -> Guild:
    return make_guild()


@pytest.fixture
def job(guild: Guild, make_ask: Callable[..., Any], now: datetime) -> Job:
    accepted = submission.submit(make_ask(guild, user_id=REQUESTER, channel_id=645027906669510667, seed=5), now=now)
    assert isinstance(accepted, submission.Accepted)
    return complete(accepted.job)


def as_other() -> dict[str, Any]:
    member = payload("component")["member"]
    member["user"]["id"] = str(OTHER)
    return {"member": member | {"permissions": "0"}}


@pytest.mark.parametrize(
    ("choice", "kind", "strength"),
    [("vary:2", "variation", 0.6), ("upscale:2", "upscale", 0), ("redraw:2", "upscale", 0.35)],
)
def test_a_choice_acts_on_its_image(
    guild: Guild, job: Job, press: Any, choice: str, kind: str, strength: float
) -> None:
    assert "Submitted" in str(press(guild, pack("image", job.pk), values=[choice]))
    made = newest()
    assert (made.kind, made.source_job_id, made.source_index) == (kind, job.pk, 2)
    assert (made.strength, made.params.strength) == (strength, strength)


def test_upscaling_reserves_next_to_no_gpu_time_and_stops_at_4096_pixels(guild: Guild, job: Job, press: Any) -> None:
    press(guild, pack("image", job.pk), values=["upscale:0"])
    assert (newest().reserved_gpu_ms, newest().reserved_images) == (1, 1)
    Job.objects.filter(pk=job.pk).update(width=2048, height=2048)
    assert "2048" in message_text(press(guild, pack("image", job.pk), values=["redraw:0"]))
    assert "Submitted" in str(press(guild, pack("image", job.pk), values=["upscale:0"]))
    Job.objects.filter(pk=job.pk).update(width=4096, height=64)
    assert "4096" in message_text(press(guild, pack("image", job.pk), values=["upscale:0"]))


@pytest.mark.parametrize("values", [None, [], [""], ["vary"], ["vary:4"], ["full:99"], ["delete:0"], ["vary:0:0"]])
def test_a_choice_that_was_never_offered_is_answered(
    guild: Guild, job: Job, press: Any, values: list[str] | None
) -> None:
    assert message_text(press(guild, pack("image", job.pk), values=values))
    assert Job.objects.count() == 1


def test_full_size_shows_one_image_to_its_reader_only(guild: Guild, job: Job, press: Any) -> None:
    JobImage.objects.filter(job=job, index=1).update(blurred=True)
    data = press(guild, pack("image", job.pk), values=["full:1"])["data"]
    assert data["flags"] == EPHEMERAL | LAYOUT
    text, gallery = data["components"]
    assert f"Image 2 of #{job.pk}" in text["content"]
    (item,) = gallery["items"]
    assert f"k{job.pk}-1" in item["media"]["url"]
    assert item["spoiler"] is True
    assert Job.objects.count() == 1


def test_a_hidden_image_is_not_shown(guild: Guild, job: Job, press: Any, now: datetime) -> None:
    JobImage.objects.filter(job=job).update(hidden_at=now)
    assert "no longer available" in message_text(press(guild, pack("image", job.pk), values=["full:0"]))


def test_a_request_remembers_the_message_it_came_from(guild: Guild, job: Job, press: Any) -> None:
    message = {"id": "1300000000000000001", "flags": 0}
    press(guild, pack("reroll", job.pk), message=message)
    assert newest().pressed_message_id == 1300000000000000001
    press(guild, pack("reroll", job.pk), message=message | {"flags": EPHEMERAL})
    assert newest().pressed_message_id is None, "nobody else could follow the link"


def choices(opened: dict[str, Any]) -> list[str]:
    return [option["value"] for option in opened["data"]["components"][0]["component"]["options"]]


def test_more_offers_deletion_to_those_who_may(guild: Guild, job: Job, press: Any) -> None:
    assert choices(press(guild, pack("more", job.pk, 0))) == ["delete", "report"]
    assert choices(press(guild, pack("more", job.pk, 1))) == ["report"]
    assert choices(press(guild, pack("more", job.pk, 0), **as_other())) == ["report"]
    assert not JobImage.objects.exclude(hidden_at=None, reported_at=None).exists(), "a form only asks"


@pytest.mark.parametrize("flags", [0, LAYOUT])
def test_a_confirmed_deletion_empties_the_message(guild: Guild, job: Job, send: Any, flags: int) -> None:
    body = payload("modal", guild_id=str(guild.pk), message={"id": "9", "flags": flags})
    chosen = {"type": 18, "component": {"type": 3, "custom_id": "action", "values": ["delete"]}}
    body["data"] = {"custom_id": pack("more", job.pk), "components": [chosen]}
    answer = send(body)
    assert answer["type"] == 7
    assert answer["data"]["attachments"] == []
    shown = answer["data"]["components"] if flags else answer["data"]["content"]
    assert f"Deleted by <@{REQUESTER}>" in str(shown)
    assert not JobImage.objects.filter(job=job).exists()


def test_a_forged_deletion_is_refused(guild: Guild, job: Job, send: Any) -> None:
    body = payload("modal", guild_id=str(guild.pk), **as_other())
    chosen = {"type": 18, "component": {"type": 3, "custom_id": "action", "values": ["delete"]}}
    body["data"] = {"custom_id": pack("more", job.pk), "components": [chosen]}
    assert "moderator" in message_text(send(body))
    assert JobImage.objects.filter(job=job, hidden_at=None).count() == 4


def test_a_report_has_a_reason_which_goes_with_its_reporter(
    guild: Guild, job: Job, press: Any, send: Any, now: datetime
) -> None:
    opened = press(guild, pack("more", job.pk, 1))
    assert "moderators" in message_text(submit_form(send, guild, opened, 1, reason=" too many teeth "))
    assert set(JobImage.objects.values_list("report_reason", flat=True)) == {"too many teeth"}
    (report, *_) = [each for each in privacy.export_member(REQUESTER) if each["type"] == "report"]
    assert report["reason"] == "too many teeth"
    JobImage.objects.update(reported_by=OTHER)
    privacy.erase_member(OTHER, now=now)
    assert set(JobImage.objects.values_list("report_reason", flat=True)) == {""}


def test_an_image_can_be_continued_beyond_its_edges(guild: Guild, job: Job, press: Any) -> None:
    data = press(guild, pack("image", job.pk), values=["area:2"])["data"]
    assert data["flags"] == EPHEMERAL
    buttons = [each for shown in data["components"] for each in shown["components"]]
    ids = [each["custom_id"] for each in buttons if "custom_id" in each]
    assert f"/gallery/{guild.pk}/{job.pk}/3/edit/?link={REQUESTER}-{job.pk}-2:" in buttons[-1]["url"]
    assert ids == [pack(view, job.pk, 2) for view in painted_areas.VIEWS]
    for custom_id, view in zip(ids, painted_areas.VIEWS, strict=True):
        assert "Submitted" in str(press(guild, custom_id))
        made = newest()
        assert (made.painted_area, made.source_job_id, made.source_index) == (view, job.pk, 2)
        assert (made.kind, made.strength, made.width, made.height) == ("variation", 1.0, job.width, job.height)
        press(guild, pack("cancel", made.pk))
    # A repeat continues it again; a variation of the result is one of all of it.
    press(guild, pack("reroll", made.pk))
    assert newest().painted_area == "pan_down"
    press(guild, pack("vary", complete(newest()).pk, 0))
    assert newest().painted_area == ""
    JobImage.objects.filter(job=job).update(hidden_at=job.created_at)
    assert "no longer available" in message_text(press(guild, pack("image", job.pk), values=["area:2"]))


def remix_of(job: Job, **message: Any) -> dict[str, Any]:
    """A message command on the job's result, which the bot posted."""
    body = payload("message_command", guild_id=str(job.guild_id))
    target = body["data"]["resolved"]["messages"][body["data"]["target_id"]]
    controls = list(result_messages.result_controls(job))
    target |= {"author": {"id": body["application_id"]}, "components": controls, "attachments": [], "embeds": []}
    target |= message
    return body


def test_remixing_a_result_names_its_image_and_no_address(guild: Guild, job: Job, send: Any) -> None:
    JobImage.objects.filter(job=job, index=1).update(hidden_at=job.created_at)
    opened = send(remix_of(job))
    assert opened["data"]["custom_id"] == pack("remix", job.pk)
    assert choices(opened) == ["0", "2", "3"]
    assert "http" not in str(opened)
    body = payload("modal", guild_id=str(guild.pk))
    chosen = {"type": 18, "component": {"type": 3, "custom_id": "image", "values": ["2"]}}
    typed = [
        {"type": 18, "component": {"type": 4, "custom_id": name, "value": value}}
        for name, value in (("prompt", "a fox"), ("strength", "0,4"))
    ]
    body["data"] = {"custom_id": pack("remix", job.pk), "components": [chosen, *typed]}
    assert "Submitted" in str(send(body))
    made = newest()
    assert (made.prompt, made.kind, made.strength, made.source_url) == ("a fox", "img2img", 0.4, "")
    assert (made.source_job_id, made.source_index, made.ephemeral) == (job.pk, 2, False)
    body = body | {"id": str(int(body["id"]) + 1)}
    chosen["component"]["values"] = ["1"]  # type: ignore[index]
    assert "no longer available" in message_text(send(body)), "a hidden image"


def test_a_private_result_is_not_remixed_by_others(guild: Guild, job: Job, send: Any) -> None:
    Job.objects.filter(pk=job.pk).update(ephemeral=True)
    body = payload("modal", guild_id=str(guild.pk), **as_other())
    text = {"type": 18, "component": {"type": 4, "custom_id": "prompt", "value": "a fox"}}
    body["data"] = {"custom_id": pack("remix", job.pk), "components": [text]}
    assert "no longer available" in message_text(send(body))
    assert Job.objects.count() == 1
