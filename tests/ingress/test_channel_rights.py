"""What channel permissions allow: buttons and commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from discord_api.custom_id import pack
from discord_api.permissions import MANAGE_GUILD, MANAGE_MESSAGES
from jobs import submission
from jobs.job_status import Status
from jobs.models import Job

from .conftest import message_text, payload

pytestmark = pytest.mark.django_db
HERE = int(payload("slash")["channel_id"])
ELSEWHERE = 1190000000000000077
MEMBER = 1190000000000000042


@pytest.fixture
def theirs(make_guild: Callable[..., Any], make_ask: Callable[..., Any], now: Any) -> Callable[..., Job]:
    def make(*, channel_id: int, private: bool = False, **ask: Any) -> Job:
        guild = make_guild(results_ephemeral=private)
        ask |= {"user_id": MEMBER, "channel_id": channel_id, "prompt": "secret"}
        accepted = submission.submit(make_ask(guild, **ask), now=now)
        assert isinstance(accepted, submission.Accepted)
        return accepted.job

    return make


def member(permissions: int) -> dict[str, Any]:
    return {"member": payload("slash")["member"] | {"permissions": str(permissions)}}


CASES = [
    (MANAGE_MESSAGES, {"channel_id": HERE}, True),
    (MANAGE_MESSAGES, {"channel_id": ELSEWHERE}, False),
    (MANAGE_MESSAGES, {"channel_id": HERE, "private": True}, False),
    (MANAGE_MESSAGES, {"channel_id": ELSEWHERE, "parent_channel_id": HERE}, True),
    (MANAGE_GUILD, {"channel_id": ELSEWHERE}, True),
    (MANAGE_GUILD, {"channel_id": ELSEWHERE, "private": True}, True),
    (0, {"channel_id": HERE}, False),
]


@pytest.mark.parametrize(("permissions", "job", "may"), CASES)
def test_show_and_cancel_by_command(theirs: Any, slash: Any, permissions: int, job: dict[str, Any], may: bool) -> None:
    their = theirs(**job)
    shown = slash(their.guild, "sparkle-show", {"id": str(their.pk)}, **member(permissions))
    assert ("secret" in str(shown)) is may
    slash(their.guild, "sparkle-cancel", {"id": str(their.pk)}, **member(permissions))
    their.refresh_from_db()
    assert (their.status == Status.CANCELLED) is may


@pytest.mark.parametrize(("permissions", "job", "may"), CASES)
def test_cancel_and_delete_by_button(theirs: Any, press: Any, permissions: int, job: dict[str, Any], may: bool) -> None:
    their = theirs(**job)
    press(their.guild, pack("cancel", their.pk), **member(permissions))
    their.refresh_from_db()
    assert (their.status == Status.CANCELLED) is may
    Job.objects.filter(pk=their.pk).update(status=Status.COMPLETED)
    answer = press(their.guild, pack("delete", their.pk), **member(permissions))
    assert (answer["type"] == 7) is may


def test_a_channels_permission_shows_no_settings(make_guild: Any, slash: Any) -> None:
    guild = make_guild()
    assert "Manage Server" in message_text(slash(guild, "sparkle-settings", **member(MANAGE_MESSAGES)))
    assert slash(guild, "sparkle-settings", **member(MANAGE_GUILD))["data"]["components"]
