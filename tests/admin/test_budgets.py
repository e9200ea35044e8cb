"""Each page runs a fixed number of statements, however many rows there are, and each uses an index."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from benchmarks import admin_pages as benchmark
from guilds.models import Staff
from jobs.models import Job

pytestmark = pytest.mark.django_db

# The maximum number of statements per page, including session, menu and badges.
BUDGETS = {
    "dashboard": 24,
    "dashboard, 90 days": 24,
    "dashboard of a moderator": 24,
    "requests": 14,
    "requests, failed": 14,
    "requests, one reason": 14,
    "requests, one server": 15,
    "requests, one member": 14,
    "requests, between times": 16,
    "requests, a rare word": 14,
    "requests, a rarer word": 14,
    "requests, a common word": 14,
    "requests, a number": 14,
    "requests of a moderator": 16,
    "request": 12,
    "server": 34,
    "images": 14,
}
JOBS = 2000


@pytest.fixture
def people():
    with connection.cursor() as cursor:
        # A busy machine may take long between two pages.
        cursor.execute("SET idle_in_transaction_session_timeout = 0")
        benchmark.fill(cursor, JOBS, guilds=1000)
    return benchmark.clients()


def test_every_page_keeps_its_budget_of_statements(people):
    spent = {}
    for page, (who, address) in benchmark.addresses(JOBS, first_id=Job.objects.earliest("pk").pk).items():
        Staff.objects.update(synced_at=timezone.now())
        people[who].get(address)
        with CaptureQueriesContext(connection) as captured:
            assert people[who].get(address).status_code == 200, page
        spent[page] = len(captured.captured_queries)
    assert {page: count for page, count in spent.items() if count > BUDGETS[page]} == {}, spent


def test_rollups_equal_the_rows(people):
    from django.db.models import Count, Sum

    from jobs import rollups
    from jobs.models import JobRollup, LatencyBucket

    now = timezone.now()
    rollups.refresh_rollups(now=now)
    counted = dict(JobRollup.objects.filter(guild=None).values_list("status").annotate(Sum("jobs")))
    assert counted == dict(Job.objects.filter(ended_at__isnull=False).values_list("status").annotate(Count("pk")))
    by_guild = dict(JobRollup.objects.exclude(guild=None).values_list("guild_id").annotate(Sum("jobs")))
    assert by_guild == dict(Job.objects.filter(ended_at__isnull=False).values_list("guild_id").annotate(Count("pk")))
    # A second refresh counts nothing twice and adds what ended since.
    rollups.refresh_rollups(now=now + timedelta(minutes=1))
    assert counted == dict(JobRollup.objects.filter(guild=None).values_list("status").annotate(Sum("jobs")))
    rows = LatencyBucket.objects.filter(kind="total").values_list("bucket").annotate(Sum("jobs"))
    median = rollups.quantile(list(rows), 0.5)
    assert median is not None
    assert 8 < median < 12.5, "every one took ten seconds"


def test_the_list_is_read_by_its_indexes(people):
    """The planner prefers a sequential scan for a small table. With that disabled, each filter uses an index."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    for page, (who, address) in benchmark.addresses(JOBS, first_id=Job.objects.earliest("pk").pk).items():
        if not page.startswith("requests"):
            continue
        Staff.objects.update(synced_at=timezone.now())
        with CaptureQueriesContext(connection) as captured:
            people[who].get(address)
        for query in captured.captured_queries:
            if re.match(r"SELECT .*FROM \"jobs_job\"", query["sql"], re.DOTALL):
                with connection.cursor() as cursor:
                    cursor.execute("EXPLAIN " + query["sql"].replace("%", "%%"), [])
                    plan = "\n".join(row[0] for row in cursor.fetchall())
                assert "Seq Scan on jobs_job" not in plan, (page, query["sql"][:200], plan)
