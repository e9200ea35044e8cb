"""A time that is typed is in the zone of the reader's browser, which the form names."""

from datetime import UTC, datetime

import pytest

from guilds.models import Ban, GuildMember

pytestmark = pytest.mark.django_db
ADD = "/admin/guilds/ban/add/"


@pytest.fixture
def emeka(guild_a):
    return GuildMember.objects.create(guild=guild_a, user_id=5, name="Emeka")


def typed(guild):
    return {"guild": guild.pk, "user_id": 5, "reason": "x", "until_0": "2030-07-01", "until_1": "12:00:00"}


@pytest.mark.parametrize(
    ("zone", "hour", "named"),
    [("Europe/Berlin", 10, "Europe/Berlin"), ("Asia/Tokyo", 3, "Asia/Tokyo"), ("", 12, "UTC"), ("../etc/x", 12, "UTC")],
)
def test_twelve_oclock_is_the_readers(moderator_a, guild_a, emeka, zone, hour, named):
    moderator_a.cookies["tz"] = zone
    assert f"in your time zone, {named}." in moderator_a.get(ADD).text
    assert moderator_a.post(ADD, typed(guild_a)).status_code == 302
    ban = Ban.objects.get()
    assert ban.until == datetime(2030, 7, 1, hour, tzinfo=UTC)
    page = moderator_a.get(f"/admin/guilds/ban/{ban.pk}/change/").text
    assert 'value="12:00:00"' in page, "the same time is shown again"


def test_a_wrong_time_is_an_error_on_the_page(moderator_a, guild_a, emeka):
    answer = moderator_a.post(ADD, typed(guild_a) | {"until_1": "25:99"})
    assert answer.status_code == 200
    assert not Ban.objects.exists()
