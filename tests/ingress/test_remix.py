"""Remix finds the image of a message, wherever Discord puts it."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import message_text, payload

pytestmark = pytest.mark.django_db
URL = "https://cdn.discordapp.com/attachments/1/2/fox.png?ex=1"
IMAGE = {"url": URL, "content_type": "image/png", "width": 512, "height": 512}
OUTSIDE = {"url": "https://example.com/fox.png", "content_type": "image/png"}

MESSAGES: dict[str, dict[str, Any]] = {
    "attachment": {"attachments": [IMAGE]},
    "attachment without a type": {"attachments": [{"url": URL, "filename": "fox.png"}]},
    "embed": {"embeds": [{"image": {"url": URL}}]},
    "thumbnail of an embed": {"embeds": [{"thumbnail": {"url": URL}}]},
    "embed of another site with Discord's copy": {
        "embeds": [{"image": {"url": "https://example.com/fox.png", "proxy_url": URL}}]
    },
    "forwarded": {"message_snapshots": [{"message": {"attachments": [IMAGE]}}]},
    "forwarded embed": {"message_snapshots": [{"message": {"embeds": [{"image": {"url": URL}}]}}]},
    "forwarded gallery": {
        "message_snapshots": [{"message": {"components": [{"type": 12, "items": [{"media": IMAGE}]}]}}]
    },
    "gallery": {"components": [{"type": 12, "items": [{"media": {"url": URL}}]}]},
    "file": {"components": [{"type": 13, "file": {"url": URL}}]},
    "section": {"components": [{"type": 9, "components": [], "accessory": {"type": 11, "media": IMAGE}}]},
    "gallery in a container": {
        "components": [{"type": 17, "components": [{"type": 10}, {"type": 12, "items": [{"media": IMAGE}]}]}]
    },
    "section in a container": {
        "components": [
            {"type": 17, "components": [{"type": 9, "accessory": {"type": 11, "media": IMAGE}, "components": []}]}
        ]
    },
    "the second of two": {"attachments": [{"url": URL, "content_type": "video/mp4"}, IMAGE]},
    "after one of another site": {"embeds": [{"image": OUTSIDE}, {"image": {"url": URL}}]},
}
EMPTY = {"attachments": [], "embeds": [], "components": []}


def remix(send: Any, message: dict[str, Any]) -> dict[str, Any]:
    body = payload("message_command")
    target = body["data"]["resolved"]["messages"][body["data"]["target_id"]]
    target |= EMPTY | message
    answer: dict[str, Any] = send(body)
    return answer


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_the_image_is_found(send: Any, message: dict[str, Any]) -> None:
    answer = remix(send, message)
    assert answer["type"] == 9, answer
    values = [row["components"][0].get("value") for row in answer["data"]["components"]]
    assert URL in values


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ({}, "has no PNG"),
        ({"attachments": [{"url": URL, "content_type": "video/mp4"}]}, "has no PNG"),
        ({"embeds": [{"image": OUTSIDE}]}, "uploaded to Discord"),
        ({"message_snapshots": [{"message": {"embeds": [{"image": OUTSIDE}]}}]}, "uploaded to Discord"),
        ({"components": [{"type": 12, "items": [{"media": OUTSIDE}]}]}, "uploaded to Discord"),
    ],
)
def test_says_why_there_is_none(send: Any, message: dict[str, Any], sentence: str) -> None:
    assert sentence in message_text(remix(send, message))


@pytest.mark.parametrize("odd", [None, 5, "x", [], {}, [None], [[]], [{"media": 5}], [{"components": [None, 3]}]])
def test_odd_messages_hurt_nobody(send: Any, odd: Any) -> None:
    for key in ("attachments", "embeds", "components", "message_snapshots"):
        assert "has no PNG" in message_text(remix(send, {key: odd}))
    assert "has no PNG" in message_text(remix(send, {"components": [{"type": 17, "components": odd, "items": odd}]}))


def test_deep_components_end(send: Any) -> None:
    component: dict[str, Any] = {"type": 12, "items": [{"media": IMAGE}]}
    for _ in range(200):
        component = {"type": 17, "components": [component]}
    assert message_text(remix(send, {"components": [component]}))
