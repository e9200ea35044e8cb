"""Command names in responses are clickable mentions, in every language of server and member."""

from __future__ import annotations

from typing import Any

import pytest

from guilds import command_ids
from guilds.models import RegisteredCommand

from .conftest import message_text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_ids, "_kept", None)


def test_an_answer_mentions_the_registered_command(make_guild: Any, slash: Any) -> None:
    assert command_ids.save([{"name": "sparkle", "id": "1"}, {"name": "sparkle-history", "id": "2"}]) == 2
    guild = make_guild(language="de")
    assert "</sparkle-history:2>" in message_text(slash(guild, "sparkle-show", {"id": "5"}, locale="fr"))
    assert "</sparkle:1>" in message_text(slash(guild, "sparkle-history", locale="fr"))


def test_before_the_ids_are_known_the_members_own_names_are_used(make_guild: Any, slash: Any) -> None:
    guild = make_guild(language="de")
    assert "/sparkle-historique" in message_text(slash(guild, "sparkle-show", {"id": "5"}, locale="fr"))
    assert "/sparkle-verlauf" in message_text(slash(guild, "sparkle-show", {"id": "5"}, locale="de"))
    assert "/sparkle-history" in message_text(slash(guild, "sparkle-show", {"id": "5"}, locale="ko"))


def test_the_ids_follow_what_is_registered() -> None:
    command_ids.save([{"name": "sparkle", "id": "1"}, {"name": "sparkle-old", "id": "2"}])
    command_ids.save([{"name": "sparkle", "id": "3"}])
    assert list(RegisteredCommand.objects.values_list("name", "id")) == [("sparkle", 3)]
    assert command_ids.current() == {"sparkle": 3}
