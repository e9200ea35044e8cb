"""What the page asks of the simulator, and what it must never do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from devtools.simulator import message_rules, seed_data, store
from devtools.simulator.models import SimChannel, SimMessage, SimUser


@pytest.fixture
def page(world: None, channel: SimChannel, yuki: SimUser) -> dict[str, str]:
    """Where Yuki is."""
    return {"channel": str(channel.pk), "user": str(yuki.pk)}


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(f"/simulator/page/{path}", json.dumps(body), content_type="application/json")


def test_the_page_allows_no_inline_code_and_no_other_host(client: Client, world: None) -> None:
    answer = client.get("/simulator/")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert b"<script>" not in answer.content
    assert b"style=" not in answer.content
    assert b"http://" not in answer.content.replace(b"http://www.w3.org", b"")


def test_an_unchanged_page_answers_304(client: Client, page: dict[str, str]) -> None:
    first = client.get("/simulator/page/messages", page)
    again = client.get("/simulator/page/messages", page, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    post(client, "say", page | {"content": "hello"})
    changed = client.get("/simulator/page/messages", page, headers={"If-None-Match": first["ETag"]})
    assert [message["content"] for message in changed.json()["messages"]] == ["hello"]


def test_an_ephemeral_message_is_sent_only_to_its_reader(
    client: Client, page: dict[str, str], ada: SimUser, yuki: SimUser, channel: SimChannel
) -> None:
    draft = message_rules.check_message({"content": "psst", "flags": message_rules.EPHEMERAL}, interaction=True)
    assert isinstance(draft, message_rules.Draft)
    message = store.post(draft, channel=channel, author=store.bot(), visible_to=yuki, now=timezone.now())
    assert len(client.get("/simulator/page/messages", page).json()["messages"]) == 1
    assert client.get("/simulator/page/messages", page | {"user": str(ada.pk)}).json()["messages"] == []
    post(client, "dismiss", {"message": str(message.pk), "user": str(ada.pk)})
    assert SimMessage.objects.get().deleted_at is None
    post(client, "dismiss", {"message": str(message.pk), "user": str(yuki.pk)})
    assert SimMessage.objects.get().deleted_at is not None


def test_an_upload_reaches_the_handler_as_a_file_on_the_cdn(client: Client, page: dict[str, str]) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    from jobs.models import Job

    seed_data.run()
    body = json.dumps(page | {"name": "sparkle", "options": {"prompt": "a lighthouse"}})
    file = SimpleUploadedFile("start.png", b"not really an image", content_type="image/png")
    answer = client.post("/simulator/page/command", {"json": body, "image": file})
    assert answer.json()["problem"] == ""
    job = Job.objects.get()
    assert "/simulator/cdn/attachments/" in job.source_url
    link = job.source_url.partition("/simulator/")[2]
    assert client.get(f"/simulator/{link}").content == b"not really an image"


@pytest.mark.parametrize("path", ["say", "command", "press", "menu", "modal", "complete", "dismiss", "installation"])
@pytest.mark.parametrize("body", [{}, {"channel": "x", "user": "y", "message": "z"}, {"channel": "9", "user": "9"}])
def test_unknown_ids_are_not_found(client: Client, world: None, path: str, body: dict[str, str]) -> None:
    assert post(client, path, body).status_code == 404


def test_a_body_that_is_not_json_is_refused(client: Client, world: None) -> None:
    answer = client.post("/simulator/page/say", "{", content_type="application/json")
    assert answer.status_code == 400


def test_another_site_cannot_act_as_a_member(page: dict[str, str]) -> None:
    assert post(Client(enforce_csrf_checks=True), "say", page | {"content": "hello"}).status_code == 403
    assert SimMessage.objects.count() == 0


def test_a_member_of_another_server_cannot_act_here(client: Client, page: dict[str, str]) -> None:
    otis = SimUser.objects.get(username="otis")
    assert post(client, "say", page | {"user": str(otis.pk), "content": "hello"}).status_code == 404
