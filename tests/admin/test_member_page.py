"""A member's page shows what they used and what was decided, and changes both."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from guilds.models import Ban, GuildMember, MemberNote, QuotaRule, Usage
from guilds.policy import Refusal
from jobs import submission

pytestmark = pytest.mark.django_db
DAGNY = 4242


@pytest.fixture
def dagny(guild_a, make_ask) -> str:
    """A member with a limit of three images a day who used two of them; the address of their page."""
    QuotaRule.objects.create(guild=guild_a, subject="member", metric="images", window="day", limit=3)
    ask = make_ask(guild_a, user_id=DAGNY, member_name="Dagny", count=2, prompt="a red fox")
    submission.submit(ask, now=timezone.now())
    return f"/admin/members/{guild_a.pk}/{DAGNY}/"


def act(client: Any, address: str, action: str, **fields: Any) -> str:
    assert client.post(address, {"action": action} | fields).status_code == 302
    return client.get(address).text


def test_the_page_shows_name_limits_and_requests(moderator_a, dagny):
    page = moderator_a.get(dagny).text
    for seen in ("Dagny", "2 of 3 images", "a red fox", "No warnings, bans or notes."):
        assert seen in page, seen


def test_a_grant_and_a_reset_raise_what_is_left(moderator_a, guild_a, dagny, make_ask):
    ask = {"user_id": DAGNY, "count": 4}
    assert isinstance(submission.submit(make_ask(guild_a, **ask), now=timezone.now()), Refusal)
    assert "2 of 8 images" in act(moderator_a, dagny, "grant", window="day", amount=5)
    assert not isinstance(submission.submit(make_ask(guild_a, **ask), now=timezone.now()), Refusal)
    assert "6 of 9 images" in act(moderator_a, dagny, "reset", window="day")
    listed = moderator_a.get("/admin/guilds/usage/").text
    assert "6 of 9" in listed
    assert f"/admin/members/{guild_a.pk}/{DAGNY}/" in listed
    assert "Granted 5 images more today" in moderator_a.get("/admin/audit/").text


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0", "Enter at least 1."),
        ("many", "Enter a whole number."),
        ("", "Enter how many"),
        ("1000000", "at most 100,000"),
    ],
)
def test_a_wrong_grant_is_refused_in_words(moderator_a, dagny, amount, said):
    assert said in act(moderator_a, dagny, "grant", window="day", amount=amount)
    assert not Usage.objects.exclude(granted_images=0).exists()


def test_a_ban_is_set_and_lifted(moderator_a, dagny):
    assert "is banned" in act(moderator_a, dagny, "ban", text="spam")
    assert Ban.objects.get().reason == "spam"
    page = act(moderator_a, dagny, "unban")
    assert not Ban.objects.exists()
    assert "can use Sparkle again" in page


def test_notes_are_kept_with_their_author(moderator_a, dagny):
    assert "Write the note first." in act(moderator_a, dagny, "note", text=" ")
    assert "<b>asked" not in act(moderator_a, dagny, "note", text="<b>asked twice")
    assert MemberNote.objects.get().text == "<b>asked twice"


def test_no_member_of_another_server_and_no_unknown_one_has_a_page(moderator_a, guild_a, guild_b, dagny):
    GuildMember.objects.create(guild=guild_b, user_id=5, name="Stranger")
    for address in (f"/admin/members/{guild_b.pk}/5/", f"/admin/members/{guild_a.pk}/5/", f"/admin/members/1/{DAGNY}/"):
        assert moderator_a.get(address).status_code == 404
        assert moderator_a.post(address, {"action": "ban"}).status_code == 404
    assert moderator_a.get(f"/admin/members/{guild_a.pk}/{'9' * 30}/").status_code == 404
    assert not Ban.objects.exists()


def test_observers_see_the_page_and_change_nothing(observer, dagny):
    assert "Dagny" in observer.get(dagny).text
    assert observer.post(dagny, {"action": "ban"}).status_code == 403
    assert not Ban.objects.exists()
