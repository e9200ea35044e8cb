"""The admin's pages with a long history behind them, against the same with a short one: at most three times slower.

Rows are made by SQL: 1,000 guilds and 10 thousand or (`full`) 10 million jobs with four events each, spread over ninety
days. Each page is requested with Django's test client, with the site's own settings; the database keeps
what it has read in memory, as the real one does.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from devtools.benchmark_result import Figure, Result

from . import services
from .svg_plots import bars

GUILDS = 1000
SHORT = 10_000
LONG = 300_000
FULL = 10_000_000
GOAL = 3.0
TIMES = 7
OPERATOR, MODERATOR = "operator", "moderator"

_ROWS = """
INSERT INTO guilds_guild (id, name, icon, installed_at, enabled, allowed_channel_ids, allowed_role_ids, concurrency,
  max_waiting, max_waiting_per_member, max_steps, allowed_sizes, max_images, default_negative_prompt,
  nsfw_rule, output_check, results_ephemeral, previews, language, time_zone, budget_warning_percent, retention_days,
  quota_clock)
SELECT 1100000000000000000 + g, 'Server ' || g, '', now(), true, '{}', '{}', 8, 200, 10, 50, '{}', 4, '',
  'never', 'off', false, false, '', 'UTC', 80, 90, '{}' FROM generate_series(1, %(guilds)s) g
ON CONFLICT DO NOTHING;
INSERT INTO guilds_quotarule (guild_id, subject, role_name, metric, "window", "limit")
SELECT id, 'guild', '', 'images', 'day', 400 FROM guilds_guild g
WHERE NOT EXISTS (SELECT FROM guilds_quotarule r WHERE r.guild_id = g.id);
INSERT INTO guilds_usage (guild_id, subject_id, "window", starts_at, images, gpu_ms, granted_images, granted_gpu_ms)
SELECT g.id, m, w, date_trunc(w, now(), 'UTC'), 40, 90000, 0, 0
FROM guilds_guild g, generate_series(0, 20) m, unnest(ARRAY['hour', 'day', 'month']) w ON CONFLICT DO NOTHING
"""
# A square makes some guilds and members busier than others. One prompt in a hundred has a "heron", one in a thousand
# an "egret".
_JOBS = """
INSERT INTO jobs_job (interaction_id, application_id, guild_id, channel_id, user_id, member_name, locale,
  encrypted_token, reply_deadline, attachment_size_limit, ephemeral, kind, source_url, prompt, negative_prompt, style,
  styled_prompt, seed, steps, sampler, width, height, guidance, count,
  model_id, spoiler, status, reason, detail, attempts,
  messages_sent, worker_id, progress_step, progress_total, created_at, queued_at, started_at, images_stored_at,
  ended_at, gpu_ms, grid_key, delivered_via, notified_at, reserved_images, reserved_gpu_ms, usage_ids, settled_at,
  erasure)
SELECT 1200000000000000000 + n, 1, 1100000000000000000 + 1 + (%(guilds)s * power(r.guild, 2))::bigint, 1,
  800000000000000000 + (20 * power(r.member, 2))::bigint, 'member', 'en-US', '', at, 1, false, 'txt2img', '',
  CASE WHEN n %% 1000 = 0 THEN 'an egret, ' ELSE '' END || CASE WHEN n %% 100 = 0 THEN 'a heron, ' ELSE '' END ||
    (ARRAY['a lighthouse', 'an old tree', 'a red fox', 'a teapot'])
    [1 + n %% 4] || ' at ' || (ARRAY['dusk', 'dawn', 'noon'])[1 + n %% 3] || ' ' || n,
  '', '', '', n, 16, 'k_lms', 512, 512, 7.5, 4, model.id, false, ended.status,
  CASE ended.status WHEN 'failed' THEN (ARRAY['worker_lost', 'out_of_memory'])[1 + n %% 2]
    WHEN 'refused' THEN 'quota_exceeded' ELSE '' END,
  '', 1, 1, 'w', 16, 16, at, at, at + interval '2 seconds', at + interval '9 seconds', at + interval '10 seconds',
  6500, 'g', 'original', at + interval '10 seconds', 4, 6500, '{}', at + interval '10 seconds', ''
FROM generate_series(%(first)s, %(last)s) n,
  LATERAL (SELECT now() - interval '90 days' * (1 - n::float / %(total)s) - interval '1 minute' AS at) t,
  LATERAL (SELECT random() * (1 - 1e-9) + n * 0 AS guild, random() + n * 0 AS member, random() + n * 0 AS fate) r,
  LATERAL (SELECT CASE WHEN r.fate < .9 THEN 'completed' WHEN r.fate < .93 THEN 'failed'
             WHEN r.fate < .97 THEN 'refused' WHEN r.fate < .99 THEN 'cancelled' ELSE 'expired' END AS status) ended,
  (SELECT id FROM guilds_modelprofile WHERE is_default) model
