"""A new server is set up on one page with five questions."""

from __future__ import annotations

import pytest

from guilds import settings_changes
from guilds.models import Channel, DirectoryState, QuotaRule

pytestmark = pytest.mark.django_db


@pytest.fixture
def address(guild_a):
    Channel.objects.create(pk=901, guild=guild_a, name="sparkle", kind=0)
    DirectoryState.objects.create(guild=guild_a)
    return f"/admin/guilds/guild/{guild_a.pk}/setup/"


def answers(**changed):
    return {"allowed_channel_ids": ["901"], "per_member": "20", "per_guild": "", "nsfw_rule": "never"} | changed


def test_five_answers_set_a_server_up(moderator_a, guild_a, address):
    page = moderator_a.get(f"/admin/guilds/guild/{guild_a.pk}/change/").text
    assert address in page, "the server's page leads to the set-up"
    assert "#sparkle" in moderator_a.get(address).text
    assert moderator_a.post(address, answers(language="de")).status_code == 302
    guild_a.refresh_from_db()
    assert (guild_a.allowed_channel_ids, guild_a.language, guild_a.nsfw_rule) == ([901], "de", "never")
    assert guild_a.set_up_at is not None
    assert settings_changes.read_daily_limit(guild_a.pk, "member") == 20
    assert settings_changes.read_daily_limit(guild_a.pk, "guild") is None
    assert address not in moderator_a.get(f"/admin/guilds/guild/{guild_a.pk}/change/").text
    assert "quota rule" in moderator_a.get("/admin/audit/").text.lower()


def test_answers_are_changed_and_taken_back(moderator_a, guild_a, address):
    moderator_a.post(address, answers())
    assert 'value="20"' in moderator_a.get(address).text
    moderator_a.post(address, answers(per_member="", per_guild="300", allowed_channel_ids=[]))
    assert list(QuotaRule.objects.values_list("subject", "limit")) == [("guild", 300)]
    guild_a.refresh_from_db()
    assert guild_a.allowed_channel_ids == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"allowed_channel_ids": ["5"]}, "Choose from the list."),
        ({"per_member": "-1"}, "greater than or equal to 0"),
        ({"per_guild": "many"}, "Enter a whole number."),
        ({"nsfw_rule": "always"}, "Select a valid choice."),
        ({"language": "xx"}, "Select a valid choice."),
    ],
)
def test_a_wrong_answer_is_refused_in_words_and_saves_nothing(moderator_a, guild_a, address, wrong, said):
    answer = moderator_a.post(address, answers(**wrong))
    assert answer.status_code == 422
    assert said in answer.text
    guild_a.refresh_from_db()
    assert guild_a.set_up_at is None
    assert not QuotaRule.objects.exists()


def test_nobody_sets_up_another_server(moderator_a, observer, guild_b, address):
    assert moderator_a.get(f"/admin/guilds/guild/{guild_b.pk}/setup/").status_code == 404
    assert moderator_a.post(f"/admin/guilds/guild/{guild_b.pk}/setup/", answers()).status_code == 404
    assert observer.post(address, answers()).status_code == 403
