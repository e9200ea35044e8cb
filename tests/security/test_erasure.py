"""The export is complete and erased data is nowhere: every table, the storage and the cache are searched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from guilds.models import Ban, BlockedTerm, QuotaRule, Staff, StylePreset, Usage
from jobs import moderation, reports, submission, transitions
from jobs.models import Job, JobImage, MemberTurn
from jobs.transitions import StoredImage
from sparkle_site import data_subject_requests
from tests.admin.conftest import signed_in

pytestmark = pytest.mark.django_db

MEMBER = 910_000_000_000_000_042
WORDS = {
    "prompt": "planted-prompt",
    "negative_prompt": "planted-negative",
    "member_name": "Planted Name",
}
EVERY_PLANT = (MEMBER, *WORDS.values(), "planted-display", "203.0.113.77")


def finished(guild: Any, make_ask: Any, **ask: Any) -> Job:
    now = timezone.now()
    job: Job = submission.submit(make_ask(guild, count=1, **ask), now=now).job
    assert transitions.claim(job.pk, worker_id="w1", now=now)
    key = default_storage.save(f"{guild.pk}/{job.pk}/p-0.png", ContentFile(b"image"))
    grid = default_storage.save(f"{guild.pk}/{job.pk}/grid.png", ContentFile(b"grid"))
    made = [StoredImage(index=0, key=key, seed=1, width=8, height=8, bytes=7)]
    assert transitions.record_images(job.pk, worker_id="w1", images=made, grid_key=grid, gpu_ms=1, now=now)
    assert transitions.complete(job.pk, worker_id="w1", delivered_via="original", message_id=1, now=now)
    return job


def tables() -> Iterator[tuple[str, list[str]]]:
    """Every table of the database, with every row as text."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            yield table, [row for (row,) in cursor.fetchall()]


def where(value: object) -> dict[str, int]:
    found = {table: sum(str(value) in row for row in rows) for table, rows in tables()}
    return {table: count for table, count in found.items() if count}