"""
_EVENTS = """
INSERT INTO jobs_jobevent (job_id, at, kind, old_status, detail)
SELECT id, created_at + interval '2 seconds' * k, (ARRAY['waiting', 'queued', 'running', 'completed'])[k + 1], '', '{}'
FROM jobs_job, generate_series(0, 3) k WHERE id BETWEEN %(first)s AND %(last)s;
INSERT INTO jobs_jobimage (job_id, index, key, seed, width, height, bytes, blurred, created_at)
SELECT id, 0, 'no-such-key', seed, 512, 512, 9, false, created_at FROM jobs_job
WHERE id BETWEEN %(first)s AND %(last)s AND status = 'completed'
"""
AT_ONCE = 500_000


def run(*, full: bool = False) -> Result:
    """Measure. `full` makes ten million jobs, which takes half an hour and 20 GB.

    Both histories are measured in turns, page by page, so that other load slows both equally.
    BENCH_ADMIN_DATABASE_URL names a database with the long history, made before or to be made and kept.
    """
    long = FULL if full else int(os.environ.get("BENCH_ADMIN_JOBS", LONG))
    measured: dict[int, dict[str, dict[str, Any]]] = {SHORT: {}, long: {}}
    with ExitStack() as stack:
        asked = {total: stack.enter_context(_site(total)) for total in measured}
        for page in [*addresses(long), *COUNTED]:
            found: dict[int, list[dict[str, Any]]] = {total: [] for total in measured}
            for _ in range(1 if page in COUNTED else TIMES):
                for total, site in asked.items():
                    site.send(page)
                    found[total].append(site.recv())
            for total, each in found.items():
                measured[total][page] = _summary(each)
                print(f"{total:>10,} {page:<28} {measured[total][page]['median_ms']:9.1f} ms", flush=True)
    figures = []
    for page, times in measured[long].items():
        if page not in COUNTED:
            goal = None if page == UNFILLED else GOAL
            ratio = times["median_ms"] / measured[SHORT][page]["median_ms"]
            figures.append(Figure(name=f"{page}, against 10,000 jobs", value=round(ratio, 2), unit="x", goal=goal))
            figures.append(Figure(name=f"{page}, statements", value=times["statements"], unit=""))
        figures.append(Figure(name=f"{page}, median", value=round(times["median_ms"], 1), unit="ms"))
    return Result(
        figures=tuple(figures),
        detail={"guilds": GUILDS, "measured": measured},
        plots={"admin": _plot(measured)},
    )


def _plot(measured: dict[int, dict[str, dict[str, Any]]]) -> str:
    pages = [page for page in next(iter(measured.values())) if page not in COUNTED]
    return bars(
        "Each page's median time, ms",
        pages,
        {f"{total:,} requests": [times[page]["median_ms"] for page in pages] for total, times in measured.items()},
    )


def _summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    times = [each["ms"] for each in found]
    # The first one fills caches.
    return found[-1] | {"ms": times, "median_ms": statistics.median(times[1:] or times), "worst_ms": max(times)}


@contextmanager
def _site(total: int) -> Iterator[Connection]:
    """A separate process, because Django is set up once per process. It answers how long a page took."""
    context = get_context("spawn")
    kept = os.environ.get("BENCH_ADMIN_DATABASE_URL") if total != SHORT else None
    with ExitStack() as stack:
        # Ours, not the child's: however the child ends, its gigabytes go.
        url = kept or stack.enter_context(services.database()).url
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, url, total), daemon=True)
        process.start()
        theirs.close()
        try:
            ours.recv()
            yield ours
        finally:
            process.terminate()
            process.join(10)


def _serve(asked: Connection, url: str, total: int) -> None:
    os.environ |= services.KEY_SETTINGS | {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.test",
        "LOG_LEVEL": "ERROR",
    }
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from jobs.models import Job

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        if not Job.objects.exists():
            began = time.perf_counter()
            with in_haste(cursor):
                fill(cursor, total)
            analyze(cursor)
            print(f"{total:>10,} jobs made in {time.perf_counter() - began:.0f} s", flush=True)
    counted = _count()
    people = clients()
    asked.send("ready")
    while True:
        page = asked.recv()
        if page in COUNTED:
            asked.send(counted if page == COUNTED[0] else _count())
        else:
            asked.send(_ask(people, *addresses(total)[page]))


@contextmanager
def in_haste(cursor: Any) -> Iterator[None]:
    """Rows come without the care for power cuts and foreign keys, and their indexes after them: hours become minutes.

    Only for a database that is thrown away.
    """
    for setting in ("fsync = off", "full_page_writes = off", "max_wal_size = '16GB'", "checkpoint_timeout = '1h'"):
        cursor.execute(f"ALTER SYSTEM SET {setting}")
    cursor.execute("SELECT pg_reload_conf(); SET synchronous_commit = off; SET maintenance_work_mem = '1GB'")
    cursor.execute("SET session_replication_role = replica")
    cursor.execute(_PLAIN_INDEXES, {"tables": list(MANY)})
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f'DROP INDEX "{name}"')
    yield
    for _, definition in indexes:
        cursor.execute(definition)
    cursor.execute("SET session_replication_role = origin; CHECKPOINT")


MANY = ("jobs_job", "jobs_jobevent", "jobs_jobimage")
# Those that no constraint stands on.
_PLAIN_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%(tables)s) AND schemaname = 'public'
AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""


def fill(cursor: Any, total: int, *, guilds: int = GUILDS) -> None:
    """Make the rows; the tests make a few with it, too."""
    cursor.execute(_ROWS, {"guilds": guilds})
    for first in range(1, total + 1, AT_ONCE):
        part = {"guilds": guilds - 1, "first": first, "last": min(first + AT_ONCE - 1, total), "total": total}
        cursor.execute(_JOBS, part)
        ids = {"first": first, "last": part["last"]}
        cursor.execute(_EVENTS, ids)
    analyze(cursor)


def analyze(cursor: Any) -> None:
    """Tell the planner about the rows, as autovacuum does: about an index's words only once there is the index."""
    for table in ("jobs_job", "jobs_jobevent", "jobs_jobimage", "guilds_usage", "guilds_guild", "guilds_quotarule"):
        cursor.execute(f"ANALYZE {table}")


