"""A thread has the rules of its channel and category, which are fetched from Discord, cached, and never guessed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from discord_api.client import DiscordClient
from discord_api.errors import Unavailable
from guilds import channels
from guilds.discord_client import from_settings
from guilds.models import BlockedTerm, Channel, Guild
from interactions_lambda import submission
from jobs import moderation
from jobs.models import Job
from jobs.submission import Accepted

from .conftest import message_text, payload

pytestmark = pytest.mark.django_db
THREAD, FORUM, CATEGORY = 701, 702, 703


@pytest.fixture
def discord(httpserver: HTTPServer, settings: Any) -> Iterator[Callable[..., list[int]]]:
    """A fake of Discord's channel endpoint that records the requested ids."""
    asked: list[int] = []
    described: dict[int, dict[str, Any]] = {}

    def answer(request: Request) -> Response:
        asked.append(int(request.path.rpartition("/")[2]))
        found = described.get(asked[-1])
        body = found or {"message": "Unknown Channel", "code": 10003}
        return Response(json.dumps(body), status=200 if found else 404, content_type="application/json")

    def describe(guild: Guild, **more: Any) -> list[int]:
        described[FORUM] = {"id": str(FORUM), "type": 15, "guild_id": str(guild.pk), "parent_id": str(CATEGORY)} | more
        described[THREAD] = {
            "id": str(THREAD), "type": 11, "guild_id": str(guild.pk), "parent_id": str(FORUM),
        }  # fmt: skip
        return asked

    httpserver.expect_request("/channels/701").respond_with_handler(answer)
    httpserver.expect_request("/channels/702").respond_with_handler(answer)
    settings.DISCORD_API_BASE = httpserver.url_for("/")
    settings.DISCORD_BOT_TOKEN = "bot-token"
    submission._client.cache_clear()
    yield describe
    submission._client.cache_clear()


def in_thread(**without: Any) -> dict[str, Any]:
    channel = {"id": str(THREAD), "type": 11, "parent_id": str(FORUM), "name": "foxes"} | without
    return {"channel_id": str(THREAD), "channel": {key: value for key, value in channel.items() if value is not None}}


def adult(guild: Guild) -> Guild:
    BlockedTerm.objects.create(guild=guild, phrase="nude", nsfw=True)
    return guild


@pytest.mark.parametrize(
    "where", [in_thread(), in_thread(parent_id=None), {"channel_id": str(THREAD), "channel": None}]
)
@pytest.mark.parametrize("nsfw", [True, False])
def test_a_thread_is_age_restricted_as_its_channel_is(
    make_guild: Any, slash: Any, discord: Any, where: dict[str, Any], nsfw: bool
) -> None:
    guild = adult(make_guild(nsfw_rule="age_restricted"))
    discord(guild, nsfw=nsfw)
    answer = slash(guild, "sparkle", {"prompt": "a nude"}, **where)
    assert ("Submitted" in str(answer)) is nsfw
    assert ("age-restricted" in str(answer)) is not nsfw


def test_a_thread_below_an_allowed_category_is_allowed(make_guild: Any, slash: Any, discord: Any) -> None:
    guild = make_guild(allowed_channel_ids=[CATEGORY])
    discord(guild)
    assert "Submitted" in str(slash(guild, "sparkle", {"prompt": "a fox"}, **in_thread()))
    guild.allowed_channel_ids = [999]
    guild.save()
    assert "isn't available here" in message_text(slash(guild, "sparkle", {"prompt": "a fox"}, **in_thread()))


def test_discord_is_asked_once_for_a_while(make_guild: Any, slash: Any, discord: Any) -> None:
    guild = make_guild()
    asked = discord(guild)
    for _ in range(3):
        assert "Submitted" in str(slash(guild, "sparkle", {"prompt": "a fox"}, **in_thread()))
    assert asked == [FORUM]
    Channel.objects.update(read_at=datetime(2026, 1, 1).astimezone())
    slash(guild, "sparkle", {"prompt": "a fox"}, **in_thread())
    assert asked == [FORUM, FORUM]


