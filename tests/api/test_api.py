"""The HTTP API: every response follows the served document, and Discord's rules apply."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from guilds.adapter_models import Adapter
from guilds.models import Ban, BlockedTerm, QuotaRule
from jobs import api_keys, storage, transitions
from jobs.api_models import ApiKey
from jobs.dispatch.memory import MemoryDispatcher
from jobs.job_status import Status
from jobs.models import Job
from jobs.transitions import StoredImage
from sparkle_site.api import openapi

pytestmark = pytest.mark.django_db
MEMBER = 900_000_000_000_000_007


@pytest.fixture
def guild(make_guild: Callable[..., Any]) -> Any:
    return make_guild(allowed_channel_ids=[5], allowed_role_ids=[6])


class Caller:
    """A client that checks every response against the document that the site serves."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.document = Client().get("/api/v1/openapi.json").json()

    def __call__(self, operation: str, body: Any = None, *, status: int, repeat: str = "", **path: Any) -> Any:
        import jsonschema  # It reads a grammar for two seconds.

        address, method, known = next(
            (address, method, known)
            for address, methods in self.document["paths"].items()
            for method, known in methods.items()
            if method != "parameters" and known["operationId"] == operation
        )
        content = json.dumps(body) if not isinstance(body, bytes) else body
        sent = {} if body is None else {"data": content, "content_type": "application/json"}
        headers = {"Authorization": f"Bearer {self.secret}"} | ({"Idempotency-Key": repeat} if repeat else {})
        answer = getattr(Client(), method)(f"/api/v1{address.format(**path)}", headers=headers, **sent)
        assert answer.status_code == status, answer.content
        (kind, content) = next(iter(known["responses"][str(status)]["content"].items()))
        assert answer.headers["Content-Type"] == kind
        if kind != "application/json":
            return b"".join(answer.streaming_content)
        jsonschema.validate(answer.json(), content["schema"] | {"components": self.document["components"]})
        return answer.json()


@pytest.fixture
def key(guild: Any) -> ApiKey:
    return ApiKey(guild=guild, name="Website", user_id=MEMBER)


@pytest.fixture
def call(key: ApiKey) -> Caller:
    return Caller(api_keys.issue(key))


def complete(job_id: str) -> None:
    now = timezone.now()
    pk = int(job_id)
    job = Job.objects.get(pk=pk)
    key = storage.image_key(job.guild_id, pk, 0)
    storage.store(key, b"\x89PNG")
    assert transitions.claim(pk, worker_id="w", now=now)
    made = [StoredImage(index=0, key=key, seed=7, width=512, height=512, bytes=4)]
    assert transitions.record_images(pk, worker_id="w", images=made, grid_key="", gpu_ms=1, now=now)
    assert transitions.complete(pk, worker_id="w", delivered_via="gallery", message_id=None, now=now)


def test_the_document_is_a_valid_schema(call: Caller) -> None:
    import jsonschema

    assert call.document == json.loads(json.dumps(openapi.document("http://127.0.0.1:8000")))
    for schema in call.document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_request_is_submitted_followed_and_fetched(
    call: Caller, guild: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = call("submit", {"prompt": "a red circle", "size": "512x512", "seed": 7, "count": 1}, status=202)
    assert (made["status"], made["images"]) == ("queued", [])
    assert [message.job_id for message in MemoryDispatcher.sent] == [int(made["id"])]
    job = Job.objects.get(pk=made["id"])
    assert (job.guild_id, job.user_id, job.seed, job.width) == (guild.pk, MEMBER, 7, 512)
    complete(made["id"])
    done = call("status", status=200, id=made["id"])
    assert (done["status"], done["progress"], done["images"][0]["seed"]) == ("completed", 1.0, 7)
    assert call("image", status=200, id=made["id"], number=1) == b"\x89PNG"
    call("image", status=404, id=made["id"], number=2)
    call("cancel", status=409, id=made["id"])


def test_a_request_is_cancelled_and_refunded(call: Caller) -> None:
    made = call("submit", {"prompt": "a red circle"}, status=202)
    assert call("cancel", status=202, id=made["id"])["status"] == "cancelled"
    assert Job.objects.get(pk=made["id"]).settled_at is not None


def test_a_repeated_call_makes_no_second_request(call: Caller) -> None:
    first = call("submit", {"prompt": "a red circle"}, status=202, repeat="order-1")
    assert call("submit", {"prompt": "a red circle"}, status=202, repeat="order-1")["id"] == first["id"]
    assert call("submit", {"prompt": "a red circle"}, status=202, repeat="order-2")["id"] != first["id"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "Send a JSON object."),
        (b"[]", "Send a JSON object."),
        ({}, "“prompt” is missing."),
        ({"prompt": 5}, "“prompt” must be a string."),
        ({"prompt": ""}, "“prompt” must have 1 to 6000 characters."),
        ({"prompt": "x", "steps": True}, "“steps” must be an integer."),
        ({"prompt": "x", "steps": 0}, "“steps” must be from 1 to 150."),
        ({"prompt": "x", "guidance": "7"}, "“guidance” must be a number."),
        ({"prompt": "x", "size": "big"}, "“size” must look like 512x512."),
        ({"prompt": "x", "user_id": 1}, "“user_id” is not a parameter."),
        (b'{"prompt": "x", "guidance": NaN}', "“guidance” must be from 0 to 30."),
        (b'{"prompt": "a\\u0000b"}', "“prompt” must not have NUL characters."),
        (b'{"prompt": "a\\ud800b"}', "“prompt” must not have half of a surrogate pair."),
    ],
)
def test_wrong_input_is_answered_in_one_sentence(call: Caller, body: Any, says: str) -> None:
    found = call("submit", body, status=400)["error"]
    assert found["message"].startswith(says)
    assert not Job.objects.exists()


