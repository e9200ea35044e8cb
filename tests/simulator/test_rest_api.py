"""The application's own client against the stand-in: every answer it must understand, over real HTTP semantics."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine
from django.utils import timezone

from devtools.simulator import injected_faults, message_rules, rest_api, store
from devtools.simulator.models import SimCall, SimChannel, SimGuild, SimInteraction, SimMessage, SimUser
from discord_api import errors, payloads

from .full_client import FullClient
from .in_process_transport import SiteTransport

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63f8cfc0f01f0005000" + "1ff89993d1d0000000049454e44ae426082"
)


def image(name: str = "grid.png", **fields: Any) -> payloads.File:
    return payloads.File(name=name, content=PNG, content_type="image/png", **fields)


@pytest.fixture
def interaction(channel: SimChannel, yuki: SimUser, settings: Any) -> SimInteraction:
    """An interaction that was answered at once with "Submitted"."""
    now = timezone.now()
    made = SimInteraction.objects.create(
        pk=1,
        token="the-token",
        type=2,
        application_id=settings.DISCORD_APPLICATION_ID,
        channel=channel,
        user=yuki,
        created_at=now,
        acked_at=now,
        callback_type=4,
    )
    draft = message_rules.check_message({"content": "Submitted"}, interaction=True)
    assert isinstance(draft, message_rules.Draft)
    made.original = store.post(draft, channel=channel, author=store.bot(), interaction=made, now=now)
    made.save()
    return made


def test_an_edit_replaces_the_message_and_keeps_its_history(
    client_of_bot: FullClient, interaction: SimInteraction
) -> None:
    answer = client_of_bot.edit_original("the-token", payloads.Message(content="Processing"))
    assert answer["content"] == "Processing"
    assert answer["edited_timestamp"]
    message = interaction.original
    assert message is not None
    assert [edit.content for edit in message.edits.all()] == ["Submitted", "Processing"]


def test_images_are_kept_only_when_an_edit_lists_them(client_of_bot: FullClient, interaction: SimInteraction) -> None:
    files = (image("a.png", description="first"), image("b.png"))
    answer = client_of_bot.edit_original("the-token", payloads.Message(content="Completed", files=files))
    first, second = answer["attachments"]
    assert (first["filename"], first["description"], first["width"]) == ("a.png", "first", 1)
    answer = client_of_bot.edit_original("the-token", payloads.Message(content="Completed", keep=(int(second["id"]),)))
    assert [each["filename"] for each in answer["attachments"]] == ["b.png"]


def test_an_embed_shows_an_attachment_instead_of_the_file_list(
    client_of_bot: FullClient, interaction: SimInteraction
) -> None:
    message = payloads.Message(files=(image(),), embeds=({"image": {"url": "attachment://grid.png"}},))
    answer = client_of_bot.edit_original("the-token", message)
    assert answer["attachments"] == []
    assert "/cdn/attachments/" in answer["embeds"][0]["image"]["url"]


def test_a_link_to_the_cdn_expires(client_of_bot: FullClient, interaction: SimInteraction, client: Any) -> None:
    answer = client_of_bot.edit_original("the-token", payloads.Message(files=(image(),)))
    link = re.sub(r"^http://[^/]+", "", answer["attachments"][0]["url"])
    assert client.get(link).content == PNG
    assert client.get(link.replace("hm=", "hm=0")).status_code == 404
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        assert client.get(link).status_code == 404


@pytest.mark.parametrize(
    ("minutes", "code"), [(14, None), (16, 50027)], ids=["while the token lives", "after fifteen minutes"]
)
def test_a_token_expires(
    client_of_bot: FullClient, interaction: SimInteraction, minutes: int, code: int | None
) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=minutes)):
        if code is None:
            client_of_bot.edit_original("the-token", payloads.Message(content="Processing"))
            return
        with pytest.raises(errors.TokenExpired) as raised:
            client_of_bot.edit_original("the-token", payloads.Message(content="Processing"))
        assert raised.value.code == code


def test_an_unknown_token_is_an_unknown_webhook(client_of_bot: FullClient) -> None:
    with pytest.raises(errors.TokenExpired) as raised:
        client_of_bot.edit_original("no-such-token", payloads.Message(content="c"))
    assert (raised.value.status, raised.value.code) == (404, 10015)


def test_a_deleted_message_cannot_be_edited(client_of_bot: FullClient, interaction: SimInteraction) -> None:
    client_of_bot.delete_original("the-token")
    with pytest.raises(errors.DiscordError) as raised:
        client_of_bot.edit_original("the-token", payloads.Message(content="c"))
    assert (raised.value.status, raised.value.code) == (404, 10008)


def test_a_deferred_answer_is_filled_in_by_the_first_follow_up(
    client_of_bot: FullClient, interaction: SimInteraction
) -> None:
    original = interaction.original
    assert original is not None
    SimMessage.objects.filter(pk=original.pk).update(flags=message_rules.LOADING, content="")
    first = client_of_bot.followup("the-token", payloads.Message(content="one"))
    second = client_of_bot.followup("the-token", payloads.Message(content="two"))
    assert first["id"] == str(original.pk)
    assert second["id"] != str(original.pk)


def test_a_user_install_may_follow_up_five_times(
    make_client: Callable[..., FullClient], interaction: SimInteraction
) -> None:
    SimInteraction.objects.update(user_install_only=True)
    for n in range(5):
        with time_machine.travel(timezone.now() + timedelta(seconds=5 * n)):
            make_client().followup("the-token", payloads.Message(content=str(n)))
    with time_machine.travel(timezone.now() + timedelta(seconds=60)), pytest.raises(errors.DiscordError) as raised:
        make_client().followup("the-token", payloads.Message(content="six"))
    assert raised.value.code == 40094


def test_an_ephemeral_follow_up_is_visible_only_to_its_requester(
    client_of_bot: FullClient, interaction: SimInteraction, channel: SimChannel
) -> None:
    answer = client_of_bot.followup("the-token", payloads.Message(content="psst", ephemeral=True))
    message = SimMessage.objects.get(pk=answer["id"])
    assert message.visible_to == interaction.user
    with pytest.raises(errors.DiscordError):
        client_of_bot.edit_message(channel.pk, message.pk, payloads.Message(content="by the bot"))


def test_a_file_over_the_limit_is_too_large(client_of_bot: FullClient, interaction: SimInteraction) -> None:
    SimInteraction.objects.update(attachment_size_limit=10)
    with pytest.raises(errors.TooLarge) as raised:
        client_of_bot.edit_original("the-token", payloads.Message(files=(image(),)))
    assert (raised.value.status, raised.value.code) == (413, 40005)


def test_a_request_over_25_mebibytes_is_too_large(client_of_bot: FullClient, interaction: SimInteraction) -> None:
    files = tuple(
        payloads.File(name=f"{n}.bin", content=b"x" * 9 * 2**20, content_type="application/octet-stream")
        for n in range(3)
    )
    with pytest.raises(errors.TooLarge):
        client_of_bot.edit_original("the-token", payloads.Message(files=files))


def test_the_client_pings_no_one(client_of_bot: FullClient, interaction: SimInteraction, ada: SimUser) -> None:
    client_of_bot.edit_original("the-token", payloads.Message(content=f"<@{ada.pk}> @everyone <@&1>"))
    message = SimMessage.objects.get(pk=interaction.original_id)
    assert (message.pinged_user_ids, message.pinged_role_ids, message.pinged_everyone) == ([], [], False)


def test_the_client_waits_out_a_rate_limit(
    client_of_bot: FullClient, interaction: SimInteraction, naps: list[float]
) -> None:
    injected_faults.plan(injected_faults.Kind.RATE_LIMITED, times=2, seconds=1.25)
    client_of_bot.edit_original("the-token", payloads.Message(content="at last"))
    # The client's clock stands still beside its sleeps, so each wait may be held once more before the request.
    assert [round(nap, 1) for nap in naps if nap > 1.2][:2] == [1.2, 1.2] or 1.25 in naps
    assert [call.status for call in SimCall.objects.all()] == [429, 429, 200]


def test_the_sixth_edit_in_a_moment_is_limited_and_says_for_how_long(
    interaction: SimInteraction, transport: SiteTransport, settings: Any
) -> None:
    with httpx.Client(transport=transport, base_url="http://testserver") as raw:
        path = f"/simulator/api/v10/webhooks/{settings.DISCORD_APPLICATION_ID}/the-token/messages/@original"
        agent = {"User-Agent": "DiscordBot (https://example.org, 1)"}
        with time_machine.travel(timezone.now(), tick=False):
            answers = [raw.patch(path, json={"content": str(n)}, headers=agent) for n in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0"]
    body = answers[-1].json()
    assert body["global"] is False
    assert float(answers[-1].headers["Retry-After"]) == body["retry_after"] == 2.0


@pytest.mark.parametrize("kind", [injected_faults.Kind.SERVER_ERROR, injected_faults.Kind.BAD_GATEWAY])
def test_the_client_tries_again_after_a_server_error(
    client_of_bot: FullClient, interaction: SimInteraction, kind: str
) -> None:
    injected_faults.plan(kind, times=1)
    client_of_bot.edit_original("the-token", payloads.Message(content="again"))
    assert [call.status for call in SimCall.objects.all()] == [500 if kind == "server_error" else 502, 200]


def test_a_post_whose_answer_was_lost_is_not_repeated(client_of_bot: FullClient, channel: SimChannel) -> None:
    injected_faults.plan(injected_faults.Kind.LOST_ANSWER, path="/messages", times=1)
    client_of_bot.create_message(channel.pk, payloads.Message(content="once", nonce="job-1"))
    assert channel.messages.filter(content="once").count() == 1


def test_the_log_of_requests_holds_no_token(client_of_bot: FullClient, interaction: SimInteraction) -> None:
    client_of_bot.edit_original("the-token", payloads.Message(content="c"))
    assert [call.route for call in SimCall.objects.all()] == ["/webhooks/{application}/{token}/messages/@original"]


def test_a_client_without_a_user_agent_is_refused(
    make_client: Callable[..., FullClient], interaction: SimInteraction
) -> None:
    with pytest.raises(errors.Forbidden):
        make_client(user_agent="python").edit_original("the-token", payloads.Message(content="c"))


def test_a_wrong_bot_token_is_unauthorized(make_client: Callable[..., FullClient]) -> None:
    with pytest.raises(errors.DiscordError) as raised:
        make_client(bot_token="wrong").guilds()
    assert raised.value.status == 401


def test_the_bot_cannot_post_where_it_may_not(client_of_bot: FullClient, world: None) -> None:
    silent = SimChannel.objects.get(name="announcements")
    with pytest.raises(errors.Forbidden) as raised:
        client_of_bot.create_message(silent.pk, payloads.Message(content="c"))
    assert raised.value.code == 50013
    SimGuild.objects.filter(pk=silent.guild_id).update(installed=False)
    with pytest.raises(errors.Forbidden) as raised:
        client_of_bot.create_message(silent.pk, payloads.Message(content="c"))
    assert raised.value.code == 50001


def test_the_bot_edits_and_deletes_only_its_own_messages(
    client_of_bot: FullClient, channel: SimChannel, ada: SimUser
) -> None:
    own = client_of_bot.create_message(channel.pk, payloads.Message(content="mine"))
    client_of_bot.edit_message(channel.pk, int(own["id"]), payloads.Message(content="still mine"))
    client_of_bot.delete_message(channel.pk, int(own["id"]))
    draft = message_rules.check_message({"content": "hers"})
    assert isinstance(draft, message_rules.Draft)
    hers = store.post(draft, channel=channel, author=ada, now=timezone.now())
    with pytest.raises(errors.Forbidden):
        client_of_bot.edit_message(channel.pk, hers.pk, payloads.Message(content="stolen"))
    with pytest.raises(errors.Forbidden):
        client_of_bot.delete_message(channel.pk, hers.pk)


def test_direct_messages_reach_members_who_accept_them(client_of_bot: FullClient, ada: SimUser) -> None:
    dm = client_of_bot.open_dm(ada.pk)
    assert client_of_bot.open_dm(ada.pk) == dm
    client_of_bot.create_message(dm, payloads.Message(content="hello"))
    nadia = SimUser.objects.get(username="nadia")
    closed = client_of_bot.open_dm(nadia.pk)
    with pytest.raises(errors.Forbidden) as raised:
        client_of_bot.create_message(closed, payloads.Message(content="hello"))
    assert raised.value.code == 50007


def test_the_bot_lists_its_servers(client_of_bot: FullClient, world: None) -> None:
    assert {guild["name"] for guild in client_of_bot.guilds()} == {"Pixel Garden", "Night Owls", "Retro Arcade"}
    first = SimGuild.objects.get(name="Pixel Garden")
    assert client_of_bot.guild(first.pk)["owner_id"] == str(first.owner_id)


def test_commands_are_overwritten_in_bulk_and_keep_their_ids(client_of_bot: FullClient) -> None:
    body = [{"name": "one", "description": "d"}, {"name": "two", "description": "d"}]
    first = client_of_bot.overwrite_commands(body)
    again = client_of_bot.overwrite_commands(body[:1])
    assert again[0]["id"] == first[0]["id"]
    assert [command["name"] for command in client_of_bot.commands()] == ["one"]


def test_200_creates_a_day_are_enough(make_client: Callable[..., FullClient], world: None) -> None:
    guild = SimGuild.objects.get(name="Pixel Garden")
    for n in range(2):
        make_client().overwrite_commands([{"name": f"c{n}-{m}", "description": "d"} for m in range(100)], guild.pk)
    with pytest.raises(errors.DiscordError) as raised:
        make_client().overwrite_commands([{"name": "last", "description": "d"}], guild.pk)
    assert raised.value.code == 30034


def test_unknown_resources_are_not_found(transport: SiteTransport, world: None) -> None:
    with httpx.Client(transport=transport, base_url="http://testserver") as raw:
        answer = raw.get("/simulator/api/v10/gateway/bot", headers={"User-Agent": "DiscordBot (u, 1)"})
    assert (answer.status_code, answer.json()["code"]) == (404, 0)


@pytest.mark.parametrize("raw_body", [b"{", b"\xff\xfe", b'{"content": 5}', b"[]"])
def test_a_broken_body_is_refused(
    interaction: SimInteraction, transport: SiteTransport, settings: Any, raw_body: bytes
) -> None:
    with httpx.Client(transport=transport, base_url="http://testserver") as raw:
        answer = raw.patch(
            f"/simulator/api/v10/webhooks/{settings.DISCORD_APPLICATION_ID}/the-token/messages/@original",
            content=raw_body,
            headers={"User-Agent": "DiscordBot (u, 1)", "Content-Type": "application/json"},
        )
    assert answer.status_code == 400
    assert answer.json()["code"] in {50035, 50109}


def test_only_so_many_calls_are_logged(client_of_bot: FullClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_api, "KEPT_CALLS", 10)
    client_of_bot.guilds()
    first = SimCall.objects.get()
    # The log is cut at each hundredth entry: fill it up to the one before the second next of them,
    # since the next one can be fewer than the kept calls away.
    SimCall.objects.bulk_create(
        SimCall(at=first.at, method="GET", route="/", status=200) for _ in range(199 - first.pk % 100)
    )
    client_of_bot.guilds()
    assert SimCall.objects.count() == 10
