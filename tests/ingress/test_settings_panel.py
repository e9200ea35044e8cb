"""`/sparkle-settings`: a moderator changes in Discord what the admin changes, under the same rules and audit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from discord_api.permissions import MANAGE_GUILD
from guilds import settings_changes
from guilds.features import FEATURES
from guilds.models import Guild, QuotaRule, SettingChange
from jobs import privacy
from tests.admin.conftest import discord_user, signed_in

from .conftest import message_text, payload

pytestmark = pytest.mark.django_db
Call = Callable[..., dict[str, Any]]
MODERATOR = int(payload("slash")["member"]["user"]["id"])


def manager(name: str = "slash") -> dict[str, Any]:
    return {"member": payload(name)["member"] | {"permissions": str(MANAGE_GUILD)}}


@pytest.fixture
def guild(make_guild: Callable[..., Guild]) -> Guild:
    return make_guild(allowed_channel_ids=[77], max_images=2)


@pytest.fixture
def choose(press: Call) -> Call:
    """Use a component of the panel as a moderator."""

    def choose_(guild: Guild, action: str, values: list[str] | None = None, **changes: Any) -> dict[str, Any]:
        return press(guild, f"g1:{action}", values=values, **(manager("component") | changes))

    return choose_


@pytest.fixture
def fill_in(send: Call, snowflake: Callable[[], int]) -> Call:
    """Submit the form of limits."""

    def fill_in_(server: Guild, action: str = "limits", **typed: str) -> dict[str, Any]:
        values = {"member": "", "guild": "", "max_images": "2", "max_steps": "50"} | typed
        body = payload("modal", id=str(snowflake()), guild_id=str(server.pk), **manager("modal"))
        inputs = [{"type": 4, "custom_id": name, "value": value} for name, value in values.items()]
        rows = [{"type": 1, "components": [each]} for each in inputs]
        body["data"] = {"custom_id": f"g1:{action}", "components": rows}
        return send(body)

    return fill_in_


def controls(callback: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the components of a message by their custom ids."""
    inside = [each for line in callback["data"]["components"] for each in line["components"]]
    return {each["custom_id"]: each for each in inside if "custom_id" in each}


def test_the_panel_shows_what_is_set(guild: Guild, slash: Call) -> None:
    shown = controls(slash(guild, "sparkle-settings", **manager()))
    assert shown["g1:channels"]["default_values"] == [{"id": "77", "type": "channel"}]
    assert shown["g1:roles"]["default_values"] == []
    assert [each["value"] for each in shown["g1:nsfw"]["options"] if each.get("default")] == ["never"]
    assert {"g1:enabled", "g1:more", "g1:limits_form", "g1:setup:0"} <= set(shown)


def test_a_choice_is_saved_and_shown(guild: Guild, choose: Call) -> None:
    answer = choose(guild, "channels", ["78", "79"])
    assert answer["type"] == 7
    assert [each["id"] for each in controls(answer)["g1:channels"]["default_values"]] == ["78", "79"]
    choose(guild, "roles", ["5"])
    choose(guild, "nsfw", ["spoiler"])
    choose(guild, "language", ["de"])
    choose(guild, "enabled")
    choose(guild, "private")
    guild.refresh_from_db()
    assert (guild.allowed_channel_ids, guild.allowed_role_ids, guild.nsfw_rule) == ([78, 79], [5], "spoiler")
    assert (guild.language, guild.enabled, guild.results_ephemeral) == ("de", False, True)
    choose(guild, "language", ["each"])
    choose(guild, "channels", [])
    guild.refresh_from_db()
    assert (guild.language, guild.allowed_channel_ids) == ("", [])


