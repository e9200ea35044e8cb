"""A body of the wrong shape gets Discord's form error with the field's path, wherever the wrong value stands."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from devtools.simulator import command_rules, component_rules, message_rules, seed_data
from devtools.simulator.errors_and_rate_limits import Refused
from devtools.simulator.models import SimChannel, SimInteraction, SimUser
from discord_api import payloads
from guilds.command_definitions import all_commands
from tests.properties import given, settings, st

FULL_MESSAGE: dict[str, Any] = {
    "content": "hello",
    "tts": False,
    "flags": 4,
    "nonce": "n",
    "enforce_nonce": True,
    "embeds": [
        {
            "title": "t",
            "url": "https://example.org",
            "color": 5,
            "footer": {"text": "f", "icon_url": "https://example.org/i.png"},
            "image": {"url": "attachment://a.png"},
            "thumbnail": {"url": "https://example.org/t.png"},
            "author": {"name": "a"},
            "fields": [{"name": "n", "value": "v", "inline": True}],
        }
    ],
    "allowed_mentions": {"parse": ["users"], "roles": ["5"], "replied_user": True},
    "components": [
        {"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go", "emoji": {"name": "x"}}]},
        {"type": 1, "components": [{"type": 2, "style": 5, "label": "Site", "url": "https://example.org"}]},
        {
            "type": 1,
            "components": [
                {
                    "type": 3,
                    "custom_id": "pick",
                    "min_values": 0,
                    "max_values": 2,
                    "options": [{"label": "a", "value": "1"}, {"label": "b", "value": "2", "description": "d"}],
                }
            ],
        },
    ],
    "attachments": [],
}
LAYOUT: dict[str, Any] = {
    "flags": message_rules.COMPONENTS_V2,
    "components": [
        {
            "type": 17,
            "accent_color": 3,
            "components": [
                {"type": 10, "content": "text"},
                {"type": 9, "components": [{"type": 10, "content": "t"}], "accessory": {"type": 11, "media": {"url": "https://example.org/a.png"}}},
                {"type": 12, "items": [{"media": {"url": "https://example.org/a.png"}, "description": "d"}]},
                {"type": 14, "divider": True, "spacing": 1},
                {"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go"}]},
            ],
        }
    ],
}  # fmt: skip
COMMANDS: list[Any] = [
    {
        "name": "sparkle",
        "name_localizations": {"de": "funkeln"},
        "description": "d",
        "description_localizations": {"de": "b"},
        "default_member_permissions": "32",
        "contexts": [0],
        "integration_types": [0],
        "options": [
            {
                "type": 3,
                "name": "style",
                "description": "d",
                "required": True,
                "choices": [{"name": "n", "value": "v", "name_localizations": {"de": "m"}}],
            },
            {"type": 4, "name": "steps", "description": "d", "min_value": 1, "max_value": 9},
        ],
    },
    {"name": "group", "description": "d", "options": [{"type": 1, "name": "sub", "description": "d", "options": []}]},
    {"name": "Remix", "type": 3},
]
HEADERS = {"User-Agent": "DiscordBot (https://example.org, 1)", "Authorization": "Bot local-bot-token"}


def send(method: str, path: str, body: Any) -> Any:
    return Client(raise_request_exception=False).generic(
        method, f"/simulator/api/v10{path}", json.dumps(body), content_type="application/json", headers=HEADERS
    )


@pytest.fixture
def routes(db: None, settings: Any) -> dict[str, Callable[[Any], Any]]:
    """One way for each kind of body to reach the API."""
    from django.utils import timezone

    settings.DISCORD_BOT_TOKEN = "local-bot-token"
    now = timezone.now()
    seed_data.make_servers(now=now)
    channel = SimChannel.objects.get(name="sparkle")
    application = settings.DISCORD_APPLICATION_ID
    SimInteraction.objects.create(
        pk=1, token="tok", type=2, name="sparkle", application_id=application, channel=channel,
        user=SimUser.objects.get(username="ada"), created_at=now, acked_at=now, callback_type=4,
    )  # fmt: skip
    return {
        "follow-up": lambda body: send("POST", f"/webhooks/{application}/tok", body),
        "message": lambda body: send("POST", f"/channels/{channel.pk}/messages", body),
        "commands": lambda body: send("PUT", f"/applications/{application}/commands", body),
        "direct message": lambda body: send("POST", "/users/@me/channels", body),
    }


BODIES = {"follow-up": LAYOUT, "message": FULL_MESSAGE, "commands": COMMANDS, "direct message": {"recipient_id": "5"}}


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def with_value(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    body = copy.deepcopy(body)
    node = body
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9) | st.sampled_from(["\0", "\ud800", "9" * 30, "-1", "attachment://", "http://["]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


def is_form_error(node: Any) -> bool:
    """`_errors` hold code and message; every other key leads deeper."""
    if not isinstance(node, dict) or not node:
        return False
    own = node.get("_errors", [])
    return all(set(each) == {"code", "message"} for each in own) and all(
        is_form_error(value) for key, value in node.items() if key != "_errors"
    )


@pytest.mark.parametrize("route", BODIES)
def test_full_bodies_are_accepted(routes: dict[str, Any], route: str) -> None:
    assert routes[route](BODIES[route]).status_code in {200, 404}


@pytest.mark.parametrize("route", BODIES)
@settings(max_examples=120)
@given(data=st.data())
def test_any_value_anywhere_is_accepted_or_gets_a_form_error(routes: dict[str, Any], route: str, data: Any) -> None:
    from django.core.cache import cache

    from devtools.simulator.models import SimBucket

    SimBucket.objects.all().delete()
    cache.clear()
    body = BODIES[route]
    place = data.draw(st.sampled_from(list(places(body))))
    answer = routes[route](with_value(body, place, data.draw(JSON)))
    assert answer.status_code < 500, answer.content
    if answer.status_code == 400:
        found = answer.json()
        assert found["code"] in {50035, 50006, 50109, 30015, 30032, 40094}
        if found["code"] == 50035:
            assert is_form_error(found["errors"])


def path_of(errors: Any) -> list[str]:
    """The path of the first error."""
    path = []
    while "_errors" not in errors:
        key = next(iter(errors))
        path.append(key)
        errors = errors[key]
    return path


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"content": 5}, "content"),
        ({"content": ["x"]}, "content"),
        ({"embeds": [{"fields": "x"}]}, "embeds.0.fields"),
        ({"embeds": [{"fields": [1]}]}, "embeds.0.fields.0"),
        ({"embeds": [{"fields": [{"name": "n"}]}]}, "embeds.0.fields.0.value"),
        ({"embeds": [{"footer": "x"}]}, "embeds.0.footer"),
        ({"embeds": [{"image": "x"}]}, "embeds.0.image"),
        ({"embeds": [{"url": "ftp://x"}]}, "embeds.0.url"),
        ({"components": [{"type": 1, "components": [1]}]}, "components.0.components.0"),
        ({"components": [{"components": []}]}, "components.0.type"),
        ({"components": [{"type": 99}]}, "components.0.type"),
        (
            {"components": [{"type": 1, "components": [{"type": 3, "custom_id": "c", "options": "x"}]}]},
            "components.0.components.0.options",
        ),
        (
            {"components": [{"type": 1, "components": [{"type": 2, "style": 5, "label": "l", "url": "ftp://x"}]}]},
            "components.0.components.0.url",
        ),
        ({"content": "c", "allowed_mentions": {"users": "abc"}}, "allowed_mentions.users"),
        ({"content": "c", "allowed_mentions": {"users": ["abc"]}}, "allowed_mentions.users.0"),
        ({"content": "c", "flags": "64"}, "flags"),
        ({"content": "c", "attachments": [{"id": "x"}]}, "attachments.0.id"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(body: Any, path: str) -> None:
    refused = message_rules.check_message(body)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.code) == (400, 50035)
    assert ".".join(path_of(refused.errors)) == path


def test_the_total_text_of_a_layout_is_limited() -> None:
    def layout(*lengths: int) -> dict[str, Any]:
        texts = [{"type": 10, "content": "x" * length} for length in lengths]
        return {"flags": message_rules.COMPONENTS_V2, "components": [{"type": 17, "components": texts}]}

    assert not isinstance(message_rules.check_message(layout(2000, 2000)), Refused)
    assert isinstance(message_rules.check_message(layout(2000, 2001)), Refused)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("चित्र", True),  # Devanagari with a vowel sign and a virama
        ("ค้นหา", True),  # Thai with a tone mark
        ("größe", True),
        ("画像", True),
        ("a'b_c-9", True),
        ("Groß", False),
        ("two words", False),
        ("n\u0301", False),  # a combining accent on a Latin letter is no letter
        ("", False),
        ("a!b", False),
        ("x" * 33, False),
    ],
)
def test_names_of_commands(name: str, allowed: bool) -> None:
    for body in (
        [{"name": name, "description": "d"}],
        [{"name": "a", "description": "d", "name_localizations": {"hi": name}}],
        [{"name": "a", "description": "d", "options": [{"type": 3, "name": name, "description": "d"}]}],
    ):
        assert (command_rules.check_commands(body) is None) == allowed


def _option(**fields: Any) -> dict[str, Any]:
    return {"type": 3, "name": "o", "description": "d"} | fields


@pytest.mark.parametrize(
    "body",
    [
        [{"name": "a", "description": "d", "name_localizations": {"xx": "b"}}],
        [{"name": "a", "description": "d", "options": [_option(name_localizations={"de": "b"}),
                                                       _option(name="p", name_localizations={"de": "b"})]}],
        [{"name": "a", "description": "d", "options": [_option(type=1), _option(name="p")]}],
        [{"name": "a", "description": "d", "options": [_option(type=1, options=[_option(type=2)])]}],
        [{"name": "a", "description": "d", "options": [_option(type=2, options=[_option()])]}],
        [{"name": "A", "type": 3, "options": [_option()]}],
        [{"name": "A", "type": 2, "description": "d"}],
        [{"name": "a", "description": "d", "options": [_option(type=4, min_value=5, max_value=4)]}],
        [{"name": "a", "description": "d", "options": [_option(min_length=5, max_length=4)]}],
        [{"name": "a", "description": "d", "options": [_option(type=5, choices=[{"name": "n", "value": "v"}])]}],
        [{"name": "a", "description": "d", "options": [_option(type=4, choices=[{"name": "n", "value": "v"}])]}],
        [{"name": "a", "description": "d", "contexts": [3]}],
        [{"name": "a", "description": "d", "options": "x"}],
        [1],
    ],
)  # fmt: skip
def test_commands_that_discord_refuses(body: Any) -> None:
    refused = command_rules.check_commands(body)
    assert refused is not None
    assert refused.code == 50035


def _message() -> dict[str, Any]:
    """A real body of ours: what a finished request's message is."""
    buttons = [payloads.button(f"vary:{n}", f"Vary {n}") for n in range(1, 5)]
    embed = {"title": "t", "fields": [{"name": "Seed", "value": "7"}]}
    message = payloads.Message(content="done", embeds=(embed,), components=(payloads.row(*buttons),))
    return copy.deepcopy(payloads.to_payload(message, edit=False))


