"""Layouts (Components V2), selects in messages and selects in modals."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from devtools.simulator import client, message_rules, store
from devtools.simulator.client import Unusable
from devtools.simulator.errors_and_rate_limits import Refused
from devtools.simulator.message_rules import Draft, Upload
from devtools.simulator.models import SimChannel, SimMessage, SimUser

FILE = Upload(index=0, filename="a.png", content_type="image/png", content=b"no picture")


def gallery(*names: str) -> dict[str, Any]:
    return {"type": 12, "items": [{"media": {"url": f"attachment://{name}"}} for name in names]}


def layout(*components: dict[str, Any]) -> dict[str, Any]:
    return {"flags": message_rules.COMPONENTS_V2, "components": list(components)}


@pytest.fixture
def posted(channel: SimChannel) -> SimMessage:
    """A layout with a file in its gallery and a select in a container."""
    options = [{"label": "One", "value": "1"}, {"label": "Two", "value": "2"}]
    row = {"type": 1, "components": [{"type": 3, "custom_id": "pick", "options": options}]}
    body = layout({"type": 10, "content": "two images"}, gallery("a.png"), {"type": 17, "components": [row]})
    draft = message_rules.check_message(body | {"attachments": [{"id": "0", "filename": "a.png"}]}, files=[FILE])
    assert isinstance(draft, Draft)
    return store.post(draft, channel=channel, author=store.bot(), now=timezone.now())


def test_a_gallery_shows_only_files_that_the_message_has() -> None:
    body = layout(gallery("a.png", "b.png")) | {"attachments": [{"id": "0", "filename": "a.png"}]}
    refused = message_rules.check_message(body, files=[FILE])
    assert isinstance(refused, Refused)
    assert "'b.png' was not found" in json.dumps(refused.errors)


def test_a_file_in_a_gallery_has_an_address_and_is_not_listed_again(
    posted: SimMessage, client_page: Client, yuki: SimUser
) -> None:
    shown = store.message_json(posted, now=timezone.now())
    assert shown["attachments"] == []
    media = shown["components"][1]["items"][0]["media"]
    assert media["attachment_id"] == str(posted.attachments.get().pk)
    page = client_page.get("/simulator/page/messages", {"channel": posted.channel_id, "user": yuki.pk}).json()
    (message,) = page["messages"]
    assert message["layout"]
    address = message["components"][1]["items"][0]["media"]["url"]
    assert client_page.get(address).content == b"no picture"


def test_a_mention_in_a_text_of_a_layout_notifies() -> None:
    body = layout({"type": 10, "content": "<@42> <@43>"}) | {"allowed_mentions": {"parse": [], "users": ["42"]}}
    draft = message_rules.check_message(body)
    assert isinstance(draft, Draft)
    assert draft.pings.user_ids == {42}


@pytest.fixture
def client_page() -> Client:
    return Client()


def answering(callback: dict[str, Any], seen: list[Any]) -> client.Handler:
    def answer(event: dict[str, Any], context: object) -> dict[str, Any]:
        seen.append(json.loads(event["body"]))
        return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(callback)}

    return answer


def test_a_select_in_a_container_sends_what_was_chosen(posted: SimMessage, yuki: SimUser) -> None:
    seen: list[Any] = []
    handler = answering({"type": 6}, seen)
    client.press(message=posted, user=yuki, custom_id="pick", values=["2"], handler=handler)
    assert seen[0]["data"]["values"] == ["2"]
    with pytest.raises(Unusable):
        client.press(message=posted, user=yuki, custom_id="pick", values=["3"], handler=handler)


def test_a_select_in_a_modal_is_sent_in_its_label(channel: SimChannel, yuki: SimUser) -> None:
    options = [{"label": "Delete", "value": "delete"}, {"label": "Report", "value": "report"}]
    select = {"type": 3, "custom_id": "what", "options": options}
    reason = {"type": 4, "custom_id": "why", "style": 1, "required": False}
    labels = [
        {"type": 18, "label": "What?", "component": select},
        {"type": 18, "label": "Why?", "component": reason},
    ]
    modal = {"title": "More", "custom_id": "m", "components": labels}
    seen: list[Any] = []
    handler = answering({"type": 4, "data": {"content": "done"}}, seen)
    with pytest.raises(Unusable):
        client.submit_modal(channel=channel, user=yuki, modal=modal, values={}, handler=handler)
    values = {"what": "report", "why": "no"}
    assert client.submit_modal(channel=channel, user=yuki, modal=modal, values=values, handler=handler).problem == ""
    assert [each["component"] for each in seen[0]["data"]["components"]] == [
        {"type": 3, "custom_id": "what", "id": 2, "values": ["report"]},
        {"type": 4, "custom_id": "why", "id": 2, "value": "no"},
    ]