def test_limits_are_typed_in_a_form_that_shows_the_present_ones(guild: Guild, choose: Call, fill_in: Call) -> None:
    fill_in(guild, member="12", guild="400", max_images="3")
    assert settings_changes.read_daily_limit(guild.pk, "member") == 12
    assert settings_changes.read_daily_limit(guild.pk, "guild") == 400
    form = choose(guild, "limits_form")
    assert form["type"] == 9
    inputs = {line["components"][0]["custom_id"]: line["components"][0] for line in form["data"]["components"]}
    assert {name: each.get("value", "") for name, each in inputs.items()} == {
        "member": "12",
        "guild": "400",
        "max_images": "3",
        "max_steps": "50",
        "cooldown_s": "0",
    }
    fill_in(guild, member="", guild="300", cooldown_s="30")
    guild.refresh_from_db()
    assert guild.cooldown_s == 30
    assert settings_changes.read_daily_limit(guild.pk, "member") is None
    assert QuotaRule.objects.get(guild=guild).limit == 300


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"max_images": "9"}, "Images per request: enter a number from 1 to 4."),
        ({"max_images": "0"}, "enter a number from 1 to 4."),
        ({"max_steps": "many"}, "enter a whole number"),
        ({"member": "-5"}, "Limits: enter a whole number"),
        ({"member": "１２"}, "enter a whole number"),
        ({"max_steps": "5"}, "enter a number from 10 to 150."),
        ({"cooldown_s": "86401"}, "Seconds between a member's requests: enter a number from 0 to 86400."),
    ],
)
def test_wrong_numbers_are_refused_in_words_and_change_nothing(
    guild: Guild, fill_in: Call, typed: dict[str, str], said: str
) -> None:
    Guild.objects.filter(pk=guild.pk).update(default_steps=10)
    text = message_text(fill_in(guild, **typed))
    assert said in text
    assert "Nothing was changed." in text
    guild.refresh_from_db()
    assert (guild.max_images, guild.max_steps) == (2, 50)
    assert not QuotaRule.objects.exists()
    assert not SettingChange.objects.exists()


def test_the_second_page_shows_and_changes_what_the_first_has_no_room_for(guild: Guild, choose: Call) -> None:
    shown = controls(choose(guild, "more"))
    assert set(shown) == {
        "g1:features", "g1:mod_log", "g1:speed", "g1:patience", "g1:panel", "g1:private", "g1:over_quota"
    }  # fmt: skip
    features = shown["g1:features"]
    assert (features["min_values"], features["max_values"]) == (0, len(FEATURES))
    assert all(option["default"] for option in features["options"])
    answer = choose(guild, "features", [feature for feature in FEATURES if feature not in ("vary", "private")])
    off = [each["value"] for each in controls(answer)["g1:features"]["options"] if not each.get("default")]
    assert off == ["private", "vary"]
    choose(guild, "mod_log", ["99"])
    choose(guild, "speed", ["relaxed"])
    choose(guild, "patience", ["12"])
    fields = {field["name"]: field["value"] for field in choose(guild, "over_quota")["data"]["embeds"][0]["fields"]}
    assert (fields["Turned off"], fields["Mod log"]) == ("private requests, variations", "<#99>")
    assert (fields["Default speed"], fields["Longest relaxed wait"]) == ("Relaxed", "12 h")
    assert fields["Over a limit"] == "Becomes relaxed"
    assert set(controls(choose(guild, "panel"))) >= {"g1:channels", "g1:more"}
    assert SettingChange.objects.filter(guild=guild).count() == 5


@pytest.mark.parametrize(
    ("action", "values"),
    [
        ("nsfw", ["always"]),
        ("nsfw", []),
        ("language", ["xx"]),
        ("speed", ["fast"]),
        ("speed", []),
        ("patience", ["0"]),
        ("patience", ["25"]),
        ("patience", ["x"]),
    ],
)
def test_what_is_not_on_the_list_is_refused(guild: Guild, choose: Call, action: str, values: list[str]) -> None:
    before = Guild.objects.values().get(pk=guild.pk)
    choose(guild, action, values)
    assert Guild.objects.values().get(pk=guild.pk) == before


@pytest.mark.parametrize("action", ["", "nothing", "channels:99", "setup:x", "limits_form:zzz", "panel:1:2"])
def test_an_odd_component_breaks_nothing(guild: Guild, choose: Call, action: str) -> None:
    assert choose(guild, action, [])["type"] in (4, 7, 9)


