"""Moderators choose channels, roles and members by name; no form asks for an id and no list shows one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from devtools.simulator import injected_faults, seed_data
from devtools.simulator.models import SimChannel, SimGuild, SimRole, SimUser
from discord_api.client import DiscordClient
from guilds import directory
from guilds.models import Ban, Channel, Guild, GuildMember, QuotaRule, Staff
from jobs import submission, upkeep
from sparkle_site import discord_client
from tests.simulator.in_process_transport import SiteTransport

from .conftest import MODERATOR_A, discord_user, signed_in

pytestmark = pytest.mark.django_db
SNOWFLAKE = re.compile(r">\s*[^<>]*\b\d{17,19}\b[^<>]*<")


@pytest.fixture
def discord(monkeypatch: pytest.MonkeyPatch) -> Iterator[DiscordClient]:
    """The site's client, pointed at the simulator in this process."""
    seed_data.make_servers(now=timezone.now())
    client = DiscordClient(
        "http://testserver/simulator/api/v10",
        application_id=settings.DISCORD_APPLICATION_ID,
        bot_token=settings.DISCORD_BOT_TOKEN,
        transport=SiteTransport(),
        attempts=1,
        sleep=lambda seconds: None,
    )
    monkeypatch.setattr(discord_client, "_client", lambda base, application_id: client)
    yield client
    client.close()


@pytest.fixture
def garden(discord: DiscordClient, make_guild: Callable[..., Any]) -> Guild:
    server = SimGuild.objects.get(name="Pixel Garden")
    community = SimChannel.objects.create(
        pk=server.pk + 290, guild=server, name="Community", kind=SimChannel.CATEGORY, position=9
    )
    SimChannel.objects.filter(guild=server, name="general").update(parent=community)
    guild: Guild = make_guild(id=server.pk, name=server.name)
    Staff.objects.create(guild=guild, user_id=MODERATOR_A, role="manager", synced_at=timezone.now())
    return guild


@pytest.fixture
def moderator(garden: Guild) -> Any:
    return signed_in(discord_user(MODERATOR_A, first_name="Milo"))


def channel_id(name: str) -> int:
    return SimChannel.objects.get(guild__name="Pixel Garden", name=name).pk


def page_of(guild: Guild) -> str:
    return f"/admin/guilds/guild/{guild.pk}/change/"


def settings_form(client: Any, guild: Guild, **changed: Any) -> dict[str, Any]:
    """Return what a browser would send from the settings page, with some fields changed."""
    form = client.get(page_of(guild)).context["adminform"].form
    sent = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    sent = {name: value for name, value in sent.items() if value is not None and value is not False}
    sent |= {"allowed_sizes": "", "models_offered": []}
    sent |= {f"quota_rules-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL")}
    return sent | changed


def test_channels_and_roles_are_offered_by_name_with_their_category(moderator, garden):
    page = moderator.get(page_of(garden)).text
    assert "#sparkle" in page
    assert "#general · Community" in page
    assert "Community (whole category)" in page
    assert "@Artist" in page
    assert not SNOWFLAKE.search(page)


def test_a_chosen_channel_is_saved(moderator, garden):
    chosen = [str(channel_id("general"))]
    assert (
        moderator.post(page_of(garden), settings_form(moderator, garden, allowed_channel_ids=chosen)).status_code == 302
    )
    garden.refresh_from_db()
    assert garden.allowed_channel_ids == [channel_id("general")]
    audit = moderator.get("/admin/audit/").text
    assert "#general · Community" in audit
    assert not SNOWFLAKE.search(audit)


def test_what_is_not_on_the_list_is_refused_in_words(moderator, garden):
    for wrong in ("123456789012345678", "general", "-1", "9" * 40):
        answer = moderator.post(page_of(garden), settings_form(moderator, garden, allowed_channel_ids=[wrong]))
        assert answer.status_code == 200
        assert "One of the channels is not on this server any more. Choose from the list." in answer.text
    garden.refresh_from_db()
    assert garden.allowed_channel_ids == []


def test_a_deleted_channel_says_so_and_stays_until_it_is_removed(moderator, garden):
    Guild.objects.filter(pk=garden.pk).update(allowed_channel_ids=[channel_id("general"), 987654321098765432])
    moderator.get(page_of(garden))
    SimChannel.objects.filter(name="general").delete()
    page = moderator.get(page_of(garden) + "?refresh=1").text
    assert "#general · Community (deleted)" in page
    assert "Deleted channel" in page
    assert "987654321098765432" not in re.sub(r'value="\d+"', "", page)


def test_the_form_works_with_the_last_known_names_while_discord_is_unavailable(moderator, garden):
    moderator.get(page_of(garden))
    injected_faults.plan("server_error", path="/channels", times=50)
    page = moderator.get(page_of(garden) + "?refresh=1").text
    assert "These are the last known names" in page
    assert "#sparkle" in page
    chosen = [str(channel_id("sparkle"))]
    assert (
        moderator.post(page_of(garden), settings_form(moderator, garden, allowed_channel_ids=chosen)).status_code == 302
    )


