"""What a member does becomes the payload that Discord would send, and the answer what Discord would show."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from devtools.simulator import (
    client,
    command_registry,
    command_rules,
    errors_and_rate_limits,
    message_rules,
    seed_data,
    store,
)
from devtools.simulator.client import Outcome, Unusable
from devtools.simulator.models import SimChannel, SimGuild, SimInteraction, SimMessage, SimUser
from guilds.models import Guild
from jobs.models import Job

Answer = Callable[[dict[str, Any], object], dict[str, Any]]


def answering(
    callback: Any, *, status: int = 200, content_type: str = "application/json", after_s: float = 0
) -> Answer:
    """An application that always answers so."""

    def answer(event: dict[str, Any], context: object) -> dict[str, Any]:
        body = callback if isinstance(callback, str) else json.dumps(callback)
        return {"statusCode": status, "headers": {"Content-Type": content_type}, "body": body}

    return answer


def saying(**data: Any) -> Answer:
    return answering({"type": 4, "data": data})


@pytest.fixture
def registered(world: None) -> None:
    """The application's own commands, registered, and the application told of its servers."""
    seed_data.run()


@pytest.fixture
def use(registered: None, channel: SimChannel, yuki: SimUser) -> Callable[..., Outcome]:
    """Use a command in the first channel."""

    def use(answer: Answer = client.real_handler, **options: Any) -> Outcome:
        wanted = {"prompt": "a lighthouse"} | options
        return client.use_command(channel=channel, user=yuki, name="sparkle", options=wanted, handler=answer)

    return use


def test_seeding_twice_changes_nothing(registered: None) -> None:
    def counts() -> list[int]:
        return [model.objects.count() for model in (SimGuild, SimChannel, SimUser, Guild)]

    before, commands = counts(), command_registry.registered(None)
    seed_data.run()
    assert counts() == before == [3, 12, 12, 3]
    assert [each["id"] for each in command_registry.registered(None)] == [each["id"] for each in commands]


def test_a_command_is_answered_by_the_real_handler(use: Callable[..., Outcome]) -> None:
    outcome = use(steps=5, seed=7)
    assert (outcome.problem, outcome.callback_type) == ("", 4)
    assert outcome.message is not None
    assert "Submitted to Sparkle" in outcome.message.content
    job = Job.objects.get()
    assert (job.prompt, job.steps, job.seed, job.token) == ("a lighthouse", 5, 7, outcome.token)


def test_a_command_carries_what_discord_sends(use: Callable[..., Outcome]) -> None:
    seen: list[Any] = []

    def answer(event: dict[str, Any], context: object) -> dict[str, Any]:
        seen.append(json.loads(event["body"]))
        return saying(content="ok")(event, context)

    use(answer, steps=5)
    (payload,) = seen
    assert payload["type"] == 2
    assert payload["context"] == 0
    assert payload["member"]["user"]["username"] == "yuki"
    assert payload["data"]["options"] == [
        {"name": "prompt", "type": 3, "value": "a lighthouse"},
        {"name": "steps", "type": 4, "value": 5},
    ]
    assert int(payload["id"]) > 2**53
    assert payload["attachment_size_limit"] == 10 * 2**20
    assert payload["authorizing_integration_owners"] == {"0": payload["guild_id"]}


def test_a_wrong_signature_is_refused_by_the_real_handler(registered: None) -> None:
    event = client.signed_event({"type": 1})
    assert client.real_handler(event, None)["statusCode"] == 200
    assert client.real_handler(event | {"body": event["body"] + " "}, None)["statusCode"] == 401


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (saying(content="x" * 2001), "content"),
        (saying(content=""), "50006"),
        (answering({"type": 4, "data": {"content": "ok"}}, status=500), "500"),
        (answering({"type": 4, "data": {"content": "ok"}}, content_type="text/plain"), "application/json"),
        (answering("not json"), "callback"),
        (answering([]), "callback"),
        (answering({"type": 6}), "type 6"),
        (answering({"type": 8, "data": {"choices": []}}), "type 8"),
        (answering({"type": 99}), "99"),
        (answering({"type": 9, "data": {"title": "x" * 46, "custom_id": "m", "components": []}}), "title"),
    ],
    ids=[
        "too long",
        "empty",
        "server error",
        "wrong content type",
        "not JSON",
        "no callback",
        "deferred update of nothing",
        "choices for no autocomplete",
        "unknown type",
        "bad modal",
    ],
)
def test_an_invalid_answer_counts_as_none(use: Callable[..., Outcome], answer: Answer, why: str) -> None:
    outcome = use(answer)
    assert outcome.problem.startswith(client.NO_ANSWER)
    assert why in outcome.problem
    assert SimMessage.objects.count() == 0
    refused = errors_and_rate_limits.check_token(
        errors_and_rate_limits.TokenFacts(
            application_id=1,
            created_at=SimInteraction.objects.get().created_at,
            acked_at=SimInteraction.objects.get().acked_at,
        ),
        application_id=1,
        now=timezone.now(),
    )
    assert refused == errors_and_rate_limits.UNKNOWN_WEBHOOK


