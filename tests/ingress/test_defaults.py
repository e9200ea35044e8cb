"""/sparkle-defaults: what a member saves applies to that member in that server, and is deleted in the list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from discord_api.custom_id import pack
from guilds.models import Guild, ModelProfile
from guilds.prompt_models import MAX_PRESETS, MemberPreset, PromptList
from jobs import privacy
from jobs.models import Job

from .conftest import message_text, payload

pytestmark = pytest.mark.django_db
REQUESTER = 53908232506183680
OTHER = 1190000000000000042
Slash = Callable[..., dict[str, Any]]


@pytest.fixture
def guild(make_guild: Callable[..., Guild]) -> Guild:
    return make_guild()


def as_other() -> dict[str, Any]:
    member = payload("slash")["member"]
    member["user"]["id"] = str(OTHER)
    return {"member": member}


def shown(answer: dict[str, Any]) -> str:
    assert answer["data"].get("flags") in (64, None)
    return str(answer["data"]["embeds"][0]["description"])


def test_defaults_apply_to_their_member_in_their_server(
    guild: Guild, make_guild: Callable[..., Guild], slash: Slash
) -> None:
    values = {"steps": 7, "count": 1, "style": "ink", "visibility": "private"}
    assert "Saved your defaults" in shown(slash(guild, "sparkle-defaults", values))
    slash(guild, "sparkle", {"prompt": "a cat"})
    job = Job.objects.get()
    assert (job.steps, job.count, job.style, job.ephemeral) == (7, 1, "ink", True)
    slash(make_guild(), "sparkle", {"prompt": "a cat"})
    slash(guild, "sparkle", {"prompt": "a cat"}, **as_other())
    assert [other.steps for other in Job.objects.exclude(pk=job.pk)] == [16, 16]


def test_again_repeats_a_request_whatever_the_defaults_are_now(guild: Guild, slash: Slash, press: Any) -> None:
    slash(guild, "sparkle", {"prompt": "a cat", "steps": 5, "visibility": "private"})
    slash(guild, "sparkle-defaults", {"style": "ink", "steps": 9, "visibility": "public"})
    press(guild, pack("reroll", Job.objects.get().pk))
    job = Job.objects.latest("pk")
    assert (job.steps, job.style) == (5, "")
    assert job.ephemeral, "a repeat shows to nobody what the first showed to its member only"


def test_a_preset_is_saved_changed_used_and_deleted(guild: Guild, slash: Slash, press: Any) -> None:
    slash(guild, "sparkle-defaults", {"preset": "Night Sky", "steps": 6})
    assert "night sky" in shown(slash(guild, "sparkle-defaults", {"preset": "night sky", "count": 2}))
    slash(guild, "sparkle", {"prompt": "a cat", "preset": "NIGHT sky"})
    job = Job.objects.get()
    assert (job.steps, job.count) == (6, 2)
    answer = press(guild, pack("forget", 0), values=[str(MemberPreset.objects.get().pk)])
    assert answer["type"] == 7
    assert not MemberPreset.objects.exists()
    assert "no preset named night sky" in message_text(slash(guild, "sparkle", {"prompt": "x", "preset": "night sky"}))


def test_nobody_deletes_the_presets_of_others(guild: Guild, slash: Slash, press: Any) -> None:
    slash(guild, "sparkle-defaults", {"preset": "mine", "steps": 6})
    slash(guild, "sparkle-defaults", {"steps": 6})
    pk = str(MemberPreset.objects.get(name="mine").pk)
    for values in ([pk], ["x"], ["9" * 30], None):
        press(guild, pack("forget", 0), values=values, **as_other())
    assert MemberPreset.objects.count() == 2
    press(guild, pack("forget_defaults", 0))
    assert [preset.name for preset in MemberPreset.objects.all()] == ["mine"]


def test_a_member_keeps_25_presets(guild: Guild, slash: Slash) -> None:
    MemberPreset.objects.bulk_create(
        MemberPreset(guild=guild, user_id=REQUESTER, name=f"p{number}", steps=5) for number in range(MAX_PRESETS)
    )
    assert "25 presets" in message_text(slash(guild, "sparkle-defaults", {"preset": "one more", "steps": 5}))
    assert "p0" in shown(slash(guild, "sparkle-defaults", {"preset": "p0", "steps": 6}))
    assert "Saved" in shown(slash(guild, "sparkle-defaults", {"steps": 6}))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model": "nothing"}, "`model`"),
        ({"style": "nothing"}, "`style`"),
        ({"size": "8x8"}, "`size`"),
        ({"size": "large"}, "`size`"),
        ({"steps": 999}, "`steps`"),
        ({"count": 0}, "`count`"),
        ({"preset": "p"}, "at least one option"),
        ({"preset": "p" * 33, "steps": 5}, "at most 32 characters"),
    ],
)
def test_what_cannot_be_saved_is_said_and_saves_nothing(
    guild: Guild, slash: Slash, values: dict[str, Any], sentence: str
) -> None:
    assert sentence in message_text(slash(guild, "sparkle-defaults", values))
    assert not MemberPreset.objects.exists()


def test_a_model_that_was_taken_away_is_a_sentence(guild: Guild, slash: Slash) -> None:
    newer = ModelProfile.objects.create(slug="newer", name="Newer")
    slash(guild, "sparkle-defaults", {"preset": "p", "model": "newer"})
    ModelProfile.objects.filter(pk=newer.pk).update(enabled=False)
    text = message_text(slash(guild, "sparkle", {"prompt": "x", "preset": "p"}))
    assert "isn't offered here any more" in text
    assert "newer" in text


def test_own_presets_are_suggested(guild: Guild, slash: Slash, send: Any) -> None:
    slash(guild, "sparkle-defaults", {"preset": "portrait", "steps": 5})
    body = payload("autocomplete", guild_id=str(guild.pk))
    body["data"]["options"] = [{"name": "preset", "type": 3, "value": "port", "focused": True}]
    assert [choice["value"] for choice in send(body)["data"]["choices"]] == ["portrait"]
    assert send(body | as_other())["data"]["choices"] == []


def test_presets_are_exported_and_erased_with_the_member(guild: Guild, slash: Slash, now: datetime) -> None:
    slash(guild, "sparkle-defaults", {"preset": "portrait", "steps": 5})
    (record,) = [each for each in privacy.export_member(REQUESTER) if each["type"] == "preset"]
    assert (record["name"], record["steps"]) == ("portrait", 5)
    privacy.erase_member(REQUESTER, now=now)
    assert not MemberPreset.objects.exists()


def test_the_servers_lists_hide_the_platforms_and_other_servers_see_none_of_them(
    guild: Guild, make_guild: Callable[..., Guild], slash: Slash
) -> None:
    PromptList.objects.create(name="animal", entries="cat")
    PromptList.objects.create(guild=guild, name="animal", entries="__pet__ owl\n\n")
    PromptList.objects.create(guild=guild, name="pet", entries="tame")
    slash(guild, "sparkle", {"prompt": "a __animal__"})
    job = Job.objects.latest("pk")
    assert (job.prompt, job.styled_prompt) == ("a __animal__", "a tame owl")
    elsewhere = make_guild()
    slash(elsewhere, "sparkle", {"prompt": "a __animal__"})
    assert Job.objects.latest("pk").styled_prompt == "a cat"
    text = message_text(slash(elsewhere, "sparkle", {"prompt": "__pet__"}))
    assert "no list named pet" in text
    assert "Lists you can use: animal" in text


def test_a_brace_that_is_not_closed_costs_nothing(guild: Guild, slash: Slash) -> None:
    text = message_text(slash(guild, "sparkle", {"prompt": "a {red|blue cat"}))
    assert "`{`" in text
    assert r"`\{`" in text
    assert Job.objects.get().reserved_images == 0