def test_a_page_does_not_ask_discord_again_within_ten_minutes(garden, discord):
    now = timezone.now()

    def names_at(moment):
        directory.refresh_if_old(garden.pk, discord, now=moment)
        return [each.name for each in directory.load(garden.pk).channels]

    names_at(now)
    SimChannel.objects.create(pk=garden.pk + 291, guild_id=garden.pk, name="new")
    assert "new" not in names_at(now)
    assert "new" in names_at(now + directory.FRESH_FOR)


def test_a_rule_for_a_role_is_made_by_the_roles_name(moderator, garden):
    artist = SimRole.objects.get(guild_id=garden.pk, name="Artist")
    rule = {"subject": "role", "role_id": str(artist.pk), "metric": "images", "window": "day", "limit": "9"}
    sent = settings_form(moderator, garden) | {f"quota_rules-0-{name}": value for name, value in rule.items()}
    sent["quota_rules-TOTAL_FORMS"] = 1
    without = sent | {"quota_rules-0-role_id": ""}
    assert "Choose the role that this rule is for." in moderator.post(page_of(garden), without).text
    without = sent | {"quota_rules-0-subject": "member", "quota_rules-0-limit": ""}
    assert "Only a role&#x27;s rule may be unlimited." in moderator.post(page_of(garden), without).text
    assert moderator.post(page_of(garden), sent).status_code == 302
    saved = QuotaRule.objects.get(guild=garden)
    assert (saved.role_id, saved.role_name) == (artist.pk, "Artist")


def test_a_member_is_found_and_banned_by_name(moderator, garden):
    found = moderator.get("/admin/members/", {"term": "yu"}).json()["results"]
    yuki = SimUser.objects.get(username="yuki")
    assert found == [{"id": str(yuki.pk), "text": "Yuki"}]
    sent = {"guild": garden.pk, "user_id": str(yuki.pk), "reason": "spam"}
    assert moderator.post("/admin/guilds/ban/add/", sent).status_code == 302
    listed = moderator.get("/admin/guilds/ban/").text
    assert "Yuki" in listed
    assert not SNOWFLAKE.search(listed)
    assert moderator.get("/admin/guilds/ban/", {"member": str(yuki.pk)}).text.count("Yuki") >= 2
    ban = Ban.objects.get()
    assert "Yuki" in moderator.get(f"/admin/guilds/ban/{ban.pk}/change/").text


@pytest.mark.parametrize("typed", ["Yuki", "123456789012345678", "-5", "1e9", "9" * 30])
def test_a_member_who_is_not_on_the_list_is_refused_in_words(moderator, garden, typed):
    answer = moderator.post("/admin/guilds/ban/add/", {"guild": garden.pk, "user_id": typed})
    assert "Choose a member from the list: type the start of their name and pick them." in answer.text
    assert not Ban.objects.exists()


def test_known_members_are_found_while_discord_is_unavailable(moderator, garden):
    moderator.get("/admin/members/", {"term": "yu"})
    injected_faults.plan("server_error", path="/members", times=50)
    assert [each["text"] for each in moderator.get("/admin/members/", {"term": "YU"}).json()["results"]] == ["Yuki"]


def test_no_name_of_another_servers_member_is_found_or_shown(moderator, garden, guild_b):
    GuildMember.objects.create(guild=guild_b, user_id=555555555555555555, name="Stranger")
    assert moderator.get("/admin/members/", {"term": "Str"}).json()["results"] == []
    assert "Stranger" not in moderator.get("/admin/guilds/ban/add/?user_id=555555555555555555").text
    answer = moderator.post("/admin/guilds/ban/add/", {"guild": garden.pk, "user_id": "555555555555555555"})
    assert "Choose a member from the list" in answer.text


def test_names_in_requests_are_remembered(garden, make_ask, now):
    submission.submit(make_ask(garden, user_id=4242, member_name="Dagny"), now=now)
    assert upkeep.remember_members(now=now) == 1
    assert upkeep.remember_members(now=now) == 0
    assert GuildMember.objects.get(guild=garden, user_id=4242).name == "Dagny"


def test_a_directory_of_another_servers_channel_changes_nothing_there(garden, guild_b, discord, now):
    Channel.objects.create(pk=channel_id("sparkle"), guild=guild_b, name="theirs", kind=0)
    assert directory.refresh(garden.pk, discord, now=now)
    assert Channel.objects.get(pk=channel_id("sparkle")).guild_id == guild_b.pk


def test_lists_of_operators_show_names(operator, moderator, garden):
    Staff.objects.filter(user_id=MODERATOR_A).update(synced_at=timezone.now())
    for address in ("/admin/guilds/staff/", "/admin/auth/user/", "/admin/guilds/guild/", "/admin/audit/"):
        page = operator.get(address).text
        assert not SNOWFLAKE.search(page), address
    assert "Milo" in operator.get("/admin/guilds/staff/").text
    assert "Milo" in operator.get("/admin/auth/user/").text