def files() -> str:
    root = Path(settings.STORAGES["default"]["OPTIONS"]["location"])
    return "\n".join(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def site(make_guild: Callable[..., Any], make_ask: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """A member with data of every kind, and another member whose data must stay."""
    guild = make_guild(name="Home", owner_id=MEMBER)
    own = finished(guild, make_ask, user_id=MEMBER, **WORDS)
    neighbour = finished(guild, make_ask, user_id=7, prompt="someone else's", member_name="Neighbour")
    submission.submit(make_ask(guild, user_id=MEMBER, **WORDS), now=timezone.now())
    # As a moderator: a term, a ban, a quota rule, reports and acts on the requests of others.
    user = User.objects.create(username=f"discord-{MEMBER}", first_name="planted-display")
    SocialAccount.objects.create(
        user=user, provider="discord", uid=str(MEMBER), extra_data={"global_name": "planted-display"}
    )
    Staff.objects.create(guild=guild, user_id=MEMBER, role="manager", synced_at=timezone.now())
    client = signed_in(user)
    reports.report(neighbour, by=MEMBER, now=timezone.now())
    moderation.blur([neighbour.images.get().pk], blurred=True, by=user.username, now=timezone.now())
    ban = Ban(guild=guild, user_id=8, reason="noise", created_by=user.username)
    ban._history_user = user
    ban.save()
    Ban.history.filter(id=ban.pk).update(history_address="203.0.113.77")
    lapsed = Ban.objects.create(guild=guild, user_id=MEMBER, reason="once", until=own.created_at)
    lapsed.delete()
    cache.set(f"image-{own.images.get().pk}-96", b"small")
    yield {"guild": guild, "own": own, "neighbour": neighbour, "client": client, "user": user, "ban": ban}
    cache.clear()


def test_the_search_finds_what_was_planted(site: dict[str, Any]) -> None:
    """Otherwise the other tests here would prove nothing."""
    held = where(MEMBER)
    assert {
        "jobs_job", "jobs_jobevent", "jobs_jobimage", "jobs_memberturn", "guilds_usage", "guilds_guild", "guilds_staff",
        "guilds_ban", "sparkle_audit_historicalguild", "sparkle_audit_historicalban", "auth_user",
        "socialaccount_socialaccount",
    } <= set(held)  # fmt: skip
    assert all(where(plant) for plant in EVERY_PLANT)
    assert f"{site['guild'].pk}/{site['own'].pk}/p-0.png" in files()


def test_the_export_holds_every_row_that_names_the_member(site: dict[str, Any]) -> None:
    records = list(data_subject_requests.export_member(MEMBER))
    text = json.dumps(records, ensure_ascii=False)
    for plant in (*WORDS.values(), "planted-display", "203.0.113.77", site["own"].images.get().key):
        assert plant in text
    assert "someone else's" not in text
    # One kind of record for each table that knows the member: a new table has to be thought of here.
    kinds = {
        "jobs_job": "request",
        "jobs_jobimage": "report",
        "jobs_memberturn": "turn",
        "guilds_usage": "usage",
        "guilds_guild": "owner",
        "guilds_staff": "staff",
        "auth_user": "account",
        "socialaccount_socialaccount": "account",
        "guilds_ban": "change of a setting",  # as who set it
        "sparkle_audit_historicalban": "change of a setting",
        "sparkle_audit_historicalguild": "owner",
        "jobs_jobevent": "request",
    }
    assert set(where(MEMBER)) <= set(kinds)
    assert {kinds[table] for table in where(MEMBER)} <= {record["type"] for record in records}
    [request] = [record for record in records if record.get("id") == site["own"].pk]
    assert [event["kind"] for event in request["events"]][-1] == "completed"


def test_erasing_a_member_leaves_nothing_in_any_table_or_in_storage(site: dict[str, Any]) -> None:
    own, neighbour = site["own"].pk, site["neighbour"].pk
    image = site["own"].images.get().pk
    assert data_subject_requests.erase_member(MEMBER, now=timezone.now()) == 2
    assert {str(plant): where(plant) for plant in EVERY_PLANT if where(plant)} == {}
    assert f"/{own}/" not in files()
    assert cache.get(f"image-{image}-96") is None
    assert not any(
        session.get_decoded().get("_auth_user_id") == str(site["user"].pk) for session in Session.objects.all()
    )
    # The member is signed out everywhere, and everyone else has what they had.
    assert site["client"].get("/data/").status_code in {302, 404}
    assert Job.objects.get().pk == neighbour
    assert f"/{neighbour}/" in files()
    assert Ban.objects.get().pk == site["ban"].pk
    assert JobImage.objects.get().reported_at is not None


def test_a_ban_in_force_outlives_the_erasure_with_its_history(site: dict[str, Any]) -> None:
    Ban.objects.create(guild=site["guild"], user_id=MEMBER, reason="still")
    data_subject_requests.erase_member(MEMBER, now=timezone.now())
    assert set(where(MEMBER)) == {"guilds_ban", "sparkle_audit_historicalban"}


def test_an_operator_who_erases_themselves_can_still_operate(site: dict[str, Any]) -> None:
    User.objects.filter(pk=site["user"].pk).update(is_staff=True, username="operator")
    data_subject_requests.erase_member(MEMBER, now=timezone.now())
    assert User.objects.filter(username="operator").exists()
    assert where(MEMBER) == {}


def test_erasing_a_guild_leaves_nothing_in_any_table_or_in_storage(
    site: dict[str, Any], make_guild: Callable[..., Any], make_ask: Callable[..., Any]
) -> None:
    guild, other = site["guild"], make_guild(name="Away")
    kept = finished(other, make_ask, user_id=7, prompt="elsewhere")
    QuotaRule.objects.create(guild=guild, subject="member", limit=5)
    BlockedTerm.objects.create(guild=guild, phrase="planted-term")
    StylePreset.objects.create(
        guild=guild, slug="s", name="planted-style", preview=ContentFile(b"preview", name="planted-preview.png")
    )
    guild.models_offered.set([site["own"].model])
    guild.name = "planted-guild"
    guild.save()
    assert where("planted-guild").keys() >= {"sparkle_audit_historicalguild"}
    data_subject_requests.erase_guild(guild.pk, now=timezone.now())
    plants = (guild.pk, "planted-guild", "planted-term", "planted-style", *WORDS.values())
    assert {str(plant): where(plant) for plant in plants if where(plant)} == {}
    assert str(guild.pk) not in files()
    assert "planted-preview" not in files()
    assert Job.objects.get().pk == kept.pk
    assert f"{other.pk}/{kept.pk}/p-0.png" in files()
    assert not Usage.objects.filter(guild_id=guild.pk).exists() | MemberTurn.objects.filter(guild_id=guild.pk).exists()


def test_a_member_erases_themselves_and_is_signed_out(site: dict[str, Any]) -> None:
    client: Client = site["client"]
    answer = client.post("/data/delete/", {"sure": "yes"})
    assert answer.status_code == 302
    assert where(MEMBER) == {}
    assert "_auth_user_id" not in client.session


def test_the_command_asks_for_a_yes(site: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match="--yes"):
        call_command("erase", guild=site["guild"].pk)
    assert Job.objects.count() == 3
    call_command("erase", "--yes", member=MEMBER)
    assert where(MEMBER) == {}
