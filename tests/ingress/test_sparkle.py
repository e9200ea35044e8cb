"""/sparkle from a signed interaction to a row, a message and the first message."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from guilds.models import Guild, QuotaRule
from interactions_lambda.handler import handler
from jobs.dispatch.memory import MemoryDispatcher
from jobs.job_status import Status
from jobs.models import Job

from .conftest import event, message_text, options, payload

pytestmark = pytest.mark.django_db

Slash = Callable[..., dict[str, Any]]
Send = Callable[[dict[str, Any]], dict[str, Any]]


def test_a_prompt_becomes_a_job_and_rings_once(make_guild: Callable[..., Guild], slash: Slash) -> None:
    guild = make_guild()
    answer = slash(guild, values={"prompt": "a lighthouse at dusk"})
    assert answer["type"] == 4
    assert answer["data"]["content"].startswith("**Submitted to Sparkle**")
    assert "a lighthouse at dusk" in answer["data"]["content"]
    assert "flags" not in answer["data"]
    job = Job.objects.get()
    assert (job.guild_id, job.user_id, job.status, job.count) == (guild.pk, 53908232506183680, Status.QUEUED, 4)
    assert job.token == "A_UNIQUE_TOKEN"
    assert [message.job_id for message in MemoryDispatcher.sent] == [job.pk]
    assert f"s1:cancel:{job.pk}" in json.dumps(answer)


def test_every_option_reaches_the_job(make_guild: Callable[..., Guild], slash: Slash) -> None:
    said = {
        "prompt": "a cat",
        "negative_prompt": "dogs",
        "seed": 4294967295,
        "steps": 9,
        "sampler": "k_euler_a",
        "size": "768x512",
        "guidance": 4.5,
        "count": 2,
        "style": "ink",
        "model": "standard",
    }
    slash(make_guild(), values=said)
    job = Job.objects.select_related("model").get()
    assert (job.prompt, job.seed, job.steps, job.sampler) == ("a cat", 4294967295, 9, "k_euler_a")
    assert (job.width, job.height, job.guidance, job.count) == (768, 512, 4.5, 2)
    assert (job.style, job.model.slug) == ("ink", "standard")
    assert job.negative_prompt.startswith("dogs")


def test_the_same_interaction_twice_is_one_job(make_guild: Callable[..., Guild], send: Send) -> None:
    body = payload("slash", guild_id=str(make_guild().pk))
    first, second = send(body), send(body)
    assert Job.objects.count() == 1
    assert len(MemoryDispatcher.sent) == 1
    assert first["type"] == second["type"] == 4


def test_a_server_that_nobody_told_us_of_is_installed_on_its_first_request(
    slash: Slash, snowflake: Callable[[], int]
) -> None:
    slash(Guild(pk=snowflake()), values={"prompt": "a cat"})
    assert Job.objects.get().guild.enabled


def test_in_a_direct_message_it_says_where_it_works(send: Send) -> None:
    assert "server" in message_text(send(payload("slash_in_dm")))


def test_an_image_from_discords_cdn_is_a_start(make_guild: Callable[..., Guild], send: Send) -> None:
    send(payload("slash_with_image", guild_id=str(make_guild().pk)))
    job = Job.objects.get()
    assert (job.kind, job.strength) == ("img2img", 0.5)
    assert job.source_url.startswith("https://cdn.discordapp.com/attachments/")


@pytest.fixture(autouse=True)
def _real_cdn_hosts(settings: Any) -> None:
    settings.DISCORD_CDN_HOSTS = ["cdn.discordapp.com", "media.discordapp.net"]
    settings.DISCORD_CDN_INSECURE = False


_TEXT = "https://cdn.discordapp.com/attachments/1/2/cat.txt"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"url": "https://evil.example/cat.png"}, "uploaded to Discord"),
        ({"url": "http://cdn.discordapp.com/cat.png"}, "uploaded to Discord"),
        ({"url": "https://cdn.discordapp.com@evil.example/cat.png"}, "uploaded to Discord"),
        ({"url": "https://cdn.discordapp.com:8443/cat.png"}, "uploaded to Discord"),
        ({"url": "https://cdn.discordapp.com.evil.example/cat.png"}, "uploaded to Discord"),
        ({"url": "https://[::1/cat.png"}, "uploaded to Discord"),
        ({"url": 5}, "uploaded to Discord"),
        ({"content_type": "image/svg+xml"}, "PNG, JPEG or WebP"),
        ({"content_type": None, "filename": "cat.txt", "url": _TEXT, "proxy_url": None}, "PNG, JPEG or WebP"),
        ({"size": 11 * 1024 * 1024}, "10 MB or smaller"),
    ],
)
def test_other_images_are_refused(
    make_guild: Callable[..., Guild], send: Send, change: dict[str, Any], word: str
) -> None:
    body = payload("slash_with_image", guild_id=str(make_guild().pk))
    for attachment in body["data"]["resolved"]["attachments"].values():
        attachment.update(change)
    assert word in message_text(send(body))
    assert not Job.objects.filter(status=Status.QUEUED).exists()


@pytest.mark.parametrize(
    "said",
    [
        {"prompt": 5},
        {"prompt": True},
        {"prompt": ["a"]},
        {"prompt": {"a": 1}},
        {"prompt": "x", "seed": "7"},
        {"prompt": "x", "seed": True},
        {"prompt": "x", "seed": 1.5},
        {"prompt": "x", "seed": 10**30},
        {"prompt": "x", "steps": "many"},
        {"prompt": "x", "guidance": "much"},
        {"prompt": "x", "guidance": float("nan")},
        {"prompt": "x", "guidance": 10**400},
        {"prompt": "x", "image": 5},
        {"prompt": "x", "image": "not resolved"},
        {"prompt": "x", "style": 1},
        {"prompt": "x", "size": 512},
    ],
)
def test_an_option_of_the_wrong_kind_is_named(make_guild: Callable[..., Guild], slash: Slash, said: Any) -> None:
    name = list(said)[-1]
    assert f"`{name}`" in message_text(slash(make_guild(), values=said))
    assert Job.objects.count() == 0


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"prompt": ""}, "`prompt`"),
        ({"prompt": "   "}, "`prompt`"),
        ({}, "`prompt`"),
        ({"prompt": "x" * 6001}, "`prompt`"),
        ({"prompt": "x", "steps": 0}, "`steps`"),
        ({"prompt": "x", "steps": 10**9}, "`steps`"),
        ({"prompt": "x", "seed": -2}, "`seed`"),
        ({"prompt": "x", "seed": 2**32}, "`seed`"),
        ({"prompt": "x", "sampler": "k_nope"}, "`sampler`"),
        ({"prompt": "x", "size": "big"}, "`size`"),
        ({"prompt": "x", "size": "9999x9999"}, "`size`"),
        ({"prompt": "x", "guidance": 31}, "`guidance`"),
        ({"prompt": "x", "count": 5}, "`count`"),
        ({"prompt": "x", "style": "nope"}, "`style`"),
        ({"prompt": "x", "model": "nope"}, "`model`"),
    ],
)
def test_a_value_out_of_range_names_the_range(
    make_guild: Callable[..., Guild], slash: Slash, said: dict[str, Any], word: str
) -> None:
    assert word in message_text(slash(make_guild(), values=said))
    assert not Job.objects.exclude(status=Status.REFUSED).exists()


@pytest.mark.parametrize("malformed", [None, 5, "x", {"a": 1}, [5], [None], [{"value": "x"}], [{"name": 5}]])
def test_options_that_are_no_options_are_answered(
    make_guild: Callable[..., Guild], send: Send, malformed: object
) -> None:
    body = payload("slash", guild_id=str(make_guild().pk))
    body["data"]["options"] = malformed
    assert message_text(send(body))


@pytest.mark.parametrize(
    "prompt",
    [
        "```\n@everyone <@1> <@&2> <#3>\n```",
        "`" * 6000,
        "😀" * 6000,
        "👩‍👩‍👧‍👦" * 800,
        "a\x00b\u202ec",
        "\ud800",
        "x" * 6000,
        "</sparkle:1> [a](https://evil.example)",
    ],
)
def test_no_prompt_pings_or_breaks_out_of_its_block(
    make_guild: Callable[..., Guild], slash: Slash, prompt: str
) -> None:
    data = slash(make_guild(), values={"prompt": prompt})["data"]
    assert data["allowed_mentions"] == {"parse": []}
    # Two fences: one opens the code block, one closes it at the end of the message.
    assert data["content"].count("`") in (0, 2, 6)
    if data["content"].count("`") == 6:
        assert data["content"].endswith("\n```")


def test_a_spent_quota_names_the_rule_and_its_reset(make_guild: Callable[..., Guild], slash: Slash) -> None:
    guild = make_guild()
    QuotaRule.objects.create(guild=guild, subject="member", metric="images", window="day", limit=4)
    slash(guild, values={"prompt": "a cat"})
    sentence = message_text(slash(guild, values={"prompt": "a cat"}))
    assert "4 of 4 images" in sentence
    assert "<t:" in sentence
    assert ":R>" in sentence


def test_a_server_switched_off_says_so_in_its_own_language(make_guild: Callable[..., Guild], slash: Slash) -> None:
    guild = make_guild(enabled=False, language="de")
    assert "deaktiviert" in message_text(slash(guild, values={"prompt": "a cat"}))


def test_a_member_is_answered_in_the_members_language(make_guild: Callable[..., Guild], slash: Slash) -> None:
    guild = make_guild()
    answer = slash(guild, values={"prompt": "a cat"}, locale="fr")
    assert Job.objects.get().locale == "fr"
    assert "Annuler" in json.dumps(answer)


def test_private_results_begin_with_a_private_answer(make_guild: Callable[..., Guild], slash: Slash) -> None:
    answer = slash(make_guild(results_ephemeral=True), values={"prompt": "a cat"})
    assert answer["data"]["flags"] == 64


@pytest.mark.parametrize("kind", [0, 6, 99, -1])
def test_an_unknown_type_of_interaction_is_answered(send: Send, kind: int) -> None:
    assert message_text(send(payload("slash", type=kind)))


@pytest.mark.parametrize("kind", [None, "2", 2.5, True, [], {}])
def test_a_type_that_is_no_number_is_answered(send: Send, kind: object) -> None:
    assert message_text(send(payload("slash", type=kind)))


@pytest.mark.parametrize(
    "change", [{"id": None}, {"token": 5}, {"member": 5}, {"data": None}, {"data": []}, {"id": "x"}, {"id": "0"}]
)
def test_a_payload_that_lacks_its_parts_is_answered(send: Send, change: dict[str, Any]) -> None:
    assert message_text(send(payload("slash", **change)))


def test_a_member_without_an_id_takes_nothing_from_the_servers_counters(
    make_guild: Callable[..., Guild], slash: Slash
) -> None:
    # Subject 0 counts the whole server.
    assert message_text(
        slash(make_guild(), values={"prompt": "a fox"}, member={"user": {"id": "0"}, "permissions": "0"})
    )
    assert not Job.objects.exists()


def test_an_unknown_command_is_answered(make_guild: Callable[..., Guild], slash: Slash) -> None:
    assert "/sparkle-help" in message_text(slash(make_guild(), "sparkle-everything"))


def test_an_unexpected_error_is_told_under_a_reference_that_the_log_has(
    make_guild: Callable[..., Guild],
    slash: Slash,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret prompt and A_UNIQUE_TOKEN")

    monkeypatch.setattr("jobs.submission.submit", broken)
    sentence = message_text(slash(make_guild(), values={"prompt": "a secret prompt"}))
    record = next(record for record in caplog.records if record.message == "interaction_failed")
    assert record.reference in sentence  # type: ignore[attr-defined]
    from telemetry.logs import JsonFormatter

    line = JsonFormatter().format(record)
    assert "RuntimeError" in line
    assert "secret" not in line
    assert "A_UNIQUE_TOKEN" not in line
    assert Job.objects.count() == 0


def test_what_is_logged_names_no_member_prompt_or_token(
    make_guild: Callable[..., Guild], slash: Slash, caplog: pytest.LogCaptureFixture
) -> None:
    from telemetry.logs import JsonFormatter

    caplog.set_level("DEBUG", logger="interactions_lambda")
    slash(make_guild(), values={"prompt": "a secret prompt"})
    lines = [
        JsonFormatter().format(record) for record in caplog.records if record.name.startswith("interactions_lambda")
    ]
    assert any('"submitted"' in line for line in lines)
    for planted in ("secret", "A_UNIQUE_TOKEN", "Mason", "mason"):
        assert not any(planted in line for line in lines)


def test_an_accepted_request_takes_few_statements(
    make_guild: Callable[..., Guild], slash: Slash, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    guild = make_guild()
    slash(guild, values={"prompt": "a cat"})
    # The member's defaults, lock, read and write. In the test's transaction, BEGIN and COMMIT are a savepoint.
    with django_assert_max_num_queries(6):
        slash(guild, values={"prompt": "a cat"})


def test_completions_of_a_dm_are_empty(send: Send) -> None:
    body = payload("slash_in_dm", type=4)
    body["data"]["options"] = options(style="x")
    assert send(body) == {"type": 8, "data": {"choices": []}}


def test_the_handler_answers_when_the_body_is_base64(make_guild: Callable[..., Guild]) -> None:
    body = json.dumps(payload("slash", guild_id=str(make_guild().pk))).encode()
    assert handler(event(body, as_base64=True), None)["statusCode"] == 200
    assert Job.objects.count() == 1
