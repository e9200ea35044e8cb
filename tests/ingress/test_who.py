""" "Who made this?" on a result of the bot, and "Show" in the history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from discord_api.custom_id import pack
from discord_api.permissions import MANAGE_MESSAGES
from guilds.models import Guild
from jobs import result_messages, submission
from jobs.models import Job

from .conftest import message_text, payload
from .test_round_trips import HERE, REQUESTER, complete, newest

pytestmark = pytest.mark.django_db
OTHER = 1190000000000000042


@pytest.fixture
def guild(make_guild: Callable[..., Guild]) -> Guild:
    return make_guild()


@pytest.fixture
def job(guild: Guild, make_ask: Callable[..., Any], now: datetime) -> Job:
    ask = make_ask(guild, user_id=OTHER, channel_id=HERE, seed=5, prompt="a {red|blue} cat")
    accepted = submission.submit(ask, now=now)
    assert isinstance(accepted, submission.Accepted)
    return complete(accepted.job)


@pytest.fixture
def ask_who(send: Any, guild: Guild) -> Callable[..., dict[str, Any]]:
    def ask(components: Any, *, by_us: bool = True, to: Guild = guild, **changes: Any) -> dict[str, Any]:
        body = payload("message_command", guild_id=str(to.pk), **changes)
        body["data"]["name"] = "Who made this?"
        (message,) = body["data"]["resolved"]["messages"].values()
        owner = body["application_id"] if by_us else "1"
        message |= {"components": components, "author": {"id": owner}, "application_id": owner}
        answer: dict[str, Any] = send(body)
        return answer

    return ask


def test_a_result_names_its_request_model_and_seed_and_is_made_again(
    guild: Guild, job: Job, ask_who: Any, press: Any
) -> None:
    answer = ask_who(list(result_messages.result_controls(job)))
    data = answer["data"]
    assert data["flags"] == 64
    assert f"<@{OTHER}>" in data["content"]
    shown = str(data["embeds"])
    assert "5 … 8" in shown
    assert job.model.name in shown
    assert job.styled_prompt in shown, "what the choices became"
    press(guild, pack("repeat", job.pk))
    made = newest()
    assert (made.user_id, made.seed, made.styled_prompt) == (REQUESTER, 5, job.styled_prompt)


def test_it_is_found_in_a_container_too(job: Job, ask_who: Any) -> None:
    assert ask_who([{"type": 17, "components": list(result_messages.result_controls(job))}])["data"]["embeds"]


def test_only_our_own_messages_are_believed(job: Job, ask_who: Any) -> None:
    forged = list(result_messages.result_controls(job))
    assert "can't tell" in message_text(ask_who(forged, by_us=False))


@pytest.mark.parametrize("components", [None, [], 5, [5], [{"components": 5}], [{"custom_id": "s1:image:x"}]])
def test_a_message_without_a_result_says_so(guild: Guild, ask_who: Any, components: object) -> None:
    assert "can't tell" in message_text(ask_who(components))


def test_what_a_reader_may_not_see_is_not_shown(job: Job, ask_who: Any, make_guild: Callable[..., Guild]) -> None:
    controls = list(result_messages.result_controls(job))
    assert "can't tell" in message_text(ask_who(controls, to=make_guild()))
    Job.objects.filter(pk=job.pk).update(ephemeral=True)
    assert "can't tell" in message_text(ask_who(controls))
    Job.objects.filter(pk=job.pk).update(ephemeral=False, channel_id=HERE + 1)
    assert "can't tell" in message_text(ask_who(controls))
    Job.objects.filter(pk=job.pk).update(channel_id=HERE)
    moderator = payload("message_command")["member"] | {"permissions": str(MANAGE_MESSAGES)}
    assert ask_who(controls, member=moderator)["data"]["embeds"]


def test_a_request_of_the_history_is_shown(guild: Guild, slash: Any, press: Any, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(user_id=REQUESTER)
    menu = slash(guild, "sparkle-history")["data"]["components"][0]["components"][0]
    assert [option["value"] for option in menu["options"]] == [str(job.pk)]
    answer = press(guild, menu["custom_id"], values=[str(job.pk)])
    assert f"#{job.pk}" in answer["data"]["content"]
    Job.objects.filter(pk=job.pk).update(user_id=OTHER)
    assert "not found" in message_text(press(guild, menu["custom_id"], values=[str(job.pk)]))
    assert "not found" in message_text(press(guild, menu["custom_id"]))
