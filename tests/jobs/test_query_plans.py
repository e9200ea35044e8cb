"""What admission reads stays an index look-up while the tables grow under a plan that is kept."""

import os
import runpy
from unittest.mock import patch

import psycopg
import pytest
from django.db import connection
from psycopg._queries import MAX_CACHED_STATEMENT_LENGTH, MAX_CACHED_STATEMENT_PARAMS
from psycopg.types.numeric import Int8

from guilds.quota_clock import QuotaClock
from jobs import admission_queries, fair_queue, submission
from jobs.models import Job
from jobs.named_queries import load

from .sql_statements import asked

pytestmark = pytest.mark.django_db(transaction=True)


def lambdas_options():
    """What the Lambda's connections are opened with."""
    needed = {"DATABASE_URL": "postgres://nobody@127.0.0.1:9/none", "DJANGO_SECRET_KEY": "tests only"}
    with patch.dict(os.environ, needed):
        settings = runpy.run_module("sparkle_site.settings.headless")
    return settings["DATABASES"]["default"]["OPTIONS"]["options"]


def connect(options=""):
    now = connection.settings_dict
    return psycopg.connect(
        host=now["HOST"] or None, port=now["PORT"] or None, user=now["USER"], password=now["PASSWORD"] or None,
        dbname=now["NAME"], options=options, autocommit=True,
    )  # fmt: skip


def parameters(guild, now):
    windows = QuotaClock(time_zone="UTC", held={}).windows(now)
    return {
        **fair_queue.backlog_parameters(guild_id=guild.pk, user_id=42, now=now),
        "now": now,
        "interaction": Int8(1),
        "style": "",
        "windows": list(windows),
        "starts": [window.start for window in windows.values()],
        "erased_user": Int8(-42),
        "guild_key": Int8(1),
        "month": now.date().replace(day=1),
    }


@pytest.fixture
def few(make_guild, make_ask, now, django_db_serialized_rollback):
    """So few requests that reading all is cheaper than any index, with statistics that say so; yields their guild."""
    guild = make_guild(concurrency=64, max_waiting=1000, max_waiting_per_member=1000)
    for _ in range(8):
        assert isinstance(submission.submit(make_ask(guild), now=now), submission.Accepted)
    with connect() as plain:
        # Rows of earlier tests that were rolled back would leave pages behind, and a large table is not scanned.
        plain.execute("VACUUM (FULL) jobs_job")
        plain.execute("ANALYZE")
    return guild


def plan(options, guild, now):
    with connect(options) as one:
        return "\n".join(
            row[0] for row in one.execute(f"EXPLAIN {admission_queries._facts_query()}", parameters(guild, now))
        )


def test_admission_scans_no_table_of_requests(few, now):
    assert "Seq Scan on jobs_job" in plan("", few, now), "a table this small tells nothing"
    found = plan(lambdas_options(), few, now)
    for table in (
        "jobs_job",
        "guilds_usage",
        "guilds_gpuledger",
        "guilds_quotarule",
        "guilds_blockedterm",
        "guilds_ban",
    ):
        assert f"Seq Scan on {table}" not in found, found
    assert "Bitmap" not in found, found


def test_old_counters_are_not_read(few, now):
    found = plan(lambdas_options(), few, now)
    (condition,) = [line for line in found.splitlines() if "Index Cond" in line and "subject_id" in line]
    assert all(column in condition for column in ("guild_id", "window", "starts_at")), found


def test_psycopg_keeps_the_statements_parsed(make_guild, make_ask, now, django_db_serialized_rollback):
    """Beyond these sizes it parses a statement again for each request, which costs a tenth of a millisecond."""
    guild = make_guild(concurrency=2)
    with asked() as statements:
        for _ in range(3):
            assert isinstance(submission.submit(make_ask(guild), now=now), submission.Accepted)
    named = [(sql, params) for sql, params in statements if isinstance(params, dict)]
    assert len(named) == 9, "the lock, the facts and the row"
    for sql, params in named:
        assert len(sql) <= MAX_CACHED_STATEMENT_LENGTH, sql
        assert len(params) <= MAX_CACHED_STATEMENT_PARAMS, sql


def test_ended_jobs_are_not_read_again(few, now):
    Job.objects.update(status="completed")
    with connect(lambdas_options()) as one:

        def pages():
            found = one.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {load('backlog')}", parameters(few, now))
            top = found.fetchone()[0][0]["Plan"]
            return top["Shared Hit Blocks"] + top["Shared Read Blocks"]

        first, second = pages(), pages()
    assert second < first