def _mutate(change: Callable[[dict[str, Any]], None]) -> object:
    body = json.loads(json.dumps(_message()))
    assert not isinstance(message_rules.check_message(body), Refused)
    change(body)
    return message_rules.check_message(body)


def _six_buttons(body: dict[str, Any]) -> None:
    inside = body["components"][0]["components"]
    body["components"][0]["components"] = [inside[0] | {"custom_id": f"c{n}"} for n in range(6)]


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["components"][0]["components"][0].update(style="2"),
        _six_buttons,
        lambda body: body["components"][0]["components"][0].pop("type"),
        lambda body: body["embeds"][0]["fields"][0].pop("value"),
    ],
    ids=["a string for an integer", "six buttons", "no type", "a field without value"],
)
def test_a_mutated_body_of_ours_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    refused = _mutate(change)
    assert isinstance(refused, Refused)
    assert refused.code == 50035


@pytest.mark.parametrize(
    "change",
    [
        lambda command: command.update(type="1"),
        lambda command: command.pop("name"),
        lambda command: command["options"][0].pop("type"),
        lambda command: command["options"][0].update(min_length="1"),
    ],
)
def test_a_mutated_command_of_ours_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    commands = json.loads(json.dumps(all_commands()))
    assert command_rules.check_commands(commands) is None
    change(commands[0])
    assert command_rules.check_commands(commands) is not None


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"title": "t", "custom_id": "c", "components": [1]},
        {"title": "t", "custom_id": "c", "components": [{"type": 1, "components": [{"type": 2, "style": 1}]}]},
        {"title": 5, "custom_id": "c", "components": []},
        {"title": "t", "custom_id": "c", "components": [{"type": 18, "label": "l"}]},
    ],
)
def test_modals_of_the_wrong_shape(data: Any) -> None:
    refused = component_rules.check_modal(data)
    assert refused is not None
    assert is_form_error(refused.errors)


