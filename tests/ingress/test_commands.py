"""All commands but /sparkle, autocomplete, and the message command."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from discord_api.permissions import MANAGE_GUILD
from guilds.models import Guild, ModelProfile, QuotaRule, StylePreset
from jobs import transitions
from jobs.job_status import Status
from jobs.models import Job
from jobs.queries import PAGE

from .conftest import message_text, options, payload
from .test_buttons import OTHER, REQUESTER, MakeJob, Press, Send, as_other, make_job, newest

__all__ = ["make_job"]

pytestmark = pytest.mark.django_db
Slash = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _real_cdn_hosts(settings: Any) -> None:
    settings.DISCORD_CDN_HOSTS = ["cdn.discordapp.com", "media.discordapp.net"]
    settings.DISCORD_CDN_INSECURE = False


def as_manager() -> dict[str, Any]:
    return {"member": payload("slash")["member"] | {"permissions": str(MANAGE_GUILD)}}


def fields(callback: dict[str, Any]) -> dict[str, str]:
    return {field["name"]: field["value"] for embed in callback["data"]["embeds"] for field in embed.get("fields", [])}


def test_quota_names_each_rule_with_used_left_and_reset(make_guild: Callable[..., Guild], slash: Slash) -> None:
    guild = make_guild()
    role = 539082325061836999
    QuotaRule.objects.create(guild=guild, subject="guild", metric="gpu_seconds", window="month", limit=9000)
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=4)
    QuotaRule.objects.create(
        guild=guild, subject="role", role_id=role, role_name="Patrons", metric="images", window="day", limit=40
    )
    slash(guild, values={"prompt": "a cat"})
    answer = slash(guild, "sparkle-quota")
    assert answer["data"]["flags"] == 64
    shown = fields(answer)
    assert shown.keys() == {"Server limit per month", "Your limit per day as Patrons"}
    assert "4 of 40 images used, 36 left" in shown["Your limit per day as Patrons"]
    assert ":R>" in shown["Your limit per day as Patrons"]


def test_quota_says_when_there_is_no_limit(make_guild: Callable[..., Guild], slash: Slash) -> None:
    guild = make_guild()
    assert "no limits" in message_text(slash(guild, "sparkle-quota"))
    QuotaRule.objects.create(
        guild=guild, subject="role", role_id=539082325061836999, metric="images", window="day", limit=None
    )
    assert "Unlimited" in json.dumps(slash(guild, "sparkle-quota"))


def test_history_pages_through_own_requests(
    make_guild: Callable[..., Guild], make_job: MakeJob, slash: Slash, press: Press
) -> None:
    guild = make_guild(max_waiting_per_member=50)
    mine = [make_job(guild, Status.QUEUED).pk for _ in range(2 * PAGE + 1)]
    make_job(guild, Status.QUEUED, user_id=OTHER)

    def ids(callback: dict[str, Any]) -> list[int]:
        return [int(embed["description"].split("**")[1].lstrip("#")) for embed in callback["data"].get("embeds", [])]

    def buttons(callback: dict[str, Any]) -> dict[str, str]:
        rows = callback["data"].get("components", [])
        return {part["label"]: part["custom_id"] for row in rows for part in row["components"] if "label" in part}

    first = slash(guild, "sparkle-history")
    assert first["data"]["flags"] == 64
    assert ids(first) == mine[::-1][:PAGE]
    assert buttons(first).keys() == {"Older"}
    second = press(guild, buttons(first)["Older"])
    assert second["type"] == 7
    assert ids(second) == mine[::-1][PAGE : 2 * PAGE]
    third = press(guild, buttons(second)["Older"])
    assert ids(third) == mine[:1]
    assert buttons(third).keys() == {"Newer"}
    assert ids(press(guild, buttons(third)["Newer"])) == ids(second)


def test_history_shows_thumbnails_of_what_is_kept(
    make_guild: Callable[..., Guild], make_job: MakeJob, slash: Slash, press: Press, settings: Any
) -> None:
    settings.SITE_URL = "https://sparkle.example"
    guild = make_guild()
    job = make_job(guild)
    embed = slash(guild, "sparkle-history")["data"]["embeds"][0]
    assert embed["thumbnail"]["url"].startswith("https://sparkle.example/")
    press(guild, f"s1:delete:{job.pk}")
    assert "thumbnail" not in slash(guild, "sparkle-history")["data"]["embeds"][0]


def test_history_of_a_newcomer_says_what_to_try(make_guild: Callable[..., Guild], slash: Slash) -> None:
    assert "/sparkle" in message_text(slash(make_guild(), "sparkle-history"))


def test_show_brings_a_request_back_with_its_buttons(
    make_guild: Callable[..., Guild], make_job: MakeJob, slash: Slash
) -> None:
    guild = make_guild()
    job = make_job(guild)
    answer = slash(guild, "sparkle-show", {"id": f"#{job.pk}"})
    told_json = json.dumps(answer)
    assert answer["data"]["flags"] == 64
    assert "100 … 103" in json.dumps(answer, ensure_ascii=False)
    assert f"s1:reroll:{job.pk}" in told_json
    assert f"s1:more:{job.pk}:1" in told_json, "the images in the channel cannot be deleted from a copy"


@pytest.mark.parametrize("typed", ["", "0", "x", "#", "999999", "9" * 19, "-1", "1; drop"])
def test_show_of_what_is_not_there(make_guild: Callable[..., Guild], slash: Slash, typed: str) -> None:
    assert "sparkle-history" in message_text(slash(make_guild(), "sparkle-show", {"id": typed}))


def test_nobody_sees_the_requests_of_others_or_of_other_servers(
    make_guild: Callable[..., Guild], make_job: MakeJob, slash: Slash
) -> None:
    guild = make_guild()
    others, elsewhere = make_job(guild, user_id=OTHER), make_job(make_guild())
    for job in (others, elsewhere):
        assert "Request not found" in message_text(slash(guild, "sparkle-show", {"id": str(job.pk)}))
        assert "Request not found" in message_text(slash(guild, "sparkle-cancel", {"id": str(job.pk)}))
    manager = as_manager()
    assert f"#{others.pk}" in slash(guild, "sparkle-show", {"id": str(others.pk)}, **manager)["data"]["content"]
    assert "Request not found" in message_text(slash(guild, "sparkle-show", {"id": str(elsewhere.pk)}, **manager))


def test_cancel_without_a_number_takes_the_newest(
    make_guild: Callable[..., Guild], make_job: MakeJob, slash: Slash
) -> None:
    guild = make_guild()
    first, second = make_job(guild, Status.QUEUED), make_job(guild, Status.QUEUED)
    assert f"#{second.pk}" in message_text(slash(guild, "sparkle-cancel"))
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == (Status.QUEUED, Status.CANCELLED)


def test_cancel_with_a_number(make_guild: Callable[..., Guild], make_job: MakeJob, slash: Slash) -> None:
    guild = make_guild()
    waiting, running, done = make_job(guild, Status.QUEUED), make_job(guild, Status.RUNNING), make_job(guild)
    assert "cancelled" in message_text(slash(guild, "sparkle-cancel", {"id": str(waiting.pk)}))
    assert "will stop" in message_text(slash(guild, "sparkle-cancel", {"id": str(running.pk)}))
    assert "ended" in message_text(slash(guild, "sparkle-cancel", {"id": str(done.pk)}))


def test_cancel_of_nothing(make_guild: Callable[..., Guild], slash: Slash) -> None:
    assert "no unfinished" in message_text(slash(make_guild(), "sparkle-cancel"))


def test_settings_are_shown_to_managers_with_a_link(make_guild: Callable[..., Guild], slash: Slash) -> None:
    guild = make_guild(allowed_channel_ids=[77], max_images=2, nsfw_rule="spoiler")
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=4)
    answer = slash(guild, "sparkle-settings", **as_manager())
    shown = fields(answer)
    assert shown["Channels"] == "<#77>"
    assert shown["Images per request"] == "2"
    assert shown["Adult prompts"] == "Everywhere, as spoilers"
    assert shown["Limits"] == "Every member: 4 images per day"
    assert answer["data"]["components"][-1]["components"][-1]["url"].endswith(f"/admin/guilds/guild/{guild.pk}/change/")


def test_settings_are_for_managers(make_guild: Callable[..., Guild], slash: Slash) -> None:
    assert "Manage Server" in message_text(slash(make_guild(), "sparkle-settings"))


def test_help_fits_in_one_message(make_guild: Callable[..., Guild], slash: Slash) -> None:
    for locale in ("en-US", "de", "fr", "es-ES", "ja", "pt-BR", "zh-CN"):
        answer = slash(make_guild(retention_days=30), "sparkle-help", locale=locale)
        assert "30" in answer["data"]["embeds"][0]["description"]


@pytest.mark.parametrize("locale", ["de", "fr", "es-ES", "ja", "pt-BR", "zh-CN"])
def test_every_command_answers_in_every_language(
    make_guild: Callable[..., Guild], make_job: MakeJob, slash: Slash, press: Press, locale: str
) -> None:
    guild = make_guild(language=locale)
    QuotaRule.objects.create(guild=guild, subject="member", metric="gpu_seconds", window="month", limit=10**6)
    job = make_job(guild)
    for command in ("sparkle-quota", "sparkle-history", "sparkle-help"):
        assert slash(guild, command)["type"] == 4
    assert slash(guild, "sparkle-settings", **as_manager())["type"] == 4
    assert slash(guild, "sparkle-show", {"id": str(job.pk)})["type"] == 4
    assert slash(guild, values={"prompt": "a cat"})["type"] == 4
    assert slash(guild, "sparkle-cancel")["type"] == 4
    assert press(guild, f"s1:edit:{job.pk}")["type"] == 9


def complete(send: Send, guild: Guild, command: str, option: str, typed: Any, **said: Any) -> list[dict[str, Any]]:
    body = payload("autocomplete", guild_id=str(guild.pk))
    focused = {"name": option, "type": 3, "value": typed, "focused": True}
    body["data"] |= {"name": command, "options": [*options(**said), focused]}
    callback = send(body)
    assert callback["type"] == 8
    choices: list[dict[str, Any]] = callback["data"]["choices"]
    return choices


def test_styles_are_completed_the_servers_own_too(make_guild: Callable[..., Guild], send: Send) -> None:
    guild, other = make_guild(), make_guild()
    StylePreset.objects.create(guild=guild, slug="house", name="House watercolor")
    StylePreset.objects.create(guild=other, slug="secret", name="Secret watercolor")
    StylePreset.objects.create(guild=None, slug="off", name="Off watercolor", enabled=False)
    assert {choice["value"] for choice in complete(send, guild, "sparkle", "style", "WATER")} == {"watercolor", "house"}


def test_models_are_completed_as_far_as_the_server_offers_them(make_guild: Callable[..., Guild], send: Send) -> None:
    guild = make_guild()
    ModelProfile.objects.create(slug="fast", name="Fast")
    ModelProfile.objects.create(slug="gone", name="Gone", enabled=False)
    assert {choice["value"] for choice in complete(send, guild, "sparkle", "model", "")} == {"standard", "fast"}
    guild.models_offered.add(ModelProfile.objects.get(slug="fast"))
    assert [choice["value"] for choice in complete(send, guild, "sparkle", "model", "")] == ["fast"]


def test_samplers_are_completed_as_far_as_the_chosen_model_can_use_them(
    make_guild: Callable[..., Guild], send: Send
) -> None:
    guild = make_guild()
    ModelProfile.objects.create(slug="flux", name="Flux", family="flux", default_sampler="flow_euler")
    default = [choice["value"] for choice in complete(send, guild, "sparkle", "sampler", "")]
    assert {"k_lms", "DDIM"} < set(default)
    assert "flow_euler" not in default
    flow = complete(send, guild, "sparkle", "sampler", "", model="flux")
    assert [choice["value"] for choice in flow] == ["flow_euler", "flow_dpmpp_2m", "flow_unipc"]
    dpm = complete(send, guild, "sparkle", "sampler", "dpm", model="flux")
    assert [choice["value"] for choice in dpm] == ["flow_dpmpp_2m"]


def test_sizes_are_completed_as_far_as_they_are_allowed(make_guild: Callable[..., Guild], send: Send) -> None:
    guild = make_guild(allowed_sizes=["512x512", "768x512"])
    assert [choice["value"] for choice in complete(send, guild, "sparkle", "size", "")] == ["512x512", "768x512"]
    assert [choice["value"] for choice in complete(send, guild, "sparkle", "size", "768")] == ["768x512"]


def test_own_past_requests_are_completed_by_number_and_words(
    make_guild: Callable[..., Guild], make_job: MakeJob, send: Send
) -> None:
    guild = make_guild(max_waiting_per_member=99)
    cat, dog = make_job(guild, prompt="a CAT " + "x" * 300), make_job(guild, Status.QUEUED, prompt="a dog")
    make_job(guild, user_id=OTHER, prompt="a cat of somebody else")
    make_job(make_guild(), prompt="a cat elsewhere")
    assert [c["value"] for c in complete(send, guild, "sparkle-show", "id", "")] == [str(dog.pk), str(cat.pk)]
    assert [c["value"] for c in complete(send, guild, "sparkle-show", "id", "cat")] == [str(cat.pk)]
    assert [c["value"] for c in complete(send, guild, "sparkle-show", "id", f"#{dog.pk}")] == [str(dog.pk)]
    assert [c["value"] for c in complete(send, guild, "sparkle-cancel", "id", "")] == [str(dog.pk)]


def test_no_more_than_25_choices_are_given(make_guild: Callable[..., Guild], send: Send) -> None:
    guild = make_guild()
    StylePreset.objects.bulk_create(StylePreset(guild=guild, slug=f"s{n}", name=f"S {n}") for n in range(40))
    assert len(complete(send, guild, "sparkle", "style", "")) == 25


@pytest.mark.parametrize("typed", [5, None, [], {}, "\x00", "\ud800", "%" * 6000])
def test_odd_typing_completes_to_something(make_guild: Callable[..., Guild], send: Send, typed: object) -> None:
    guild = make_guild()
    for option in ("style", "model", "sampler", "size", "id", "nonsense"):
        assert isinstance(complete(send, guild, "sparkle", option, typed), list)


def test_completion_of_an_unknown_command_is_empty(make_guild: Callable[..., Guild], send: Send) -> None:
    assert complete(send, make_guild(), "sparkle-everything", "id", "") == []


def remix(send: Send, guild: Guild, **message: Any) -> dict[str, Any]:
    body = payload("message_command", guild_id=str(guild.pk))
    for target in body["data"]["resolved"]["messages"].values():
        target.update(message)
    return send(body)


def test_remix_opens_a_modal_with_the_messages_image(
    make_guild: Callable[..., Guild], send: Send, snowflake: Callable[[], int]
) -> None:
    guild = make_guild()
    modal = remix(send, guild)
    assert modal["type"] == 9
    fields_ = {f["custom_id"]: f.get("value", "") for row in modal["data"]["components"] for f in row["components"]}
    assert fields_["image"].startswith("https://cdn.discordapp.com/attachments/")
    fields_["prompt"] = "a cat in space"
    body = payload("modal", id=str(snowflake()), guild_id=str(guild.pk))
    body["data"] = {
        "custom_id": modal["data"]["custom_id"],
        "components": [
            {"type": 1, "components": [{"type": 4, "custom_id": key, "value": value}]} for key, value in fields_.items()
        ],
    }
    assert send(body)["type"] == 4
    job = newest()
    assert (job.kind, job.prompt, job.source_url) == ("img2img", "a cat in space", fields_["image"])
    assert job.strength == 0.6


def test_remix_takes_the_image_that_an_embed_shows(make_guild: Callable[..., Guild], send: Send) -> None:
    shown = {"image": {"url": "https://cdn.discordapp.com/attachments/1/2/grid.png?ex=1", "width": 5, "height": 5}}
    modal = remix(send, make_guild(), attachments=[], embeds=[shown])
    assert modal["type"] == 9


@pytest.mark.parametrize(
    "message",
    [
        {"attachments": []},
        {"attachments": [{"url": "https://cdn.discordapp.com/a.mp4", "content_type": "video/mp4"}]},
        {"attachments": None, "embeds": None},
        {"attachments": [5], "embeds": [5, {"image": 5}, {"image": {"url": 5}}]},
    ],
)
def test_remix_of_a_message_without_a_usable_image(
    make_guild: Callable[..., Guild], send: Send, message: dict[str, Any]
) -> None:
    assert "no PNG" in message_text(remix(send, make_guild(), **message))


@pytest.mark.parametrize(
    "data", [{"resolved": None}, {"resolved": {"messages": []}}, {"target_id": 5}, {"target_id": "1"}]
)
def test_remix_of_a_message_that_is_not_resolved(
    make_guild: Callable[..., Guild], send: Send, data: dict[str, Any]
) -> None:
    body = payload("message_command", guild_id=str(make_guild().pk))
    body["data"] |= data
    assert message_text(send(body))


def test_an_image_put_into_the_modal_by_hand_is_checked_again(make_guild: Callable[..., Guild], send: Send) -> None:
    body = payload("modal", guild_id=str(make_guild().pk))
    body["data"] = {
        "custom_id": "s1:remix",
        "components": [
            {"type": 1, "components": [{"type": 4, "custom_id": "prompt", "value": "x"}]},
            {"type": 1, "components": [{"type": 4, "custom_id": "image", "value": "http://169.254.169.254/latest"}]},
        ],
    }
    assert "uploaded to Discord" in message_text(send(body))
    assert Job.objects.count() == 0


def test_the_asker_of_the_payloads_is_who_the_tests_think(
    make_guild: Callable[..., Guild], slash: Slash, now: datetime
) -> None:
    slash(make_guild(), values={"prompt": "x"})
    assert newest().user_id == REQUESTER
    assert transitions.cancel(newest().pk, by=REQUESTER, now=now)
    assert as_other()["member"]["user"]["id"] == str(OTHER)
