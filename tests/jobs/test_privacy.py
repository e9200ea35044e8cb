from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection

from jobs import privacy, submission, transitions
from jobs.models import Job
from jobs.transitions import StoredImage

pytestmark = pytest.mark.django_db


def finished(guild, make_ask, now, **ask):
    job = submission.submit(make_ask(guild, **ask), now=now).job
    transitions.claim(job.pk, worker_id="w1", now=now)
    key = default_storage.save(f"{guild.pk}/{job.pk}/p-0.png", ContentFile(b"image"))
    grid = default_storage.save(f"{guild.pk}/{job.pk}/grid.png", ContentFile(b"grid"))
    made = [StoredImage(index=0, key=key, seed=1, width=8, height=8, bytes=7)]
    transitions.record_images(job.pk, worker_id="w1", images=made, grid_key=grid, gpu_ms=1, now=now)
    transitions.complete(job.pk, worker_id="w1", delivered_via="original", message_id=1, now=now)
    return job


def rows_naming(value):
    """Every table, every column as text: who still holds the value?"""
    with connection.cursor() as cursor:
        tables = [t for t in connection.introspection.table_names(cursor) if t.startswith(("guilds_", "jobs_"))]
        found = {}
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', [f"%{value}%"])
            if count := cursor.fetchone()[0]:
                found[table] = count
    return found


def test_exports_what_is_kept_of_one_member_and_of_nobody_else(make_guild, make_ask, now):
    guild = make_guild()
    finished(guild, make_ask, now, user_id=4242, prompt="my own castle")
    finished(guild, make_ask, now, user_id=4343, prompt="another's castle")
    records = list(privacy.export_member(4242))
    assert [record["prompt"] for record in records if record["type"] == "request"] == ["my own castle"]
    assert {record["type"] for record in records} == {"request", "usage", "turn"}


def test_erasing_a_member_leaves_nothing_behind(make_guild, make_ask, now, snowflake):
    guild, member = make_guild(concurrency=1), snowflake()
    finished(guild, make_ask, now, user_id=member, prompt="a-planted-prompt", member_name="Planted Name")
    kept = finished(guild, make_ask, now, user_id=7, prompt="someone else")
    submission.submit(make_ask(guild, user_id=member, prompt="a-planted-prompt waiting"), now=now)
    assert privacy.erase_member(member, now=now) == 2
    assert rows_naming(member) == rows_naming("a-planted-prompt") == rows_naming("Planted Name") == {}
    assert Job.objects.get().pk == kept.pk
    assert default_storage.exists(f"{guild.pk}/{kept.pk}/p-0.png")
    assert not any(Path(settings.STORAGES["default"]["OPTIONS"]["location"]).glob(f"{guild.pk}/{kept.pk - 1}/*.png"))


def test_erasing_a_guild_leaves_nothing_behind(make_guild, make_ask, now):
    guild, other = make_guild(), make_guild()
    finished(guild, make_ask, now)
    finished(other, make_ask, now)
    submission.submit(make_ask(guild), now=now)
    privacy.erase_guild(guild.pk, now=now)
    assert rows_naming(guild.pk) == {}
    assert Job.objects.filter(guild=other).count() == 1