def test_a_channel_that_says_all_of_it_asks_nobody(make_guild: Any, slash: Any, discord: Any) -> None:
    guild = make_guild()
    asked = discord(guild)
    slash(guild, "sparkle", {"prompt": "a fox"})
    assert asked == []
    assert not Channel.objects.exists()


def test_what_nobody_knows_is_asked_for_again_and_is_no_refusal_of_its_own(
    make_guild: Any, slash: Any, httpserver: HTTPServer, settings: Any, now: datetime
) -> None:
    settings.DISCORD_BOT_TOKEN = settings.DISCORD_BOT_TOKEN_ARN = ""
    guild = adult(make_guild(nsfw_rule="age_restricted"))
    assert "Submitted" in str(slash(guild, "sparkle", {"prompt": "a fox"}, **in_thread()))
    assert "in a minute" in message_text(slash(guild, "sparkle", {"prompt": "a nude"}, **in_thread()))
    # Upkeep fetches the channel, so it is known afterwards.
    body = {"id": str(FORUM), "type": 15, "guild_id": str(guild.pk), "nsfw": True}
    httpserver.expect_oneshot_request(f"/channels/{FORUM}").respond_with_json(body)
    settings.DISCORD_API_BASE, settings.DISCORD_BOT_TOKEN = httpserver.url_for("/"), "bot-token"
    client = from_settings()
    assert channels.refresh(client.channel, now=now) == 1
    client.close()
    settings.DISCORD_BOT_TOKEN = ""
    assert "Submitted" in str(slash(guild, "sparkle", {"prompt": "a nude"}, **in_thread()))


def test_another_servers_channel_says_nothing(make_guild: Any, slash: Any, discord: Any) -> None:
    guild, other = adult(make_guild(nsfw_rule="age_restricted")), make_guild()
    discord(other, nsfw=True)
    assert "Submitted" not in str(slash(guild, "sparkle", {"prompt": "a nude"}, **in_thread()))
    Channel.objects.all().delete()
    Channel.objects.create(id=FORUM, guild=other, nsfw=True, read_at=datetime.now().astimezone())
    assert "Submitted" not in str(slash(guild, "sparkle", {"prompt": "a nude"}, **in_thread()))


def test_a_slow_discord_does_not_hold_the_answer_up(
    make_guild: Any, slash: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def never(self: DiscordClient, channel_id: int) -> dict[str, Any]:
        raise Unavailable(0, 0, "ReadTimeout")

    settings.DISCORD_BOT_TOKEN = "bot-token"
    monkeypatch.setattr(DiscordClient, "channel", never)
    assert "Submitted" in str(slash(make_guild(), "sparkle", {"prompt": "a fox"}, **in_thread()))


def test_what_was_read_is_believed_for_a_day_where_discord_is_away(make_guild: Any, now: datetime) -> None:
    guild = make_guild()
    place = channels.from_interaction(in_thread()["channel"], channel_id=THREAD, parent_id=FORUM)

    def away(channel_id: int) -> dict[str, Any]:
        raise Unavailable(503, 0, "away")

    for age, known in ((timedelta(hours=23), True), (timedelta(hours=25), None)):
        row = {"guild": guild, "nsfw": True, "parent_id": CATEGORY, "read_at": now - age}
        Channel.objects.update_or_create(id=FORUM, defaults=row)
        found = channels.fill_in(place, guild_id=guild.pk, now=now, fetch=away)
        assert (found.nsfw, found.complete) == (known, bool(known))


def test_a_moderators_retry_in_a_thread_is_asked_for_where_it_was(
    make_guild: Any, slash: Any, discord: Any, now: datetime
) -> None:
    guild = adult(make_guild(nsfw_rule="age_restricted", allowed_channel_ids=[CATEGORY]))
    discord(guild, nsfw=True)
    assert "Submitted" in str(slash(guild, "sparkle", {"prompt": "a nude"}, **in_thread()))
    job = Job.objects.get()
    Job.objects.filter(pk=job.pk).update(status="failed", ended_at=now)
    assert isinstance(moderation.retry(job.pk, by="mona", now=now), Accepted)


def test_payloads_of_channels_are_as_recorded() -> None:
    assert {"nsfw", "parent_id", "type"} <= payload("slash")["channel"].keys()
