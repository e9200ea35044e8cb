"""The command schema against Discord's document and prose, and its registration: in bulk, and only on a change."""

from __future__ import annotations

import copy
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command

from discord_api.client import DiscordClient
from guilds.command_definitions import all_commands, normalized
from guilds.samplers import SAMPLERS

from .payload_contract import check

SAMPLE = {"k_lms", "k_euler_a", "PLMS", "DDIM", "k_dpm_2_a", "k_dpm_2", "k_euler", "k_heun"}


def parts(command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield command
    yield from command.get("options", [])


def is_name(name: str) -> bool:
    """Discord's ^[-_'\\p{L}\\p{N}\\p{sc=Deva}\\p{sc=Thai}]{1,32}$, in lower case."""
    fits = all(char in "-_'" or unicodedata.category(char)[0] in "LN" for char in name)
    return fits and 1 <= len(name) <= 32 and name == name.lower()


def test_the_set_is_as_the_design_names_it() -> None:
    assert [command["name"] for command in all_commands()] == [
        "sparkle",
        "sparkle-quota",
        "sparkle-history",
        "sparkle-show",
        "sparkle-cancel",
        "sparkle-defaults",
        "sparkle-settings",
        "sparkle-help",
        "Remix with Sparkle",
        "Who made this?",
    ]
    assert [option["name"] for option in all_commands()[0]["options"]] == [
        "prompt",
        "negative_prompt",
        "seed",
        "steps",
        "sampler",
        "size",
        "guidance",
        "count",
        "style",
        "model",
        "lora",
        "image",
        "strength",
        "speed",
        "preset",
        "visibility",
    ]


def test_discord_would_take_every_command() -> None:
    for command in all_commands():
        check("ApplicationCommandUpdateRequest", command)


def test_names_and_descriptions_fit_in_every_language() -> None:
    for command in all_commands():
        for part in parts(command):
            names = [part["name"], *part["name_localizations"].values()]
            if command["type"] == 1:
                assert all(is_name(name) for name in names), names
            else:
                assert all(1 <= len(name) <= 32 for name in names)
                assert "description" not in part
                continue
            described = [part["description"], *part["description_localizations"].values()]
            assert all(1 <= len(description) <= 100 for description in described), described


def test_no_two_options_share_a_name_in_any_language() -> None:
    for command in all_commands():
        options = command.get("options", [])
        for locale in all_commands()[0]["name_localizations"]:
            names = [option["name_localizations"][locale] for option in options]
            assert len(names) == len(set(names)), (command["name"], locale)
    for locale in all_commands()[0]["name_localizations"]:
        names = [command["name_localizations"][locale] for command in all_commands()]
        assert len(names) == len(set(names)), locale


def test_options_obey_discords_prose() -> None:
    for command in all_commands():
        options = command.get("options", [])
        required = [option.get("required", False) for option in options]
        assert required == sorted(required, reverse=True), "required options come first"
        for option in options:
            assert not (option.get("autocomplete") and option.get("choices"))
            assert len(option.get("choices", [])) <= 25
            for choice in option.get("choices", []):
                assert 1 <= len(choice["name"]) <= 100
                assert 1 <= len(choice["value"]) <= 100
            assert all(abs(option.get(bound, 0)) <= 2**53 - 1 for bound in ("min_value", "max_value"))


def test_a_command_is_within_8000_characters_in_its_longest_language() -> None:
    for command in all_commands():
        total = 0
        for part in parts(command):
            for field in ("name", "description"):
                spellings = [part.get(field, ""), *part.get(f"{field}_localizations", {}).values()]
                total += max(len(spelling) for spelling in spellings)
            total += sum(len(choice["name"]) + len(choice["value"]) for choice in part.get("choices", []))
        assert total <= 8000


def test_only_those_who_manage_the_server_see_its_settings() -> None:
    limited = {command["name"]: command.get("default_member_permissions") for command in all_commands()}
    assert {name: bits for name, bits in limited.items() if bits} == {"sparkle-settings": 1 << 5}


def test_the_samples_samplers_keep_their_names() -> None:
    assert set(SAMPLERS) >= SAMPLE
    assert all(re.fullmatch(r"\w{1,40}", name) for name in SAMPLERS)


class Registry:
    """Discord's side: what is registered, given back with what Discord adds to it."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.puts: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bot a-bot-token"
        assert re.fullmatch(r"DiscordBot \(\S+, \S+\)", request.headers["User-Agent"])
        if request.method == "PUT":
            self.puts.append(request.url.path)
            self.commands = json.loads(request.content)
            for command in self.commands:
                check("ApplicationCommandUpdateRequest", command)
        else:
            assert request.url.params["with_localizations"] == "true"
        return httpx.Response(200, json=[self._given_back(command) for command in reversed(self.commands)])

    @staticmethod
    def _given_back(command: dict[str, Any]) -> dict[str, Any]:
        found = copy.deepcopy(command) | {"id": "1", "application_id": "2", "version": "3", "nsfw": False}
        found.setdefault("description", "")
        found.setdefault("dm_permission", False)
        bits = found.get("default_member_permissions")
        found["default_member_permissions"] = None if bits is None else str(bits)
        for option in found.get("options", []):
            if option.get("required") is False:
                del option["required"]
        return found


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    found = Registry()

    def client() -> DiscordClient:
        return DiscordClient(
            "https://discord.test/api/v10",
            application_id=5,
            bot_token="a-bot-token",
            transport=httpx.MockTransport(found),
        )

    monkeypatch.setattr("guilds.management.commands.register_commands.from_settings", client)
    return found


def run(*args: str) -> str:
    out = io.StringIO()
    call_command("register_commands", *args, stdout=out)
    return out.getvalue()


def test_registers_once_and_then_finds_nothing_to_do(registry: Registry) -> None:
    assert "Registered 10 commands globally" in run()
    assert "up to date" in run()
    assert registry.puts == ["/api/v10/applications/5/commands"]


def test_a_changed_description_is_sent_again(registry: Registry) -> None:
    run()
    registry.commands[0]["description"] = "An older sentence"
    assert "changed  sparkle\n" in run()
    assert len(registry.puts) == 2


def test_a_dry_run_sends_nothing(registry: Registry) -> None:
    assert "nothing was changed" in run("--dry-run")
    assert registry.puts == []


def test_a_server_of_its_own_for_development(registry: Registry) -> None:
    run("--guild", "290926798626357999")
    assert registry.puts == ["/api/v10/applications/5/guilds/290926798626357999/commands"]


def test_a_refusal_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def client() -> DiscordClient:
        refuse = httpx.MockTransport(lambda _: httpx.Response(401, json={"message": "401: Unauthorized", "code": 0}))
        return DiscordClient("https://discord.test", application_id=5, bot_token="wrong", transport=refuse)

    monkeypatch.setattr("guilds.management.commands.register_commands.from_settings", client)
    with pytest.raises(CommandError, match="DISCORD_BOT_TOKEN"):
        run()


def test_equal_sets_compare_equal_whatever_discord_adds() -> None:
    given_back = [Registry._given_back(command) for command in all_commands()]
    assert normalized(given_back) == normalized(all_commands())
