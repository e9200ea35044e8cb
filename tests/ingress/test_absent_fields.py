"""Payloads with absent or null fields never cause an error, and each gets a valid response."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from interactions_lambda.handler import handler
from tests.discord.payload_contract import check_callback

from .conftest import PAYLOADS, event, payload

pytestmark = pytest.mark.django_db
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json"))
Path = tuple[str | int, ...]


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    """Yield the path of each value in a payload."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*above, key)
        yield from paths(inner, (*above, key))


def changed(body: dict[str, Any], path: Path, change: Callable[[Any, Any], None]) -> dict[str, Any]:
    body = copy.deepcopy(body)
    inner: Any = body
    for key in path[:-1]:
        inner = inner[key]
    change(inner, path[-1])
    return body


CHANGES: dict[str, Callable[[Any, Any], None]] = {
    "left out": lambda inner, key: inner.pop(key),
    "null": lambda inner, key: inner.__setitem__(key, None),
    "empty text": lambda inner, key: inner.__setitem__(key, ""),
    "empty object": lambda inner, key: inner.__setitem__(key, {}),
    "empty list": lambda inner, key: inner.__setitem__(key, []),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_absent_the_answer_is_one_that_discord_takes(
    name: str, change: Callable[[Any, Any], None], make_guild: Any, caplog: pytest.LogCaptureFixture
) -> None:
    body = payload(name)
    if body.get("guild_id"):
        make_guild(id=int(body["guild_id"]))
    path = "/events" if name.startswith("event") else "/interactions"
    for place in paths(body):
        sent = changed(body, place, change)
        with transaction.atomic():
            answer = handler(event(json.dumps(sent).encode(), path=path), None)
            transaction.set_rollback(True)
        assert answer["statusCode"] in (200, 204), place
        assert "interaction_failed" not in [record.message for record in caplog.records], place
        if answer["statusCode"] == 200 and sent.get("type") != 1:
            callback = json.loads(answer["body"])
            check_callback(callback)
            assert (callback["type"] == 8) == (sent.get("type") == 4), place


# Fields that are optional by Discord's documentation, or seen absent: without them a request is as good as with them.
OPTIONAL: list[tuple[str, Path]] = [
    ("slash", ("app_permissions",)),
    ("slash", ("attachment_size_limit",)),
    ("slash", ("authorizing_integration_owners",)),
    ("slash", ("channel",)),
    ("slash", ("channel", "nsfw")),
    ("slash", ("channel", "parent_id")),
    ("slash", ("channel", "type")),
    ("slash", ("context",)),
    ("slash", ("entitlements",)),
    ("slash", ("guild",)),
    ("slash", ("guild_locale",)),
    ("slash", ("locale",)),
    ("slash", ("member", "nick")),
    ("slash", ("member", "user", "global_name")),
    ("slash", ("data", "type")),
    ("slash_with_image", ("data", "resolved", "attachments", "1440000000000000009", "content_type")),
    ("slash_with_image", ("data", "resolved", "attachments", "1440000000000000009", "width")),
    ("slash_with_image", ("data", "resolved", "attachments", "1440000000000000009", "size")),
    ("slash_with_image", ("data", "resolved", "attachments", "1440000000000000009", "proxy_url")),
]


@pytest.mark.parametrize("change", [CHANGES["left out"], CHANGES["null"]], ids=["left out", "null"])
@pytest.mark.parametrize(("name", "place"), OPTIONAL, ids=str)
def test_absent_is_never_no(name: str, place: Path, change: Any, make_guild: Any, send: Any) -> None:
    body = payload(name)
    make_guild(id=int(body["guild_id"]))
    assert send(changed(body, place, change))["data"]["content"].startswith("**Submitted to Sparkle**")


def test_an_autocomplete_without_a_user_has_no_choices(make_guild: Any, send: Any) -> None:
    body = payload("autocomplete")
    del body["member"]
    assert send(body) == {"type": 8, "data": {"choices": []}}


@pytest.mark.parametrize("name", ["fox.png", "fox.PNG", "fox.jpg", "fox.jpeg", "fox.webp"])
def test_an_image_without_a_content_type_is_known_by_its_name(make_guild: Any, send: Any, name: str) -> None:
    body = payload("slash_with_image")
    make_guild(id=int(body["guild_id"]))
    (attachment,) = body["data"]["resolved"]["attachments"].values()
    del attachment["content_type"]
    attachment |= {"filename": name, "url": f"https://cdn.discordapp.com/attachments/1/2/{name}?ex=1"}
    assert send(body)["data"]["content"].startswith("**Submitted")


@pytest.mark.parametrize("name", ["fox.gif", "fox", "fox.png.exe", "png"])
def test_another_file_without_a_content_type_is_refused(make_guild: Any, send: Any, name: str) -> None:
    body = payload("slash_with_image")
    make_guild(id=int(body["guild_id"]))
    (attachment,) = body["data"]["resolved"]["attachments"].values()
    del attachment["content_type"], attachment["proxy_url"]
    attachment |= {"filename": name, "url": f"https://cdn.discordapp.com/attachments/1/2/{name}?ex=1"}
    assert "PNG" in send(body)["data"]["content"]