def test_the_rules_of_the_server_apply(call: Caller, guild: Any) -> None:
    BlockedTerm.objects.create(guild=guild, phrase="gore")
    assert call("submit", {"prompt": "gore"}, status=422)["error"]["code"] == "term_blocked"
    assert call("submit", {"prompt": "x", "size": "999x999"}, status=422)["error"]["code"] == "parameter_out_of_range"
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=1)
    call("submit", {"prompt": "x", "count": 1}, status=202)
    full = call("submit", {"prompt": "x", "count": 1}, status=429)["error"]
    assert full["code"] == "quota_exceeded"
    assert "<t:" not in full["message"]
    Ban.objects.create(guild=guild, user_id=MEMBER)
    assert call("submit", {"prompt": "x"}, status=403)["error"]["code"] == "banned"


def test_loras_that_the_server_offers_can_be_used(call: Caller, guild: Any) -> None:
    refused = call("submit", {"prompt": "a fox", "loras": "night"}, status=422)["error"]
    assert (refused["code"], "`lora`" in refused["message"]) == ("lora_not_offered", True)
    night = Adapter.objects.create(slug="night", name="Night palette", source="a/b", enabled=True, family="sd1")
    guild.loras_offered.add(night)
    made = call("submit", {"prompt": "a fox", "loras": "Night palette:0.5"}, status=202)
    assert Job.objects.get(pk=made["id"]).loras == "night:0.5"
    assert call("submit", {"prompt": "a fox", "loras": "night:9"}, status=422)["error"]["code"] == "lora_weight"


def test_a_key_reaches_its_own_requests_alone(call: Caller, make_guild: Callable[..., Any], make_ask: Any) -> None:
    from jobs import submission

    other = Caller(api_keys.issue(ApiKey(guild=make_guild(), name="Other", user_id=MEMBER)))
    made = other("submit", {"prompt": "x"}, status=202)
    call("status", status=404, id=made["id"])
    call("cancel", status=404, id=made["id"])
    typed = submission.submit(make_ask(make_guild(), user_id=MEMBER), now=timezone.now()).job
    call("status", status=404, id=typed.pk)


def test_a_wrong_or_revoked_key_is_refused(call: Caller, key: ApiKey) -> None:
    made = call("submit", {"prompt": "x"}, status=202)
    assert api_keys.revoke(key, now=timezone.now())
    call("status", status=401, id=made["id"])
    Caller("sparkle_wrong")("submit", {"prompt": "x"}, status=401)
    assert call.secret not in str(list(ApiKey.objects.values()))


def test_the_result_is_not_posted_on_discord(call: Caller) -> None:
    from discord_api.payloads import Message
    from jobs.delivery import deliver
    from tests.simulator.full_client import FullClient

    made = call("submit", {"prompt": "x"}, status=202)
    job = Job.objects.get(pk=made["id"])
    client = FullClient("http://127.0.0.1:9", application_id=1, bot_token="t")
    assert deliver(job, Message(content="done"), client=client, now=timezone.now()).via == Job.Via.GALLERY


def test_the_document_names_every_status(call: Caller) -> None:
    shown = call.document["components"]["schemas"]["Request"]["properties"]["status"]["enum"]
    assert set(shown) == {str(status) for status in Status} - {"refused"}
