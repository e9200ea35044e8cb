"""One run of upkeep with a long history of requests, compared with a short one.

Rows are made by SQL: 10,000 servers, and requests at the same rate for 43 hours (the short history) or for up to ninety
days. Nearly all have ended, and are purged or not yet due. On top come the rows that are due in one minute, the same in
both histories. PostgreSQL is real and durable while it is measured; Discord is a local server that accepts everything.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from devtools.benchmark_result import Figure, Result

from . import admin_pages, services
from .svg_plots import bars

if TYPE_CHECKING:
    from discord_api.client import DiscordClient
    from jobs.upkeep_tasks.task import UpkeepTask

GUILDS = 10_000
FIRST_GUILD = 1100000000000000000
SHORT = 200_000
LONG = 1_000_000
FULL = 10_000_000
PER_DAY = FULL / 90
MINUTE_S = 10.0
# A part looks at the clock between rows, so the last row may end a little later.
LAST_ROW_S = 0.25
# A longer history may make an index one level deeper: four blocks a look-up instead of three.
DEEPER = 1.5
FEW_BLOCKS = 50
AT_ONCE = 500_000
SAMPLE = 1

# What is due in the minute that is measured, and what is open beside it and not due.
_ENDED = {"status": "'completed'", "ended_at": "at", "notified_at": "at", "settled_at": "at", "encrypted_token": "''"}
_OPEN = {"ended_at": "NULL", "notified_at": "NULL", "settled_at": "NULL", "encrypted_token": "''"}
_LATELY = "%(now)s - interval '5 minutes'"
DUE: dict[str, tuple[int, dict[str, str]]] = {
    "to purge": (500, _ENDED | {"created_at": "%(now)s - interval '91 days'"}),
    "tokens to wipe": (2000, _ENDED | {"encrypted_token": "sample.encrypted_token", "reply_deadline": _LATELY}),
    "tokens alive": (1000, _ENDED | {"encrypted_token": "sample.encrypted_token"}),
    "lost messages": (
        500,
        _OPEN | {"status": "'queued'", "queued_at": "at", "message_sent_at": "at", "messages_sent": "1"},
    ),
    "queued": (
        1000,
        _OPEN | {"status": "'queued'", "queued_at": "at", "message_sent_at": "%(now)s", "messages_sent": "1"},
    ),
    "waiting": (5000, _OPEN | {"status": "'waiting'"}),
    "expired": (50, _OPEN | {"status": "'waiting'", "created_at": "%(now)s - interval '7 hours'"}),
    "dead leases": (50, _OPEN | {"status": "'running'", "attempts": "1", "lease_expires_at": _LATELY}),
    "running": (
        100,
        _OPEN | {"status": "'running'", "attempts": "1", "lease_expires_at": "%(now)s + interval '1 day'"},
    ),
    "unsaid ends": (200, _ENDED | {"status": "'failed'", "ended_at": _LATELY, "notified_at": "NULL"}),
    "erasures": (50, _ENDED | {"erasure": "'words'"}),
    "replies to note": (
        50,
        _OPEN
        | {
            "status": "'waiting'",
            "encrypted_token": "sample.encrypted_token",
            "message_id": "NULL",
            "reply_deadline": "%(now)s + interval '4 minutes'",
        },
    ),
}
OLD_COUNTERS = 6000

# Half of the servers keep their requests for a day, and half for ninety.
_AT = "%(now)s - make_interval(secs => (%(total)s - n + 1) * 86400.0 / %(per_day)s)"
_HISTORY = {
    "id": "n",
    "interaction_id": "1200000000000000000 + n",
    "status": "CASE WHEN n %% 10 = 0 THEN 'failed' ELSE 'completed' END",
    "reason": "CASE WHEN n %% 10 = 0 THEN 'out_of_memory' ELSE '' END",
    "encrypted_token": "''",
    "reply_deadline": "at + interval '15 minutes'",
    "created_at": "at",
    "queued_at": "at",
    "started_at": "at + interval '2 seconds'",
    "ended_at": "at + interval '10 seconds'",
    "notified_at": "at + interval '10 seconds'",
    "settled_at": "at + interval '10 seconds'",
    "prompt": "CASE WHEN at < %(now)s - make_interval(days => CASE WHEN place %% 2 = 0 THEN 90 ELSE 1 END) THEN ''"
    " ELSE 'an old tree at dusk ' || n END",
}
_IMAGES = """
INSERT INTO jobs_jobimage (job_id, index, key, seed, width, height, bytes, blurred, created_at)
SELECT id, 0, 'no-such-key', seed, 512, 512, 9, false, created_at FROM jobs_job
WHERE id BETWEEN %(first)s AND %(last)s AND status = 'completed'
"""
_COUNTERS = """
INSERT INTO guilds_usage (guild_id, subject_id, "window", starts_at, images, gpu_ms, granted_images, granted_gpu_ms)
SELECT %(first_guild)s + place, member, w, date_trunc(w, %(now)s, 'UTC'), 40, 90000, 0, 0
FROM generate_series(0, %(guilds)s - 1) place, generate_series(0, 9) member, unnest(ARRAY['hour', 'day', 'month']) w
"""
_OLD_COUNTERS = """
INSERT INTO guilds_usage (guild_id, subject_id, "window", starts_at, images, gpu_ms, granted_images, granted_gpu_ms)
SELECT %(first_guild)s + n %% %(guilds)s, 11, 'hour', %(now)s - interval '9 days' - n * interval '1 second', 1, 1, 0, 0
FROM generate_series(1, %(count)s) n
"""


def run(*, full: bool = False) -> Result:
    """Measure. `full` makes ten million requests; BENCH_UPKEEP_JOBS sets another length of the long history."""
    total = FULL if full else int(os.environ.get("BENCH_UPKEEP_JOBS", LONG))
    if total <= SHORT:
        raise SystemExit(f"BENCH_UPKEEP_JOBS: more than {SHORT:,}, to be compared with that many")
    with services.database() as database:
        os.environ |= services.KEY_SETTINGS | {
            "DATABASE_URL": database.url,
            "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.test",
            "LOG_LEVEL": "ERROR",
        }
        import django

        django.setup()
        from django.utils import timezone

        now = timezone.now()
        if now.minute % 15 == 0:
            # What is read from Discord each quarter of an hour has no history.
            now -= timedelta(minutes=1)
        measured = {}
        with _discord() as client:
            _make_servers(now)
            # The newest first, so that the longer history is the shorter one with older requests behind it.
            _make_history(total - SHORT + 1, total, total=total, now=now)
            measured[SHORT] = _measure(client, now=now)
            _make_history(1, total - SHORT, total=total, now=now)
            measured[total] = _measure(client, now=now)
    return Result(
        figures=tuple(_figures(measured[SHORT], measured[total], total=total)),
        detail={
            "guilds": GUILDS,
            "due": {name: count for name, (count, _) in DUE.items()} | {"old counters": OLD_COUNTERS},
            "measured": measured,
        },
        plots={"upkeep": _plot(measured)},
    )


def _figures(short: dict[str, Any], long: dict[str, Any], *, total: int) -> Iterator[Figure]:
    from jobs.upkeep import TASKS

    yield Figure(name=f"a minute, {SHORT:,} requests", value=short["minute_s"], unit="s", goal=MINUTE_S)
    yield Figure(name=f"a minute, {total:,} requests", value=long["minute_s"], unit="s", goal=MINUTE_S)
    yield Figure(name="parts that failed", value=len(long["failed"] + short["failed"]), unit="", goal=0)
    for part in TASKS:
        of = long["parts"][part.name]
        before = short["parts"][part.name]
        yield Figure(name=f"{part.name}", value=of["seconds"], unit="s", goal=part.budget_s + LAST_ROW_S)
        yield Figure(name=f"{part.name}, rows changed", value=of["changed"], unit="")
        yield Figure(name=f"{part.name}, blocks read by its largest query", value=of["reads"], unit="")
        growth = (of["reads"] + FEW_BLOCKS) / (before["reads"] + FEW_BLOCKS)
        name = f"{part.name}, blocks against {SHORT:,} requests"
        yield Figure(name=name, value=round(growth, 2), unit="x", goal=DEEPER)


def _plot(measured: dict[int, dict[str, Any]]) -> str:
    names = list(measured[SHORT]["parts"])
    return bars(
        "Blocks read by each part's largest query",
        names,
        {f"{total:,} requests": [found["parts"][name]["reads"] for name in names] for total, found in measured.items()},
    )


def _measure(client: DiscordClient, *, now: datetime) -> dict[str, Any]:
    """Explain every part, run a whole minute, then each part by itself, with the same rows due each time."""
    from jobs import upkeep

    _make_due(now)
    explained = {part.name: _explain(part, client, now=now) for part in upkeep.TASKS}
    began = time.perf_counter()
    report = upkeep.run(now=now, client=client)
    minute_s = time.perf_counter() - began
    _make_due(now)
    parts = {}
    for part in upkeep.TASKS:
        began = time.perf_counter()
        changed = part(now=now, client=client)
        seconds = time.perf_counter() - began
        parts[part.name] = {"seconds": round(seconds, 3), "changed": changed, **explained[part.name]}
        print(f"{part.name:<22} {seconds:7.3f} s {changed:6} rows {explained[part.name]['reads']:8} blocks", flush=True)
    print(f"{'a whole minute':<22} {minute_s:7.3f} s", flush=True)
    return {
        "minute_s": round(minute_s, 3),
        "seconds": report.seconds,
        "changed": report.changed,
        "failed": [*report.failed],
        "unfinished": [*report.unfinished],
        "parts": parts,
    }


def _explain(part: UpkeepTask, client: DiscordClient, *, now: datetime) -> dict[str, Any]:
    """Run the part in a transaction that is rolled back; return the query that reads most, and the blocks it reads.

    Each distinct statement is explained the first time that it comes.
    """
    from django.db import connection, transaction

    found: dict[str, int] = {}
    busy = False

    def explained(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        nonlocal busy
        if not busy:
            busy = True
            try:
                for each in filter(None, map(str.strip, sql.split(";"))):
                    if each.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE") and each not in found:
                        found[each] = _blocks(each, params)
            finally:
                busy = False
        return execute(sql, params, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(explained):
            part(now=now, client=client)
        transaction.set_rollback(True)
    largest = max(found, key=lambda sql: found[sql], default="")
    return {"reads": found.get(largest, 0), "query": " ".join(largest.split())[:300], "statements": len(found)}


def _blocks(sql: str, params: Any) -> int:
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
        answer = cursor.fetchone()[0]
        transaction.set_rollback(True)
    plan = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def _make_servers(now: datetime) -> None:
    from django.db import connection

    from guilds.models import Guild, ModelProfile
    from jobs.models import Job
    from jobs.token_encryption import encrypt

    Guild.objects.bulk_create(
        Guild(id=FIRST_GUILD + place, name=f"Server {place}", retention_days=1 if place % 2 else 90)
        for place in range(GUILDS)
    )
    # Every row is a copy of this one with other values.
    Job.objects.create(
        id=SAMPLE,
        interaction_id=SAMPLE,
        application_id=1,
        guild_id=FIRST_GUILD,
        channel_id=1,
        user_id=1,
        member_name="member",
        encrypted_token=encrypt("token"),
        reply_deadline=now + timedelta(days=1),
        prompt="an old tree at dusk",
        seed=1,
        steps=16,
        sampler="k_lms",
        width=512,
        height=512,
        guidance=7.5,
        count=4,
        model=ModelProfile.objects.get(is_default=True),
        status="completed",
        attempts=1,
        worker_id="w",
        gpu_ms=6500,
        created_at=now,
        started_at=now,
        ended_at=now,
        notified_at=now,
        message_id=1,
    )
    with connection.cursor() as cursor:
        cursor.execute(_COUNTERS, {"first_guild": FIRST_GUILD, "guilds": GUILDS, "now": now})
        # All of the history but the last minute is counted.
        cursor.execute("INSERT INTO jobs_rollupcursor (id, counted_to) VALUES (1, %s)", [now - timedelta(minutes=1)])


def _make_history(first: int, last: int, *, total: int, now: datetime) -> None:
    from django.db import connection

    began = time.perf_counter()
    values: dict[str, Any] = {"now": now, "total": total, "per_day": PER_DAY}
    values |= {"guilds": GUILDS, "first_guild": FIRST_GUILD}
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        with admin_pages.in_haste(cursor):
            for start in range(first, last + 1, AT_ONCE):
                part = values | {"first": start, "last": min(start + AT_ONCE - 1, last), "sample": _sample(total)}
                cursor.execute(_copies(_HISTORY, at=_AT), part)
                cursor.execute(_IMAGES, part)
        for setting in ("fsync", "full_page_writes", "max_wal_size", "checkpoint_timeout"):
            cursor.execute(f"ALTER SYSTEM RESET {setting}")
        cursor.execute("SELECT pg_reload_conf(); RESET synchronous_commit")
        # As autovacuum does.
        for table in ("jobs_job", "jobs_jobimage", "guilds_usage", "guilds_guild"):
            cursor.execute(f"VACUUM (ANALYZE) {table}")
        cursor.execute("RESET statement_timeout; RESET idle_in_transaction_session_timeout")
    print(f"{last - first + 1:>10,} requests made in {time.perf_counter() - began:.0f} s", flush=True)


def _sample(total: int) -> int:
    """The id that the sample has: after the history's, which begin at 1. What is due comes after it."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET id = %s WHERE interaction_id = %s", [total + 1, SAMPLE])
        cursor.execute(
            "SELECT setval(pg_get_serial_sequence('jobs_job', 'id'), greatest(max(id), %s)) FROM jobs_job", [total + 1]
        )
    return total + 1