@pytest.mark.parametrize("action", ["channels", "enabled", "limits_form", "finish"])
def test_a_member_without_the_right_changes_nothing(guild: Guild, press: Call, action: str) -> None:
    before = Guild.objects.values().get(pk=guild.pk)
    member = {"member": payload("component")["member"] | {"permissions": "0"}}
    assert "Manage Server" in message_text(press(guild, f"g1:{action}", values=["78"], **member))
    assert Guild.objects.values().get(pk=guild.pk) == before


def test_a_new_server_is_set_up_in_five_steps(
    make_guild: Callable[..., Guild], slash: Call, choose: Call, fill_in: Call
):
    guild = make_guild()
    first = slash(guild, "sparkle-settings", **manager())
    assert "1/5" in first["data"]["content"]
    assert set(controls(first)) == {"g1:channels:0", "g1:setup:1"}
    assert "1/5" in choose(guild, "channels:0", ["78"])["data"]["content"], "the step stays, to see what is chosen"
    assert "g1:roles:1" in controls(choose(guild, "setup:1"))
    assert "g1:limits_form:2" in controls(choose(guild, "setup:2"))
    assert "3/5" in fill_in(guild, "limits:2", member="20")["data"]["content"]
    assert "g1:nsfw:3" in controls(choose(guild, "setup:3"))
    assert "g1:language:4" in controls(choose(guild, "setup:4"))
    assert "ready" in choose(guild, "finish:5")["data"]["content"]
    guild.refresh_from_db()
    assert guild.set_up_at is not None
    assert guild.allowed_channel_ids == [78]
    assert "g1:channels" in controls(slash(guild, "sparkle-settings", **manager())), "the panel from now on"


def test_more_channels_than_a_select_holds_are_left_to_the_admin(make_guild: Callable[..., Guild], slash: Call) -> None:
    guild = make_guild(allowed_channel_ids=list(range(1, 31)))
    select = controls(slash(guild, "sparkle-settings", **manager()))["g1:channels"]
    assert select["disabled"]
    assert select["default_values"] == []


def test_the_audit_shows_who_changed_what_in_discord_and_no_later_change_repeats_it(
    guild: Guild, choose: Call, fill_in: Call
) -> None:
    operator = signed_in(discord_user(990, is_superuser=True, is_staff=True, first_name="Olivia"))
    page = f"/admin/guilds/guild/{guild.pk}/change/"
    form = operator.get(page).context["adminform"].form
    sent = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    sent = {name: value for name, value in sent.items() if value is not None and value is not False}
    sent |= {"allowed_sizes": "", "models_offered": [], "quota_rules-TOTAL_FORMS": 0, "quota_rules-INITIAL_FORMS": 0}
    assert operator.post(page, sent).status_code == 302
    choose(guild, "nsfw", ["spoiler"])
    fill_in(guild, member="12")
    assert operator.post(page, sent | {"nsfw_rule": "spoiler", "max_steps": 40}).status_code == 302
    audit = operator.get("/admin/audit/").text
    assert audit.count(">spoiler<") == 1
    assert "from Discord" in audit
    assert "Member images per day" in audit
    assert SettingChange.objects.filter(user_id=MODERATOR).count() == 2
    privacy.erase_member(MODERATOR, now=guild.installed_at)
    assert not SettingChange.objects.filter(user_id=MODERATOR).exists()


@pytest.mark.parametrize("locale", ["de", "fr", "es-ES", "ja", "pt-BR", "zh-CN"])
def test_the_panel_speaks_the_moderators_language(
    guild: Guild, make_guild: Callable[..., Guild], slash: Call, choose: Call, locale: str
) -> None:
    assert slash(guild, "sparkle-settings", locale=locale, **manager())["type"] == 4
    assert choose(guild, "more", locale=locale)["type"] == 7
    new = make_guild()
    for step in range(6):
        answer = choose(new, f"setup:{step}", locale=locale)
        assert answer["type"] == 7
        assert "Set up" not in answer["data"]["content"]