def test_an_answer_after_three_seconds_counts_as_none(registered: None, channel: SimChannel, yuki: SimUser) -> None:
    now = timezone.now()
    data = {"id": "1", "name": "sparkle", "type": 1}
    for took, problem in ((2.9, False), (3.1, True)):
        payload = client.base_payload(client.COMMAND, channel=channel, user=yuki, data=data, now=now)
        clock = iter([100.0, 100.0 + took])
        outcome = client.send(payload, now=now, handler=saying(content="c"), clock=lambda times=clock: next(times))
        assert bool(outcome.problem) == problem
        assert (SimInteraction.objects.get(pk=payload["id"]).acked_at is None) == problem


def test_a_deferred_answer_shows_thinking(use: Callable[..., Outcome]) -> None:
    outcome = use(answering({"type": 5, "data": {"flags": 64}}))
    assert outcome.message is not None
    assert outcome.message.flags == message_rules.LOADING | message_rules.EPHEMERAL
    assert outcome.message.visible_to is not None


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": None},
        {"prompt": "x" * 6001},
        {"steps": "many"},
        {"steps": 0},
        {"no_such_option": 1},
        {"image": "1"},
    ],
)
def test_the_client_does_not_send_unregistered_options(use: Callable[..., Outcome], options: dict[str, Any]) -> None:
    with pytest.raises(Unusable):
        use(**options)
    assert SimInteraction.objects.count() == 0


def test_a_member_without_the_permission_is_not_offered_the_command(
    registered: None, channel: SimChannel, yuki: SimUser, ada: SimUser
) -> None:
    with pytest.raises(Unusable):
        client.use_command(channel=channel, user=yuki, name="sparkle-settings")
    assert client.use_command(channel=channel, user=ada, name="sparkle-settings").problem == ""


def test_autocomplete_asks_the_handler(registered: None, channel: SimChannel, yuki: SimUser) -> None:
    outcome = client.complete(channel=channel, user=yuki, name="sparkle", focused="style", options={"style": "water"})
    assert [choice["value"] for choice in outcome.choices] == ["watercolor"]


def test_a_button_is_pressed_and_a_form_filled(use: Callable[..., Outcome], yuki: SimUser, channel: SimChannel) -> None:
    message = use().message
    assert message is not None
    (cancel,) = [each["custom_id"] for row in message.components for each in row["components"]]
    outcome = client.press(message=message, user=yuki, custom_id=cancel)
    assert outcome.problem == ""
    assert Job.objects.get().status == "cancelled"
    with pytest.raises(Unusable):
        client.press(message=message, user=yuki, custom_id="no-such-button")


def test_a_button_may_update_its_own_message(use: Callable[..., Outcome], yuki: SimUser) -> None:
    row = {"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go"}]}
    message = use(saying(content="before", components=[row])).message
    assert message is not None
    update = answering({"type": 7, "data": {"content": "after", "components": []}})
    outcome = client.press(message=message, user=yuki, custom_id="go", handler=update)
    assert outcome.problem == ""
    message.refresh_from_db()
    assert (message.content, message.components) == ("after", [])


def test_a_form_that_a_command_opened_cannot_update_a_message(
    registered: None, channel: SimChannel, yuki: SimUser
) -> None:
    field = {"type": 4, "custom_id": "p", "label": "Prompt", "style": 1}
    modal = {"title": "t", "custom_id": "m", "components": [{"type": 1, "components": [field]}]}
    with pytest.raises(Unusable):
        client.submit_modal(channel=channel, user=yuki, modal=modal, values={"p": ""})
    outcome = client.submit_modal(
        channel=channel,
        user=yuki,
        modal=modal,
        values={"p": "x"},
        handler=answering({"type": 7, "data": {"content": "c"}}),
    )
    assert "type 7" in outcome.problem


def test_a_message_command_sends_the_message(registered: None, channel: SimChannel, yuki: SimUser) -> None:
    draft = message_rules.check_message({"content": "no image here"})
    assert isinstance(draft, message_rules.Draft)
    message = store.post(draft, channel=channel, author=yuki, now=timezone.now())
    outcome = client.use_message_command(message=message, user=yuki, name="Remix with Sparkle")
    assert outcome.problem == ""
    assert outcome.message is not None
    assert outcome.message.visible_to == yuki


def test_a_direct_message_has_a_user_and_no_member(registered: None, yuki: SimUser, channel: SimChannel) -> None:
    dm = SimChannel.objects.create(pk=1, recipient=yuki)
    payload = client.base_payload(
        client.COMMAND,
        channel=dm,
        user=yuki,
        data={"id": "1", "name": "sparkle", "type": 1, "options": [{"name": "prompt", "type": 3, "value": "x"}]},
        now=timezone.now(),
    )
    assert "member" not in payload
    assert payload["context"] == 1
    outcome = client.send(payload, now=timezone.now())
    assert (outcome.problem, outcome.callback_type) == ("", 4)
    assert Job.objects.count() == 0


def test_installing_and_removing_send_events(registered: None) -> None:
    server = SimGuild.objects.get(name="Night Owls")
    assert Guild.objects.get(pk=server.pk).owner_id == server.owner_id
    assert seed_data.uninstall(server, now=timezone.now()) == 204
    with pytest.raises(Unusable):
        client.use_command(
            channel=server.channels.get(name="lounge"),
            user=server.owner,
            name="sparkle",
            options={"prompt": "x"},
        )


def test_the_applications_commands_follow_discords_rules(world: None) -> None:
    from guilds.command_definitions import all_commands

    assert command_rules.check_commands(all_commands()) is None
