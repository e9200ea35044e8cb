"""The client against a Discord that limits, fails and forgets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest

from discord_api import errors
from discord_api.client import ATTEMPTS, MAX_INVALID, MAX_INVALID_OF_GUILD, OPENING_S, DiscordClient
from discord_api.payloads import File, Message

from .payload_contract import check

TOKEN = "aW50ZXJhY3Rpb246c2VjcmV0"
OK = httpx.Response(200, json={"id": "99", "content": "x"})


class Clock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Discord:
    """Answers from a script, the last one for ever; exceptions are raised."""

    def __init__(self, answers: Iterable[httpx.Response | Exception]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


Talk = Callable[..., tuple[DiscordClient, Discord, Clock]]


@pytest.fixture
def talk() -> Talk:
    def to(*answers: httpx.Response | Exception) -> tuple[DiscordClient, Discord, Clock]:
        clock, discord = Clock(), Discord(answers)
        client = DiscordClient(
            "https://discord.test/api/v10",
            application_id=5,
            bot_token="bot-secret",
            transport=httpx.MockTransport(discord),
            sleep=clock.sleep,
            clock=lambda: clock.now,
        )
        return client, discord, clock

    return to


def refused(status: int, code: int = 0, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": "no"}, headers=headers)


def form_of(request: httpx.Request) -> dict[str, Any]:
    """The payload_json of a multipart body."""
    boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
    part = next(part for part in request.read().split(b"--" + boundary) if b'name="payload_json"' in part)
    found: dict[str, Any] = json.loads(part.partition(b"\r\n\r\n")[2])
    return found


def test_an_edit_names_every_part_and_pings_nobody(talk: Talk) -> None:
    client, discord, _ = talk(OK)
    client.edit_original(TOKEN, Message(content="@everyone"))
    (request,) = discord.requests
    assert request.method == "PATCH"
    assert request.url.path == f"/api/v10/webhooks/5/{TOKEN}/messages/@original"
    assert "Authorization" not in request.headers
    body = json.loads(request.content)
    assert body == {
        "allowed_mentions": {"parse": []},
        "content": "@everyone",
        "embeds": [],
        "components": [],
        "attachments": [],
    }
    check("IncomingWebhookUpdateRequestPartial", body)


def test_files_go_up_beside_what_is_kept(talk: Talk) -> None:
    client, discord, _ = talk(OK)
    grid = File(name="grid.png", content=b"\x89PNG", content_type="image/png", description="a cat", spoiler=True)
    client.edit_original(TOKEN, Message(content="x", files=(grid,), keep=(77,)))
    body = form_of(discord.requests[0])
    assert body["attachments"] == [
        {"id": "77"},
        {"id": "0", "filename": "SPOILER_grid.png", "description": "a cat"},
    ]
    assert b'name="files[0]"; filename="SPOILER_grid.png"' in discord.requests[0].content
    check("IncomingWebhookUpdateRequestPartial", body)


def test_a_post_by_the_bot_mentions_only_the_asker_and_is_not_doubled(talk: Talk) -> None:
    client, discord, _ = talk(httpx.Response(502), OK)
    client.create_message(7, Message(content="<@42> done", mention_users=(42,), nonce="sparkle-1"))
    bodies = [json.loads(request.content) for request in discord.requests]
    assert bodies[0] == bodies[1]
    assert bodies[0]["allowed_mentions"] == {"parse": [], "users": ["42"]}
    assert (bodies[0]["nonce"], bodies[0]["enforce_nonce"]) == ("sparkle-1", True)
    assert discord.requests[0].headers["Authorization"] == "Bot bot-secret"
    check("MessageCreateRequest", bodies[0])


def test_waits_as_long_as_a_429_says(talk: Talk) -> None:
    client, discord, clock = talk(refused(429, headers={"Retry-After": "1.5"}), OK)
    assert client.edit_original(TOKEN, Message(content="x"))["id"] == "99"
    assert len(discord.requests) == 2
    assert sum(clock.slept) == pytest.approx(1.5, abs=2)
    assert clock.slept[0] == 1.5


def test_reads_the_wait_from_the_body_where_the_header_is_missing(talk: Talk) -> None:
    client, _, clock = talk(httpx.Response(429, json={"retry_after": 0.25, "global": False}), OK)
    client.edit_original(TOKEN, Message(content="x"))
    assert clock.slept[0] == 0.25


def test_does_not_wait_for_ever(talk: Talk) -> None:
    client, discord, clock = talk(refused(429, headers={"Retry-After": "3600"}))
    with pytest.raises(errors.TryLater) as caught:
        client.edit_original(TOKEN, Message(content="x"))
    assert not caught.value.permanent
    assert clock.slept == []
    with pytest.raises(errors.TryLater):
        client.edit_original(TOKEN, Message(content="x"))
    assert len(discord.requests) == 1, "what is known to be limited is not sent"


def test_an_empty_bucket_is_waited_out_before_it_answers_429(talk: Talk) -> None:
    headers = {"X-RateLimit-Bucket": "abc", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "2.5"}
    client, _, clock = talk(httpx.Response(200, json={"id": "1"}, headers=headers), OK)
    client.edit_original(TOKEN, Message(content="x"))
    client.edit_original("another-token", Message(content="x"))
    assert clock.slept == []
    client.edit_original(TOKEN, Message(content="x"))
    assert clock.slept == [2.5]


def test_a_global_limit_holds_every_route(talk: Talk) -> None:
    client, _, clock = talk(refused(429, headers={"Retry-After": "2", "X-RateLimit-Global": "true"}), OK)
    client.edit_original(TOKEN, Message(content="x"))
    before = clock.now
    client.open_dm(4)
    assert clock.now == before
    assert clock.slept[0] == 2


@pytest.mark.parametrize(
    "failure", [httpx.Response(500), httpx.Response(503), httpx.ReadTimeout("slow"), httpx.ConnectError("x")]
)
def test_a_failing_discord_is_asked_a_few_times(talk: Talk, failure: httpx.Response | Exception) -> None:
    client, discord, clock = talk(failure)
    with pytest.raises(errors.Unavailable) as caught:
        client.edit_original(TOKEN, Message(content="x"))
    assert not caught.value.permanent
    assert len(discord.requests) == ATTEMPTS == 4
    # Each wait is twice the one before, and none follows the last try.
    assert clock.slept == [0.5, 1.0, 2.0]


def test_what_could_be_doubled_is_not_sent_again(talk: Talk) -> None:
    client, discord, _ = talk(httpx.ReadTimeout("slow"))
    with pytest.raises(errors.Unavailable):
        client.create_message(7, Message(content="x"))
    assert len(discord.requests) == 1


def test_what_never_left_is_sent_again(talk: Talk) -> None:
    client, discord, _ = talk(httpx.ConnectError("refused"), OK)
    client.create_message(7, Message(content="x"))
    assert len(discord.requests) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(404, 10015), errors.TokenExpired),
        (refused(404, 10062), errors.TokenExpired),
        (refused(401, 50027), errors.TokenExpired),
        (httpx.Response(404), errors.TokenExpired),
        (refused(403, 50001), errors.Forbidden),
        (refused(403, 50013), errors.Forbidden),
        (refused(400, 40005), errors.TooLarge),
        (httpx.Response(413, text="<html>"), errors.TooLarge),
        (refused(400, 50035), errors.InvalidFormBody),
        (refused(400, 50006), errors.InvalidFormBody),
    ],
)
def test_each_refusal_has_its_name_and_is_not_repeated(talk: Talk, answer: httpx.Response, kind: type) -> None:
    client, discord, _ = talk(answer)
    with pytest.raises(errors.DiscordError) as caught:
        client.edit_original(TOKEN, Message(content="x"))
    assert type(caught.value) is kind
    assert caught.value.permanent
    assert len(discord.requests) == 1


def test_stops_at_a_webhook_that_stays_unknown(talk: Talk) -> None:
    client, discord, clock = talk(refused(404, 10015))
    for _ in range(3):
        with pytest.raises(errors.TokenExpired):
            client.edit_original(TOKEN, Message(content="x"))
        clock.now += OPENING_S
    assert len(discord.requests) == 1


def test_stops_at_once_at_a_token_that_has_expired(talk: Talk) -> None:
    client, discord, _ = talk(refused(401, 50027), OK)
    for _ in range(3):
        with pytest.raises(errors.TokenExpired):
            client.edit_original(TOKEN, Message(content="x"))
    assert len(discord.requests) == 1


def test_a_token_that_discord_learns_of_a_moment_later_is_alive(talk: Talk) -> None:
    client, discord, clock = talk(refused(404, 10015), OK)
    with pytest.raises(errors.TokenExpired):
        client.edit_original(TOKEN, Message(content="too early"))
    clock.now += 1
    client.edit_original(TOKEN, Message(content="x"))
    clock.now += 2 * OPENING_S
    client.edit_original(TOKEN, Message(content="x"))
    assert len(discord.requests) == 3


def test_a_deleted_message_leaves_its_token_alive(talk: Talk) -> None:
    client, discord, _ = talk(refused(404, 10008), OK)
    with pytest.raises(errors.TokenExpired):
        client.edit_original(TOKEN, Message(content="x"))
    client.original(TOKEN)
    assert len(discord.requests) == 2


def test_too_many_refusals_open_the_circuit_until_the_window_has_passed(talk: Talk) -> None:
    client, discord, clock = talk(refused(403, 50001))
    for channel in range(MAX_INVALID):
        with pytest.raises(errors.Forbidden):
            client.create_message(channel, Message(content="x", nonce="1"))
    with pytest.raises(errors.CircuitOpen) as caught:
        client.create_message(1, Message(content="x", nonce="1"))
    assert not caught.value.permanent
    assert len(discord.requests) == MAX_INVALID
    clock.now += 601
    with pytest.raises(errors.Forbidden):
        client.create_message(1, Message(content="x", nonce="1"))


def test_a_servers_refusals_end_its_own_requests_alone(talk: Talk) -> None:
    client, discord, clock = talk(refused(403, 50013))
    theirs, others = client.for_guild(1), client.for_guild(2)
    for channel in range(MAX_INVALID_OF_GUILD):
        with pytest.raises(errors.Forbidden):
            theirs.create_message(channel, Message(content="x", nonce="1"))
    with pytest.raises(errors.RouteClosed):
        theirs.create_message(1, Message(content="x", nonce="1"))
    assert len(discord.requests) == MAX_INVALID_OF_GUILD
    with pytest.raises(errors.Forbidden) as caught:
        others.create_message(1, Message(content="x", nonce="1"))
    assert not isinstance(caught.value, errors.RouteClosed)
    clock.now += 601
    with pytest.raises(errors.Forbidden) as caught:
        theirs.create_message(1, Message(content="x", nonce="1"))
    assert not isinstance(caught.value, errors.RouteClosed)


def test_shared_limits_do_not_count_against_us(talk: Talk) -> None:
    client, _, _ = talk(refused(429, headers={"Retry-After": "0.001", "X-RateLimit-Scope": "shared"}))
    for _ in range(MAX_INVALID):
        with pytest.raises(errors.TryLater):
            client.edit_original(TOKEN, Message(content="x"))


@pytest.mark.parametrize(
    "failure", [refused(404, 10015), refused(400, 50035), httpx.ConnectError("x"), httpx.Response(500)]
)
def test_no_error_or_log_line_carries_a_token(
    talk: Talk, failure: httpx.Response | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="guilds")
    client, _, _ = talk(failure)
    with pytest.raises(errors.DiscordError) as caught:
        client.edit_original(TOKEN, Message(content="x"))
    chain: BaseException | None = caught.value
    while chain is not None:
        assert TOKEN not in f"{chain!r} {chain}"
        chain = chain.__cause__
    assert TOKEN not in caplog.text
    assert "bot-secret" not in caplog.text


def test_pages_through_all_guilds(talk: Talk) -> None:
    page = [{"id": str(number), "name": "g"} for number in range(1, 201)]
    client, discord, _ = talk(httpx.Response(200, json=page), httpx.Response(200, json=[{"id": "900", "name": "last"}]))
    assert len(client.guilds()) == 201
    assert [request.url.params["after"] for request in discord.requests] == ["0", "200"]


def test_an_answer_that_is_no_json_is_discord_being_away(talk: Talk) -> None:
    client, _, _ = talk(httpx.Response(200, text="<html>"))
    with pytest.raises(errors.Unavailable):
        client.guilds()
