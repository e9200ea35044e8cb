"""The stand-in is as strict as Discord: what passes here passes there."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devtools.simulator import command_rules, component_rules, errors_and_rate_limits, message_rules
from devtools.simulator.errors_and_rate_limits import Refused
from devtools.simulator.message_rules import Before, Draft, Upload

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def errors_of(result: object) -> dict[str, Any]:
    assert isinstance(result, Refused), result
    assert (result.status, result.code) == (400, 50035)
    return dict(result.errors or {})


def png(index: int = 0, name: str = "a.png", size: int = 3) -> Upload:
    return Upload(index=index, filename=name, content_type="image/png", content=b"x" * size)


def button(**fields: Any) -> list[Any]:
    return [{"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go"} | fields]}]


@pytest.mark.parametrize(
    ("user_agent", "allowed"),
    [
        (None, False),
        ("", False),
        ("python-httpx/0.28", False),
        ("DiscordBot", False),
        ("DiscordBot (https://example.org, 1.0)", True),
        ("DiscordBot (https://example.org, 1.0) httpx/0.28", True),
        ("DiscordBot (https://example.org 2.7.1) more", True),
    ],
)
def test_a_user_agent_must_name_the_bot(user_agent: str | None, allowed: bool) -> None:
    assert (errors_and_rate_limits.check_user_agent(user_agent) is None) == allowed


def facts(age: timedelta, acked_after: timedelta | None = timedelta(seconds=1)) -> errors_and_rate_limits.TokenFacts:
    created = NOW - age
    return errors_and_rate_limits.TokenFacts(
        application_id=1, created_at=created, acked_at=None if acked_after is None else created + acked_after
    )


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, 10015),
        (facts(timedelta(minutes=1)), None),
        (facts(timedelta(minutes=15)), None),
        (facts(timedelta(minutes=15, seconds=1)), 50027),
        (facts(timedelta(seconds=2), acked_after=None), 10015),
        (facts(timedelta(minutes=1), acked_after=timedelta(seconds=3.1)), 10015),
    ],
    ids=["unknown", "young", "just alive", "expired", "not yet acknowledged", "acknowledged too late"],
)
def test_a_token_lives_fifteen_minutes_if_it_was_answered_in_three_seconds(
    token: errors_and_rate_limits.TokenFacts | None, code: int | None
) -> None:
    refused = errors_and_rate_limits.check_token(token, application_id=1, now=NOW)
    assert (refused.code if refused else None) == code


def test_a_token_of_another_application_is_unknown() -> None:
    refused = errors_and_rate_limits.check_token(facts(timedelta(0)), application_id=2, now=NOW)
    assert refused == errors_and_rate_limits.UNKNOWN_WEBHOOK


def test_content_has_at_most_2000_characters() -> None:
    assert isinstance(message_rules.check_message({"content": "x" * 2000}), Draft)
    found = errors_of(message_rules.check_message({"content": "x" * 2001}))
    assert found["content"]["_errors"][0]["code"] == "BASE_TYPE_MAX_LENGTH"


@pytest.mark.parametrize("body", [{}, {"content": ""}, {"content": " \n"}, {"components": button()}])
def test_a_message_needs_something_to_show(body: dict[str, Any]) -> None:
    assert message_rules.check_message(body) == errors_and_rate_limits.EMPTY


@pytest.mark.parametrize("body", [None, [], "text", 5])
def test_a_body_must_be_an_object(body: object) -> None:
    assert "_errors" in errors_of(message_rules.check_message(body))


@pytest.mark.parametrize(
    ("embeds", "path"),
    [
        ([{"title": "x" * 257}], ("embeds", "0", "title")),
        ([{"description": "x" * 4097}], ("embeds", "0", "description")),
        ([{"footer": {"text": "x" * 2049}}], ("embeds", "0", "footer", "text")),
        ([{"fields": [{"name": "", "value": "v"}]}], ("embeds", "0", "fields", "0", "name")),
        ([{"fields": [{"name": "n", "value": "v" * 1025}]}], ("embeds", "0", "fields", "0", "value")),
        ([{"fields": [{"name": "n", "value": "v"}] * 26}], ("embeds", "0", "fields")),
        ([{"image": {"url": "javascript:alert(1)"}}], ("embeds", "0", "image", "url")),
        ([{"title": "t"}] * 11, ("embeds",)),
        ([{"description": "x" * 3001}, {"description": "x" * 3000}], ("embeds",)),
    ],
)
def test_embeds_have_limits_each_and_in_total(embeds: list[Any], path: tuple[str, ...]) -> None:
    node = errors_of(message_rules.check_message({"embeds": embeds}))
    for key in path:
        node = node[key]
    assert node["_errors"]


@pytest.mark.parametrize(
    "components",
    [
        button(custom_id="x" * 101),
        button(custom_id=""),
        button(label="x" * 81),
        button(label=None),
        button(style=9),
        button(style=5),
        button() * 2,
        [{"type": 1, "components": []}],
        [{"type": 1, "components": button()[0]["components"] * 6}],
        button() * 6,
        [{"type": 2, "style": 1, "label": "bare", "custom_id": "b"}],
        [{"type": 1, "components": [{"type": 3, "custom_id": "s", "options": []}]}],
    ],
    ids=[
        "long custom id",
        "empty custom id",
        "long label",
        "neither label nor emoji",
        "unknown style",
        "link without url",
        "custom id twice",
        "empty row",
        "six in a row",
        "six rows",
        "button without a row",
        "select without options",
    ],
)
def test_components_have_limits(components: list[Any]) -> None:
    assert "components" in errors_of(message_rules.check_message({"content": "c", "components": components}))


def test_five_rows_of_five_buttons_fit() -> None:
    rows = [
        {
            "type": 1,
            "components": [{"type": 2, "style": 2, "label": "x" * 80, "custom_id": f"{n}-{m}"} for m in range(5)],
        }
        for n in range(5)
    ]
    assert isinstance(message_rules.check_message({"content": "c", "components": rows}), Draft)


def test_a_file_may_be_as_large_as_the_interaction_says() -> None:
    body = {"attachments": [{"id": "0"}]}
    assert isinstance(message_rules.check_message(body, files=[png(size=10)], file_limit=10), Draft)
    assert message_rules.check_message(body, files=[png(size=11)], file_limit=10) == errors_and_rate_limits.TOO_LARGE


def test_a_request_has_at_most_25_mebibytes() -> None:
    assert isinstance(message_rules.check_message({"content": "c"}, request_bytes=25 * 2**20), Draft)
    assert (
        message_rules.check_message({"content": "c"}, request_bytes=25 * 2**20 + 1) == errors_and_rate_limits.TOO_LARGE
    )


def test_a_message_holds_ten_files() -> None:
    old = Before(content="c", attachment_ids=frozenset(range(100, 108)))
    keep = [{"id": str(each)} for each in sorted(old.attachment_ids)]
    fits = message_rules.check_message(
        {"attachments": [*keep, {"id": "0"}, {"id": "1"}]}, files=[png(0), png(1)], before=old
    )
    assert isinstance(fits, Draft)
    added = message_rules.check_message({}, files=[png(0), png(1), png(2)], before=old)
    assert added == errors_and_rate_limits.MAX_FILES


OLD = Before(content="old", attachment_ids=frozenset({700, 701}))


def test_an_edit_without_attachments_keeps_the_files() -> None:
    draft = message_rules.check_message({"content": "new"}, before=OLD)
    assert isinstance(draft, Draft)
    assert draft.keep == {700, 701}


def test_an_edit_drops_the_files_it_does_not_list() -> None:
    draft = message_rules.check_message({"attachments": [{"id": "701"}, {"id": "0"}]}, files=[png()], before=OLD)
    assert isinstance(draft, Draft)
    assert draft.keep == {701}
    assert [new.filename for new in draft.files] == ["a.png"]


@pytest.mark.parametrize(
    ("attachments", "files"),
    [
        ([{"id": "999"}], []),
        ([{"id": "0"}], []),
        ([{"id": "1"}], [png(0)]),
        ([{"id": "700"}], [png(0)]),
        ([{"filename": "a.png"}], [png(0)]),
    ],
    ids=["unknown id", "file not uploaded", "other file uploaded", "upload not listed", "no id"],
)
def test_an_edit_must_list_exactly_its_files(attachments: list[Any], files: list[Upload]) -> None:
    body = {"content": "c", "attachments": attachments}
    assert "attachments" in errors_of(message_rules.check_message(body, files=files, before=OLD))


def test_alt_text_has_at_most_1024_characters() -> None:
    body = {"attachments": [{"id": "0", "description": "x" * 1025}]}
    assert "attachments" in errors_of(message_rules.check_message(body, files=[png()]))


def test_an_edit_cannot_make_a_message_ephemeral() -> None:
    draft = message_rules.check_message({"flags": message_rules.EPHEMERAL}, before=OLD, interaction=True)
    assert isinstance(draft, Draft)
    assert not draft.flags & message_rules.EPHEMERAL


def test_an_edit_replaces_thinking_and_stays_ephemeral() -> None:
    loading = Before(flags=message_rules.EPHEMERAL | message_rules.LOADING)
    draft = message_rules.check_message({"content": "done"}, before=loading, interaction=True)
    assert isinstance(draft, Draft)
    assert draft.flags == message_rules.EPHEMERAL


def pings(body: dict[str, Any], **options: Any) -> message_rules.Pings:
    draft = message_rules.check_message({"content": "<@42> <@&77> @everyone"} | body, **options)
    assert isinstance(draft, Draft)
    return draft.pings


def test_an_interaction_without_allowed_mentions_pings_users() -> None:
    assert pings({}, interaction=True) == message_rules.Pings(user_ids=frozenset({42}))


def test_an_edit_without_allowed_mentions_falls_back_to_pinging_users() -> None:
    assert pings({}, interaction=True, before=OLD).user_ids == {42}


def test_a_bot_without_allowed_mentions_pings_all_it_may() -> None:
    assert pings({}) == message_rules.Pings(user_ids=frozenset({42}), role_ids=frozenset({77}))
    assert pings({}, may_ping_everyone=True).everyone


def test_an_empty_parse_pings_no_one() -> None:
    assert pings({"allowed_mentions": {"parse": []}}, may_ping_everyone=True) == message_rules.Pings()


def test_named_users_are_pinged_and_no_others() -> None:
    body = {"content": "<@42> <@43>", "allowed_mentions": {"parse": [], "users": ["43", "44"]}}
    assert pings(body) == message_rules.Pings(user_ids=frozenset({43}))


def test_mentions_in_code_ping_no_one() -> None:
    assert pings({"content": "`<@42>` ```\n@everyone <@&77>```"}, may_ping_everyone=True) == message_rules.Pings()


def test_parse_and_a_list_of_ids_cannot_be_combined() -> None:
    body = {"content": "c", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}
    assert "allowed_mentions" in errors_of(message_rules.check_message(body))


def test_version_two_components_stand_alone() -> None:
    v2 = [{"type": 10, "content": "text"}]
    body = {"flags": message_rules.COMPONENTS_V2, "components": v2}
    assert isinstance(message_rules.check_message(body), Draft)
    assert "content" in errors_of(message_rules.check_message(body | {"content": "c"}))


def modal(**fields: Any) -> dict[str, Any]:
    rows = [{"type": 1, "components": [{"type": 4, "custom_id": "p", "label": "Prompt", "style": 2}]}]
    return {"title": "Remix", "custom_id": "m", "components": rows} | fields


@pytest.mark.parametrize(
    ("data", "allowed"),
    [
        (modal(), True),
        (modal(title="x" * 46), False),
        (modal(title=""), False),
        (modal(custom_id="x" * 101), False),
        (modal(components=[]), False),
        (modal(components=modal()["components"] * 6), False),
        (None, False),
    ],
)
def test_modals_have_limits(data: Any, allowed: bool) -> None:
    assert (component_rules.check_modal(data) is None) == allowed


@pytest.mark.parametrize(
    ("choices", "allowed"),
    [
        ([], True),
        ([{"name": "n", "value": "v"}] * 25, True),
        ([{"name": "n", "value": "v"}] * 26, False),
        ([{"name": "", "value": "v"}], False),
        ([{"name": "n", "value": "x" * 101}], False),
    ],
)
def test_an_autocomplete_offers_at_most_25_choices(choices: list[Any], allowed: bool) -> None:
    assert (component_rules.check_choices({"choices": choices}) is None) == allowed


def command(*options: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    return [{"name": "sparkle", "description": "d", "options": list(options)} | fields]


@pytest.mark.parametrize(
    "body",
    [
        command(name="Sparkle"),
        command(name="two words"),
        command(description=""),
        command(description="x" * 101),
        command() * 2,
        command(
            {"type": 3, "name": "a", "description": "d"}, {"type": 3, "name": "b", "description": "d", "required": True}
        ),
        command(
            {"type": 3, "name": "a", "description": "d", "autocomplete": True, "choices": [{"name": "n", "value": "v"}]}
        ),
        command({"type": 3, "name": "a", "description": "d", "choices": [{"name": "n", "value": "x" * 101}]}),
        command({"type": 3, "name": "a", "description": "d", "max_length": 6001}),
        command({"type": 4, "name": "a", "description": "d", "max_value": 2**53}),
        command(*[{"type": 3, "name": f"o{n}", "description": "d"} for n in range(26)]),
        command(default_member_permissions="manage"),
    ],
)
def test_commands_follow_the_rules_of_registration(body: list[Any]) -> None:
    assert command_rules.check_commands(body) is not None


def test_a_hundred_commands_fit_and_one_more_does_not() -> None:
    body = [{"name": f"c{n}", "description": "d"} for n in range(101)]
    assert command_rules.check_commands(body[:100]) is None
    refused = command_rules.check_commands(body)
    assert refused is not None
    assert refused.code == 30032


def test_a_bucket_refuses_when_it_is_empty_and_resets() -> None:
    limit = errors_and_rate_limits.Limit(requests=2, seconds=2)
    spent, used, start = errors_and_rate_limits.spend(limit, used=0, window_started_at=None, now=NOW)
    assert (spent.exceeded, spent.remaining) == (False, 1)
    spent, used, start = errors_and_rate_limits.spend(
        limit, used=used, window_started_at=start, now=NOW + timedelta(seconds=1)
    )
    assert (spent.exceeded, spent.remaining, spent.reset_after) == (False, 0, 1)
    spent, used, start = errors_and_rate_limits.spend(
        limit, used=used, window_started_at=start, now=NOW + timedelta(seconds=1.5)
    )
    assert (spent.exceeded, spent.reset_after) == (True, 0.5)
    spent, used, start = errors_and_rate_limits.spend(
        limit, used=used, window_started_at=start, now=NOW + timedelta(seconds=2)
    )
    assert not spent.exceeded
