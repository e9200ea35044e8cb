"""What goes over the wire to Discord, to the letter."""

from __future__ import annotations

import json

import pytest

from discord_api import payloads
from discord_api.payloads import File, Message, TextInput

PING_NOBODY = {"parse": []}
GRID = File(name="grid.png", content=b"\x89PNG", content_type="image/png", description="a cat")
SECRET = File(name="grid.png", content=b"\x89PNG", content_type="image/png", spoiler=True)


def test_an_empty_new_message_names_nothing_and_an_empty_edit_names_every_part() -> None:
    assert payloads.to_payload(Message(), edit=False) == {"allowed_mentions": PING_NOBODY}
    assert payloads.to_payload(Message(), edit=True) == {
        "allowed_mentions": PING_NOBODY,
        "content": "",
        "embeds": [],
        "components": [],
        "attachments": [],
    }


def test_a_full_message_as_new_and_as_edit() -> None:
    buttons = payloads.row(payloads.button("again", "Again"))
    message = Message(
        content="<@42> done", embeds=({"title": "a cat"},), components=(buttons,), files=(GRID, SECRET), keep=(77, 78),
        ephemeral=True, mention_users=(42, 43), nonce="sparkle-1",
    )  # fmt: skip
    parts = {
        "allowed_mentions": {"parse": [], "users": ["42", "43"]},
        "content": "<@42> done",
        "embeds": [{"title": "a cat"}],
        "components": [buttons],
        "attachments": [
            {"id": "77"},
            {"id": "78"},
            {"id": "0", "filename": "grid.png", "description": "a cat"},
            {"id": "1", "filename": "SPOILER_grid.png"},
        ],
    }
    assert payloads.to_payload(message, edit=True) == parts
    assert payloads.to_payload(message, edit=False) == parts | {
        "flags": 64,
        "nonce": "sparkle-1",
        "enforce_nonce": True,
    }


def test_what_is_too_long_is_cut_at_discords_limits() -> None:
    long = File(name="a.png", content=b"", content_type="image/png", description="d" * 1025)
    payload = payloads.to_payload(Message(content="c" * 2001, files=(long,)), edit=False)
    assert payload["content"] == "c" * 1999 + "…"
    assert payload["attachments"][0]["description"] == "d" * 1023 + "…"
    full = payloads.to_payload(Message(content="c" * 2000), edit=False)
    assert full["content"] == "c" * 2000


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("a bc", 3, "a…"),
        ("😀😀", 4, "😀😀"),
        ("😀😀", 3, "😀…"),
        ("a😀b", 3, "a…"),
        # Half of an emoji, as a broken client sends it.
        ("a\ud83d", 2, "a\ud83d"),
        ("a\ud83dbc", 3, "a…"),
    ],
)
def test_a_text_is_cut_by_the_units_that_discord_counts(text: str, limit: int, shown: str) -> None:
    assert payloads.truncate(text, limit) == shown


@pytest.mark.parametrize(("text", "units"), [("", 0), ("abc", 3), ("é", 1), ("😀", 2), ("a\ud83d", 2)])
def test_length_is_counted_in_utf_16(text: str, units: int) -> None:
    assert (payloads.length(text), type(payloads.length(text))) == (units, int)


def test_without_files_the_body_is_json_and_with_files_a_form() -> None:
    assert payloads.multipart(Message(content="é"), edit=False) == {
        "content": '{"allowed_mentions":{"parse":[]},"content":"é"}'.encode(),
        "headers": {"Content-Type": "application/json"},
    }
    message = Message(content="é", files=(GRID, SECRET))
    for edit in (True, False):
        payload = json.dumps(payloads.to_payload(message, edit=edit), ensure_ascii=False, separators=(",", ":"))
        assert payloads.multipart(message, edit=edit) == {
            "files": [
                ("payload_json", (None, payload.encode(), "application/json")),
                ("files[0]", ("grid.png", b"\x89PNG", "image/png")),
                ("files[1]", ("SPOILER_grid.png", b"\x89PNG", "image/png")),
            ]
        }


def test_a_reply_is_a_new_message_and_an_update_replaces_one() -> None:
    message = Message(content="x", ephemeral=True)
    assert payloads.reply(message) == {
        "type": 4,
        "data": {"allowed_mentions": PING_NOBODY, "content": "x", "flags": 64},
    }
    assert payloads.update(message) == {
        "type": 7,
        "data": {"allowed_mentions": PING_NOBODY, "content": "x", "embeds": [], "components": [], "attachments": []},
    }


def test_choices_keep_to_25_of_100_characters_and_leave_out_what_could_not_be_sent_back() -> None:
    assert payloads.choices([("Ink", "ink"), ("", "nameless")]) == {
        "type": 8,
        "data": {"choices": [{"name": "Ink", "value": "ink"}, {"name": "-", "value": "nameless"}]},
    }
    shown = payloads.choices([(f"n{number}", "v") for number in range(26)])["data"]["choices"]
    assert [choice["name"] for choice in shown] == [f"n{number}" for number in range(25)]
    shown = payloads.choices([("n" * 101, "v" * 100), ("too long", "v" * 101)])["data"]["choices"]
    assert shown == [{"name": "n" * 99 + "…", "value": "v" * 100}]
    assert payloads.choices([("n" * 100, "v")])["data"]["choices"] == [{"name": "n" * 100, "value": "v"}]


def test_a_modal_has_one_input_in_each_row() -> None:
    short = TextInput(custom_id="seed", label="Seed")
    long = TextInput(custom_id="prompt", label="l" * 46, value="v" * 11, long=True, required=True, max_length=10)
    assert payloads.modal("edit", "t" * 46, (short, long)) == {
        "type": 9,
        "data": {
            "custom_id": "edit",
            "title": "t" * 44 + "…",
            "components": [
                {
                    "type": 1,
                    "components": [
                        {"type": 4, "custom_id": "seed", "label": "Seed", "style": 1, "required": False,
                         "max_length": 4000},
                    ],
                },
                {
                    "type": 1,
                    "components": [
                        {"type": 4, "custom_id": "prompt", "label": "l" * 44 + "…", "style": 2, "required": True,
                         "max_length": 10, "value": "v" * 9 + "…"},
                    ],
                },
            ],
        },
    }  # fmt: skip
    fits = TextInput(custom_id="a", label="l" * 45)
    assert payloads.modal("edit", "t" * 45, (fits,))["data"]["title"] == "t" * 45
    assert payloads.modal("edit", "t", (fits,))["data"]["components"][0]["components"][0]["label"] == "l" * 45


def test_buttons_and_rows() -> None:
    grey = {"type": 2, "style": 2, "custom_id": "again", "label": "Again"}
    assert payloads.button("again", "Again") == grey
    assert payloads.button("x", "l" * 81, style=4, emoji="🗑") == {
        "type": 2,
        "style": 4,
        "custom_id": "x",
        "label": "l" * 79 + "…",
        "emoji": {"name": "🗑"},
    }
    link = {"type": 2, "style": 5, "url": "https://sparkle.example", "label": "Gallery"}
    assert payloads.link_button("https://sparkle.example", "Gallery") == link
    assert payloads.link_button("https://sparkle.example", "l" * 81)["label"] == "l" * 79 + "…"
    assert payloads.button("x", "l" * 80)["label"] == payloads.link_button("u", "l" * 80)["label"] == "l" * 80
    assert payloads.row(grey, link) == {"type": 1, "components": [grey, link]}