@pytest.mark.parametrize("query", ["limit=abc", "after=zz", "before=-1", "limit=0", "limit=101", "around=x"])
def test_a_query_of_the_wrong_type(routes: dict[str, Any], query: str) -> None:
    channel = SimChannel.objects.get(name="sparkle")
    answer = Client(raise_request_exception=False).get(
        f"/simulator/api/v10/channels/{channel.pk}/messages?{query}", headers=HEADERS
    )
    assert (answer.status_code, answer.json()["code"]) == (400, 50035)
    assert is_form_error(answer.json()["errors"])


def test_a_history_is_paged_to_its_end(routes: dict[str, Any]) -> None:
    from devtools.simulator.models import SimBucket

    channel = SimChannel.objects.get(name="sparkle")
    sent = []
    for n in range(7):
        sent.append(routes["message"]({"content": str(n)}).json()["id"])
        SimBucket.objects.all().delete()

    def page(query: str) -> list[str]:
        SimBucket.objects.all().delete()
        answer = Client().get(f"/simulator/api/v10/channels/{channel.pk}/messages?{query}", headers=HEADERS)
        return [each["id"] for each in answer.json()]

    newest_first = sent[::-1]
    assert page("limit=3") == newest_first[:3]
    assert page(f"limit=3&before={newest_first[2]}") == newest_first[3:6]
    assert page(f"limit=3&before={newest_first[5]}") == newest_first[6:]
    assert page(f"limit=3&before={newest_first[6]}") == []
    assert page(f"limit=2&after={sent[0]}") == [sent[2], sent[1]]
    assert page(f"limit=3&around={sent[3]}") == [sent[4], sent[3], sent[2]]