def _make_due(now: datetime) -> None:
    from django.db import connection

    from jobs.models import Job

    sample = Job.objects.get(interaction_id=SAMPLE).pk
    with connection.cursor() as cursor:
        for count, values in DUE.values():
            changes = {
                "id": "nextval(pg_get_serial_sequence('jobs_job', 'id'))",
                "interaction_id": "1300000000000000000 + nextval(pg_get_serial_sequence('jobs_job', 'id'))",
                "created_at": "at",
            } | values
            numbers: dict[str, Any] = {"first": 1, "last": count, "sample": sample, "now": now}
            servers: dict[str, Any] = {"guilds": GUILDS, "first_guild": FIRST_GUILD}
            cursor.execute(_copies(changes, at="%(now)s - interval '1 hour'"), numbers | servers)
        cursor.execute(_OLD_COUNTERS, {"first_guild": FIRST_GUILD, "guilds": GUILDS, "now": now, "count": OLD_COUNTERS})


def _copies(changes: dict[str, str], *, at: str) -> str:
    """Return the statement that copies the sample's row once for each n, with these columns changed (SQL)."""
    from jobs.models import Job

    changes = {
        "guild_id": "%(first_guild)s + place",
        "user_id": "800000000000000000 + n %% 997",
        "channel_id": "900000000000000000 + place",
    } | changes
    columns = [str(field.column) for field in Job._meta.concrete_fields]
    chosen = ", ".join(changes.get(column, f"sample.{column}") for column in columns)
    return f"""
INSERT INTO jobs_job ({", ".join(columns)}) SELECT {chosen}
FROM generate_series(%(first)s::bigint, %(last)s) n, LATERAL (SELECT {at} AS at, n * 7919 %% %(guilds)s AS place) made,
  (SELECT * FROM jobs_job WHERE id = %(sample)s) sample
"""


@contextmanager
def _discord() -> Iterator[DiscordClient]:
    """A client of a server that accepts every request at once."""
    from discord_api.client import DiscordClient

    class Accepts(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b'{"id": "1"}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    # Headers and body are two writes: without this each answer waits 40 ms for an acknowledgement.
    Accepts.disable_nagle_algorithm = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Accepts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = DiscordClient(f"http://127.0.0.1:{server.server_port}", application_id=1, bot_token="none")
    try:
        yield client
    finally:
        client.close()
        server.shutdown()
        server.server_close()
