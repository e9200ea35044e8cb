"""The SQL files: each is described, and runs on the migrated database with exactly the parameters its caller passes."""

import re
from datetime import timedelta

import pytest

from jobs import admission_queries, fair_queue, moderation, relaxed_promotion, rollups, submission, transitions, upkeep
from jobs.models import Job
from jobs.named_queries import FOLDER, load

from .sql_statements import asked

NAMES = sorted(path.stem for path in FOLDER.iterdir())
COMPOSED = {"admission_facts": admission_queries._facts_query, "insert_job": admission_queries._insert_query}


@pytest.mark.parametrize("name", NAMES)
def test_each_query_is_described(name):
    first, *_ = (FOLDER / f"{name}.sql").read_text().splitlines()
    assert re.fullmatch(r"-- [A-Z].+", first)


@pytest.mark.django_db
def test_each_query_runs_with_the_parameters_its_caller_passes(make_guild, make_ask, now):
    guild = make_guild(concurrency=1, retention_days=1)
    with asked() as statements:
        job = submission.submit(make_ask(guild), now=now).job
        assert transitions.claim(job.pk, worker_id="w", now=now)
        assert transitions.complete(job.pk, worker_id="w", delivered_via="original", message_id=1, now=now)
        moderation.refund(job.pk, by="ada", now=now)
        running = submission.submit(make_ask(guild), now=now).job
        waiting = submission.submit(make_ask(guild), now=now).job
        submission.submit(make_ask(guild, loras="night"), now=now)
        fair_queue.load_position(waiting, now=now)
        fair_queue.read_demand(now=now)
        transitions.cancel(running.pk, by=1, now=now)
        relaxed_promotion.promote_relaxed(now=now, most=1)
        rollups.refresh_rollups(now=now)
        upkeep.resend_lost_messages(now=now + timedelta(hours=1))
        upkeep.learn_speed(now=now)
        upkeep.remember_members(now=now)
        upkeep.purge_images(now=now + timedelta(days=2))
    passed = {sql: params or {} for sql, params in statements}
    for name in NAMES:
        sql = COMPOSED.get(name, lambda name=name: load(name))()
        assert sql in passed, f"nothing here runs {name}.sql"
        assert set(re.findall(r"%\((\w+)\)s", sql)) == set(passed[sql]), name
    assert Job.objects.get(pk=waiting.pk).status == "queued"


def test_queries_are_loaded_without_comments_and_line_breaks():
    assert load("record_turn").startswith("INSERT INTO jobs_memberturn (guild_id, user_id, served_at) VALUES")
    assert "\n" not in load("overdue_jobs")
    assert "--" not in load("admission_facts")
