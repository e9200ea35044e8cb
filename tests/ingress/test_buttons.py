"""Buttons and modals hold the job's id, work after any restart, and obey the same rules as commands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.core.files.storage import default_storage

from discord_api.custom_id import pack, parse
from discord_api.permissions import MANAGE_MESSAGES
from guilds.models import Channel, Guild, ModelProfile, QuotaRule
from jobs import storage, submission, transitions
from jobs.job_status import Status
from jobs.models import Job, JobEvent, JobImage

from .conftest import message_text, payload

pytestmark = pytest.mark.django_db

Press = Callable[..., dict[str, Any]]
Send = Callable[[dict[str, Any]], dict[str, Any]]
MakeJob = Callable[..., Job]
REQUESTER = 53908232506183680
OTHER = 1190000000000000042
HERE = 645027906669510667


@pytest.fixture
def make_job(make_ask: Callable[..., Any], now: datetime) -> MakeJob:
    """Return a job with the given status of the member in the recorded payloads."""

    def make(guild: Guild, status: Status = Status.COMPLETED, **fields: Any) -> Job:
        ask = make_ask(guild, **({"user_id": REQUESTER, "channel_id": HERE, "prompt": "a cat", "seed": 100} | fields))
        accepted = submission.submit(ask, now=now)
        assert isinstance(accepted, submission.Accepted)
        job = accepted.job
        if status in (Status.RUNNING, Status.COMPLETED):
            assert transitions.claim(job.pk, worker_id="w", now=now)
        if status == Status.COMPLETED:
            images = [
                transitions.StoredImage(index=n, key=f"k{n}", seed=job.seed + n, width=512, height=512, bytes=9)
                for n in range(job.count)
            ]
            transitions.record_images(job.pk, worker_id="w", images=images, grid_key="grid.png", gpu_ms=5, now=now)
            transitions.complete(job.pk, worker_id="w", delivered_via="original", message_id=1, now=now)
        job.refresh_from_db()
        return job

    return make


def newest() -> Job:
    return Job.objects.select_related("model").latest("pk")


def as_other(**more: Any) -> dict[str, Any]:
    """Press a button as a member who did not make the request."""
    member = payload("component")["member"]
    member["user"]["id"] = str(OTHER)
    return {"member": member | more}


@pytest.mark.parametrize(
    ("action", "job_id", "index"), [("vary", 1, 0), ("reroll", 2**63 - 1, None), ("older", 5, None), ("enlarge", 7, 3)]
)
def test_a_custom_id_comes_back_as_it_was_packed(action: str, job_id: int, index: int | None) -> None:
    packed = pack(action, job_id, index)
    assert len(packed) <= 100
    found = parse(packed)
    assert found is not None
    assert (found.name, found.job_id, found.index) == (action, job_id, index)


def test_custom_ids_on_posted_messages_never_change_their_form() -> None:
    assert pack("vary", 42, 0) == "s1:vary:42:0"
    assert pack("reroll", 42) == "s1:reroll:42"


@pytest.mark.parametrize(
    "alien",
    ["", "vary:1", "s1:vary", "s1:vary:x", "s1:vary:-1", "s1:vary:9223372036854775808", "s2:vary:1", None, 5, []],
)
def test_alien_custom_ids_are_none_of_ours(alien: object, send: Send) -> None:
    assert parse(alien) is None
    body = payload("component")
    body["data"]["custom_id"] = alien
    assert message_text(send(body))


def test_reroll_asks_for_the_same_with_another_seed(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild, negative_prompt="dogs", steps=9, sampler="DDIM", count=2, style="ink")
    answer = press(guild, pack("reroll", job.pk))
    assert answer["type"] == 4
    again = newest()
    assert again.pk != job.pk
    assert (again.prompt, again.steps, again.sampler, again.count) == ("a cat", 9, "DDIM", 2)
    assert again.seed != job.seed
    assert again.styled_prompt == job.styled_prompt
    assert again.negative_prompt == job.negative_prompt, "a style's words are not added twice"


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_vary_starts_from_one_image(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press, index: int
) -> None:
    guild = make_guild()
    job = make_job(guild)
    press(guild, pack("vary", job.pk, index))
    varied = newest()
    assert (varied.kind, varied.source_job_id, varied.source_index) == ("variation", job.pk, index)
    assert varied.strength is not None


def test_enlarge_makes_one_image_twice_as_large(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild)
    press(guild, pack("enlarge", job.pk, 2))
    large = newest()
    assert (large.kind, large.source_job_id, large.source_index) == ("upscale", job.pk, 2)
    assert (large.width, large.height, large.count, large.seed) == (1024, 1024, 1, 102)


def test_nothing_grows_without_end(make_guild: Callable[..., Guild], make_job: MakeJob, press: Press) -> None:
    guild = make_guild()
    job = make_job(guild)
    Job.objects.filter(pk=job.pk).update(width=2048, height=1024)
    assert "2048" in message_text(press(guild, pack("enlarge", job.pk, 0)))


@pytest.mark.parametrize("action", ["vary", "enlarge"])
@pytest.mark.parametrize("index", [4, 9999])
def test_an_image_that_the_job_does_not_have(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press, action: str, index: int
) -> None:
    guild = make_guild()
    job = make_job(guild)
    assert message_text(press(guild, pack(action, job.pk, index)))
    assert Job.objects.count() == 1


def test_a_hidden_image_is_no_start(make_guild: Callable[..., Guild], make_job: MakeJob, press: Press) -> None:
    guild = make_guild()
    job = make_job(guild)
    press(guild, pack("delete", job.pk))
    assert "no longer available" in message_text(press(guild, pack("vary", job.pk, 0)))


def test_a_thread_of_an_allowed_channel_is_allowed(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press, now: datetime
) -> None:
    job = make_job(guild := make_guild())
    guild.allowed_channel_ids = [645027906669510667]
    guild.save()
    thread = payload("component")["channel"] | {"id": "5", "type": 11, "parent_id": "645027906669510667"}
    assert "Submitted" in str(press(guild, pack("reroll", job.pk), channel_id="5", channel=thread))
    elsewhere = thread | {"parent_id": "6"}
    # It may be in an allowed category, which is still unknown.
    assert "in a minute" in message_text(press(guild, pack("reroll", job.pk), channel_id="5", channel=elsewhere))
    Channel.objects.filter(pk=6).update(read_at=now, parent_id=8)
    assert "isn't available here" in message_text(
        press(guild, pack("reroll", job.pk), channel_id="5", channel=elsewhere)
    )
    Channel.objects.filter(pk=6).update(parent_id=645027906669510667)
    assert "Submitted" in str(press(guild, pack("reroll", job.pk), channel_id="5", channel=elsewhere))


def test_a_button_spends_the_quota_of_who_presses_it(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild)
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=4)
    assert "4 of 4" in message_text(press(guild, pack("reroll", job.pk)))
    assert press(guild, pack("reroll", job.pk), **as_other())["type"] == 4
    assert newest().user_id == OTHER


def test_a_button_works_after_its_model_and_style_are_gone(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild, style="ink")
    ModelProfile.objects.create(slug="newer", name="Newer")
    ModelProfile.objects.filter(pk=job.model_id).update(enabled=False)
    assert "`model`" in message_text(press(guild, pack("reroll", job.pk)))


def test_a_job_of_another_server_cannot_be_touched(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    here, there = make_guild(), make_guild()
    job = make_job(there)
    for action in ("reroll", "vary", "enlarge", "edit", "cancel", "delete", "report"):
        index = 0 if action in ("vary", "enlarge") else None
        assert "no longer available" in message_text(press(here, pack(action, job.pk, index)))
    assert Job.objects.count() == 1
    assert not JobImage.objects.exclude(hidden_at=None, reported_at=None).exists()


def test_edit_opens_a_modal_with_what_was_asked(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild, negative_prompt="dogs", steps=9)
    answer = press(guild, pack("edit", job.pk))
    assert answer["type"] == 9
    assert parse(answer["data"]["custom_id"]) == parse(pack("edit", job.pk))
    values = {
        field["custom_id"]: field.get("value", "")
        for row in answer["data"]["components"]
        for field in row["components"]
    }
    assert values == {"prompt": "a cat", "negative_prompt": "dogs", "seed": "100", "steps": "9"}


def test_a_prompt_longer_than_a_modals_field_is_cut_there(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild, prompt="😀" * 6000)
    assert press(guild, pack("edit", job.pk))["type"] == 9


@pytest.mark.parametrize("labelled", [False, True])
def test_a_submitted_modal_is_a_new_request(
    make_guild: Callable[..., Guild], make_job: MakeJob, send: Send, snowflake: Callable[[], int], labelled: bool
) -> None:
    guild = make_guild()
    job = make_job(guild, sampler="DDIM")
    body = payload("modal", id=str(snowflake()), guild_id=str(guild.pk))
    body["data"]["custom_id"] = pack("edit", job.pk)
    if labelled:
        # Discord's newer modals wrap each field in a label.
        body["data"]["components"] = [
            {"type": 18, "id": 1, "component": row["components"][0]} for row in body["data"]["components"]
        ]
    assert send(body)["type"] == 4
    edited = newest()
    assert (edited.prompt, edited.seed, edited.sampler) == ("a lighthouse at dawn", 7, "DDIM")


@pytest.mark.parametrize(("field", "typed"), [("seed", "many"), ("seed", "-2"), ("seed", "1e9"), ("steps", "9" * 14)])
def test_a_field_that_is_no_number_is_named(
    make_guild: Callable[..., Guild], make_job: MakeJob, send: Send, field: str, typed: str
) -> None:
    guild = make_guild()
    job = make_job(guild)
    body = payload("modal", guild_id=str(guild.pk))
    body["data"]["custom_id"] = pack("edit", job.pk)
    for row in body["data"]["components"]:
        if row["components"][0]["custom_id"] == field:
            row["components"][0]["value"] = typed
    assert f"`{field}`" in message_text(send(body))


@pytest.mark.parametrize("components", [None, 5, [5], [{}], [{"components": 5}], [{"component": 5}], []])
def test_a_modal_without_fields_is_answered(
    make_guild: Callable[..., Guild], make_job: MakeJob, send: Send, components: object
) -> None:
    guild = make_guild()
    job = make_job(guild)
    body = payload("modal", guild_id=str(guild.pk))
    body["data"] |= {"custom_id": pack("edit", job.pk), "components": components}
    assert "`prompt`" in message_text(send(body))


def test_the_asker_deletes_and_the_images_leave_the_message(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild)
    answer = press(guild, pack("delete", job.pk))
    assert answer["type"] == 7
    assert answer["data"]["attachments"] == []
    assert answer["data"]["embeds"] == []
    assert answer["data"]["components"] == []
    assert not JobImage.objects.filter(job=job).exists()
    assert JobEvent.objects.filter(job=job, kind="hidden", detail={"by": str(REQUESTER)}).exists()


def test_deleting_takes_the_files_out_of_storage(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild)
    for key in ("k0", "k1", "k2", "k3", "grid.png"):
        storage.store(key, b"png")
    press(guild, pack("delete", job.pk))
    assert not any(default_storage.exists(key) for key in ("k0", "k1", "k2", "k3", "grid.png"))


def test_what_was_reported_is_kept_for_the_moderators_out_of_sight(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild)
    storage.store("k0", b"png")
    press(guild, pack("report", job.pk), **as_other())
    press(guild, pack("delete", job.pk))
    assert default_storage.exists("k0")
    assert JobImage.objects.filter(job=job).exclude(hidden_at=None).count() == 4


def test_a_broken_storage_does_not_keep_a_message_from_being_deleted(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        raise OSError("read-only")

    guild = make_guild()
    job = make_job(guild)
    monkeypatch.setattr(default_storage, "delete", broken)
    assert press(guild, pack("delete", job.pk))["type"] == 7
    assert JobImage.objects.filter(job=job).exclude(hidden_at=None).count() == 4


def test_only_the_asker_or_a_moderator_deletes(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild)
    assert "moderator" in message_text(press(guild, pack("delete", job.pk), **as_other()))
    assert not JobImage.objects.exclude(hidden_at=None).exists()
    moderator = as_other(permissions=str(MANAGE_MESSAGES))
    assert press(guild, pack("delete", job.pk), **moderator)["type"] == 7


def test_anybody_reports_and_moderators_see_who(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild)
    assert "moderators" in message_text(press(guild, pack("report", job.pk), **as_other()))
    assert set(JobImage.objects.filter(job=job).values_list("reported_by", flat=True)) == {OTHER}
    message_text(press(guild, pack("report", job.pk)))
    assert set(JobImage.objects.filter(job=job).values_list("reported_by", flat=True)) == {OTHER}
    assert JobEvent.objects.filter(job=job, kind="reported").count() == 1


def test_a_waiting_job_is_cancelled_at_once_and_its_message_says_so(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild, Status.QUEUED)
    answer = press(guild, pack("cancel", job.pk))
    assert answer["type"] == 7
    assert "cancelled" in answer["data"]["content"]
    job.refresh_from_db()
    assert (job.status, job.reason) == (Status.CANCELLED, "cancelled_by_member")
    assert job.notified_at is not None, "nobody needs to tell it again"


def test_a_running_job_is_asked_to_stop(make_guild: Callable[..., Guild], make_job: MakeJob, press: Press) -> None:
    guild = make_guild()
    job = make_job(guild, Status.RUNNING)
    answer = press(guild, pack("cancel", job.pk))
    assert answer["type"] == 7
    assert answer["data"]["components"] == []
    job.refresh_from_db()
    assert (job.status, job.cancel_requested_at is not None) == (Status.RUNNING, True)


def test_only_the_asker_or_a_moderator_cancels(
    make_guild: Callable[..., Guild], make_job: MakeJob, press: Press
) -> None:
    guild = make_guild()
    job = make_job(guild, Status.QUEUED)
    message_text(press(guild, pack("cancel", job.pk), **as_other()))
    job.refresh_from_db()
    assert job.status == Status.QUEUED
    press(guild, pack("cancel", job.pk), **as_other(permissions=str(MANAGE_MESSAGES)))
    job.refresh_from_db()
    assert (job.status, job.reason) == (Status.CANCELLED, "cancelled_by_moderator")


def test_what_has_ended_cannot_be_cancelled(make_guild: Callable[..., Guild], make_job: MakeJob, press: Press) -> None:
    guild = make_guild()
    job = make_job(guild)
    assert "ended" in message_text(press(guild, pack("cancel", job.pk)))


def test_a_button_on_a_direct_message_says_where_it_works(send: Send) -> None:
    body = payload("component", user=payload("component")["member"]["user"])
    for server_only in ("member", "guild_id", "guild"):
        del body[server_only]
    assert "server" in message_text(send(body))
