"""What moderators switch off is refused with a sentence, wherever it is asked for, and what is on stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from discord_api.custom_id import pack
from discord_api.i18n import LOCALES, phrases
from guilds import features
from guilds.command_definitions import REMIX, WHO
from guilds.features import FEATURES
from guilds.generation_params import RequestedParams
from guilds.models import Guild
from guilds.policy import Refusal
from guilds.prompt_models import MemberPreset
from jobs import submission
from jobs.models import Job

from .conftest import message_text
from .test_buttons import make_job  # noqa: F401  # a fixture

pytestmark = pytest.mark.django_db
Call = Callable[..., dict[str, Any]]
REQUESTER = 53908232506183680


def test_every_feature_has_a_name_in_every_language() -> None:
    assert {*features.OF_COMMAND.values(), *features.OF_ACTION.values(), "image", "private"} == set(FEATURES)
    for locale in LOCALES:
        assert {key for key in phrases(locale) if key.startswith("feature.")} == {
            f"feature.{code}" for code in FEATURES
        }


@pytest.mark.parametrize("command", ["sparkle-defaults", "sparkle-history"])
def test_a_command_is_refused_with_a_sentence(make_guild: Call, slash: Call, command: str) -> None:
    guild = make_guild(switched_off=["defaults", "history"])
    said = message_text(slash(guild, command))
    assert said.startswith("Turned off in this server: ")
    assert "A moderator can turn it on" in said
    guild = make_guild(switched_off=[feature for feature in FEATURES if feature not in ("defaults", "history")])
    assert "Turned off" not in str(slash(guild, command))


@pytest.mark.parametrize(
    ("action", "feature"),
    [
        (lambda job: pack("reroll", job.pk), "again"),
        (lambda job: pack("edit", job.pk), "edit"),
        (lambda job: pack("vary", job.pk, 0), "vary"),
        (lambda job: pack("upscale", job.pk, 0), "upscale"),
        (lambda job: pack("enlarge", job.pk, 0), "redraw"),
        (lambda job: pack("area", job.pk, 0), "area"),
        (lambda job: pack("zoom_out", job.pk, 0), "area"),
        (lambda job: pack("older", job.pk), "history"),
    ],
)
def test_a_button_of_an_old_message_is_refused_and_makes_no_job(
    make_guild: Call,
    make_job: Call,  # noqa: F811
    press: Call,
    action: Callable[[Job], str],
    feature: str,
) -> None:
    guild = make_guild(language="de")
    job = make_job(guild)
    made = Job.objects.exclude(status="refused").count()
    Guild.objects.update(switched_off=[feature])
    said = message_text(press(guild, action(job)))
    assert said.startswith("Auf diesem Server ausgeschaltet: ")
    assert phrases("de")[f"feature.{feature}"] in said
    assert Job.objects.exclude(status="refused").count() == made


def test_a_choice_in_the_menu_is_refused(make_guild: Call, make_job: Call, press: Call) -> None:  # noqa: F811
    guild = make_guild(switched_off=["vary"])
    job = make_job(guild)
    assert "Turned off" in message_text(press(guild, pack("image", job.pk), values=["vary:0"]))
    assert "Turned off" not in str(press(guild, pack("image", job.pk), values=["upscale:0"]))


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"kind": "img2img", "source_url": "https://cdn.discordapp.com/a.png"}, "image"),
        ({"is_private": True}, "private"),
        ({"preset": "mine"}, "defaults"),
    ],
)
def test_an_option_is_refused_where_it_is_decided(
    make_guild: Call, make_ask: Call, now: Any, fields: dict[str, Any], feature: str
) -> None:
    guild = make_guild(switched_off=[feature])
    MemberPreset.objects.create(guild=guild, user_id=42, name="mine")
    refused = submission.submit(make_ask(guild, **fields), now=now)
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.params) == ("feature_off", {"feature": feature})
    Guild.objects.update(switched_off=[code for code in FEATURES if code != feature])
    assert not isinstance(submission.submit(make_ask(guild, **fields), now=now), Refusal)


def test_a_server_that_shows_all_results_privately_refuses_no_private_request() -> None:
    private = RequestedParams(prompt="a cat", is_private=True)
    assert features.switched_off(private, {"private"}) == "private"
    assert features.switched_off(private, {"private"}, always_private=True) is None
    assert features.switched_off(replace(private, is_private=None), {"private"}) is None


def test_defaults_that_nobody_can_open_do_not_apply(make_guild: Call, make_ask: Call, now: Any) -> None:
    guild = make_guild(switched_off=["defaults"])
    MemberPreset.objects.create(guild=guild, user_id=42, name="", steps=9)
    accepted = submission.submit(make_ask(guild, uses_defaults=True), now=now)
    assert isinstance(accepted, submission.Accepted)
    assert accepted.job.steps != 9


def test_the_commands_on_messages_are_known_by_their_names() -> None:
    assert {REMIX, WHO} <= set(features.OF_COMMAND)