def clients() -> dict[str, Any]:
    """An operator, and the moderator of the busiest guild."""
    from allauth.socialaccount.models import SocialAccount
    from django.contrib.auth.models import User
    from django.test import Client
    from django.utils import timezone

    from guilds.models import Staff

    backend = "allauth.account.auth_backends.AuthenticationBackend"
    found = {}
    operator, _ = User.objects.get_or_create(username=OPERATOR, is_superuser=True, is_staff=True)
    moderator, _ = User.objects.get_or_create(username=MODERATOR)
    SocialAccount.objects.get_or_create(user=moderator, provider="discord", uid="5")
    fresh = {"role": "owner", "synced_at": timezone.now()}
    Staff.objects.update_or_create(guild_id=1100000000000000001, user_id=5, defaults=fresh)
    for name, user in ((OPERATOR, operator), (MODERATOR, moderator)):
        found[name] = Client()
        found[name].force_login(user, backend=backend)
    return found


def addresses(total: int, *, first_id: int = 1) -> dict[str, tuple[str, str]]:
    """The pages that are timed: who asks, and for what. `first_id`: of the requests that were made."""
    middle = first_id + total // 2
    jobs = "/admin/jobs/job/"
    old = datetime.now(UTC) - timedelta(days=60)
    week = f"created_at_from_0={old:%Y-%m-%d}&created_at_to_0={old + timedelta(days=7):%Y-%m-%d}"
    return {
        "dashboard": (OPERATOR, "/admin/?range=7d"),
        "dashboard, 90 days": (OPERATOR, "/admin/?range=90d"),
        "dashboard of a moderator": (MODERATOR, "/admin/?range=30d"),
        "requests": (OPERATOR, jobs),
        "requests, failed": (OPERATOR, f"{jobs}?status__exact=failed"),
        "requests, one reason": (OPERATOR, f"{jobs}?reason=out_of_memory"),
        # The busiest: its rows fill a page in both histories.
        "requests, one server": (OPERATOR, f"{jobs}?guild__id__exact=1100000000000000001"),
        "requests, one member": (OPERATOR, f"{jobs}?member=800000000000000003"),
        "requests, between times": (OPERATOR, f"{jobs}?{week}"),
        "requests, a rare word": (OPERATOR, f"{jobs}?q=heron"),
        UNFILLED: (OPERATOR, f"{jobs}?q=egret"),
        "requests, a common word": (OPERATOR, f"{jobs}?q=lighthouse"),
        "requests, a number": (OPERATOR, f"{jobs}?q={middle}"),
        "requests of a moderator": (MODERATOR, jobs),
        "request": (OPERATOR, f"{jobs}{middle}/change/"),
        "server": (OPERATOR, "/admin/guilds/guild/1100000000000000500/change/"),
        "images": (OPERATOR, "/admin/jobs/jobimage/"),
    }


# Ten rows in the short history against a page of fifty in the long one: not the same work, so no goal.
UNFILLED = "requests, a rarer word"
COUNTED = ("counting everything again", "counting the last hours")


def _count() -> dict[str, Any]:
    from django.utils import timezone

    from jobs import rollups

    began = time.perf_counter()
    rollups.refresh_rollups(now=timezone.now())
    return {"ms": 1000 * (time.perf_counter() - began)}


def _ask(people: dict[str, Any], who: str, address: str) -> dict[str, Any]:
    """Milliseconds that a page took, and what it asked of the database."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from guilds.models import Staff

    Staff.objects.update(synced_at=timezone.now())
    with CaptureQueriesContext(connection) as captured:
        began = time.perf_counter()
        answer = people[who].get(address)
        took = time.perf_counter() - began
        assert answer.status_code == 200, (address, answer.status_code)
    queries = list(captured.captured_queries)
    slowest = max(queries, key=lambda query: float(query["time"]))
    return {
        "ms": 1000 * took,
        "statements": len(queries),
        "database_ms": 1000 * sum(float(query["time"]) for query in queries),
        "slowest_ms": 1000 * float(slowest["time"]),
        "slowest": slowest["sql"][:300],
    }