def test_single_things_are_found(routes: dict[str, Any], settings: Any) -> None:
    channel, ada = SimChannel.objects.get(name="sparkle"), SimUser.objects.get(username="ada")
    kept = routes["commands"](COMMANDS).json()

    def get(path: str) -> Any:
        return Client().get(f"/simulator/api/v10{path}", headers=HEADERS)

    assert get(f"/channels/{channel.pk}").json()["name"] == "sparkle"
    assert get(f"/users/{ada.pk}").json()["username"] == "ada"
    member = get(f"/guilds/{channel.guild_id}/members/{ada.pk}").json()
    assert member["user"]["id"] == str(ada.pk)
    assert "permissions" not in member
    application = f"/applications/{settings.DISCORD_APPLICATION_ID}"
    assert get(f"{application}/commands/{kept[0]['id']}").json()["name"] == "sparkle"
    assert get(f"/guilds/{channel.guild_id}?with_counts=true").json()["approximate_member_count"] > 0
    assert "approximate_member_count" not in get(f"/guilds/{channel.guild_id}").json()
    for path, code in (("/channels/5", 10003), ("/users/5", 10013), (f"/guilds/{channel.guild_id}/members/5", 10007),
                       (f"{application}/commands/5", 10063), (f"/users/{2**80}", 10013)):  # fmt: skip
        assert get(path).json()["code"] == code
