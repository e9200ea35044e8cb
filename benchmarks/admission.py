"""How many requests a second `jobs.submission.submit` admits: from several connections, over few and many guilds,
with and without a long history behind.

Clients are processes, as Lambdas are, and each holds one connection. Messages are not sent, because the queue is not
measured. A process ends queued jobs in the database, as workers would, so that the queues keep their length.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from devtools.benchmark_result import Figure, Result, percentile

from . import services
from .signed_interactions import GUILDS, MEMBERS
from .svg_plots import bars

INTERACTIONS = 1_200_000_000_000_000_000
SEED = 20261123


# (history, connections, guilds) of the short form.
SHORT = {(0, 1, 100), (0, 8, 1), (0, 8, 100), (0, 8, 10_000), (0, 32, 100), (200_000, 8, 100)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    connections: int
    guilds: int
    history: int


# What is measured by turns, with a history and without.
BESIDE = Case(connections=8, guilds=100, history=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Rates in requests a second, times in milliseconds; CPU of clients and of the server a request."""

    case: Case
    accepted: int
    refused: int
    per_s: float
    p50_ms: float
    p99_ms: float
    client_cpu_ms: float
    server_cpu_ms: float

    @property
    def per_s_of_two_cores(self) -> float:
        """What two whole cores would admit, by the CPU time of one request: steady on a machine that is shared."""
        return 2000 / (self.client_cpu_ms + self.server_cpu_ms)


def run(*, full: bool = False) -> Result:
    """Measure. `full` takes 10 s a case instead of 4, and 10 million jobs as well."""
    seconds = 10.0 if full else 4.0
    histories = [0, 1_000_000, 10_000_000] if full else [0, 200_000]
    measured: list[Measured] = []
    turns: list[tuple[float, float]] = []
    with services.database() as database:
        services.django_here(database.url, DATABASE_STATEMENT_TIMEOUT_MS="3600000")
        services.make_guilds(10_000)
        without = _copy(database)
        there = 0
        for history in histories:
            _make_history(there, history)
            there = history
            for connections in (1, 8, 32):
                for guilds in (1, 100, 10_000):
                    if not full and (history, connections, guilds) not in SHORT:
                        continue
                    case = Case(connections=connections, guilds=guilds, history=history)
                    measured.append(_measure(case, database, seconds=seconds))
                    print(_row(measured[-1]), flush=True)
        # By turns: over the minutes that ten million rows take, a machine changes by more than they do.
        for _ in range(5):
            few, many = (_measure(BESIDE, where, seconds=seconds) for where in (without, database))
            turns.append((few.per_s, many.per_s))
            print(f"in turns: {few.per_s:.0f}/s without, {many.per_s:.0f}/s with {there:,} old requests", flush=True)
    return _outcome(measured, turns)


def _copy(database: services.Database) -> services.Database:
    """A second database beside it, as it is now; it stays without a history."""
    import psycopg
    from django.db import connection

    connection.close()
    base, _, name = database.url.rpartition("/")
    with psycopg.connect(f"{base}/postgres", autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}_without" TEMPLATE "{name}"')
    return replace(database, url=f"{base}/{name}_without")


def _row(one: Measured) -> str:
    case = one.case
    return (
        f"{case.connections:>3} connections {case.guilds:>6} guilds {case.history:>9,} behind: {one.per_s:7.0f}/s "
        f"p50 {one.p50_ms:6.1f} p99 {one.p99_ms:6.1f} ms, CPU {one.client_cpu_ms:.2f} + {one.server_cpu_ms:.2f} ms "
        f"({one.per_s_of_two_cores:.0f}/s on two free cores), {one.refused} refused"
    )


def _outcome(measured: list[Measured], turns: list[tuple[float, float]]) -> Result:
    by_case = {each.case: each for each in measured}

    def of(connections: int, guilds: int, history: int) -> Measured:
        return by_case[Case(connections=connections, guilds=guilds, history=history)]

    longest = max(each.case.history for each in measured)
    fresh = [each for each in measured if not each.case.history]
    best = max((each for each in fresh if each.case.guilds > 1), key=lambda each: each.per_s)
    hot = max((each for each in fresh if each.case.guilds == 1), key=lambda each: each.per_s)
    slower = median(few / many for few, many in turns)
    figures = (
        Figure(name="accepted, many guilds", value=round(best.per_s), unit="/s", goal=500, at_least=True),
        Figure(name="accepted, one hot guild", value=round(hot.per_s), unit="/s", goal=150, at_least=True),
        Figure(name=f"slower with {longest:,} jobs behind", value=round(slower, 2), unit="times", goal=1.2),
        Figure(
            name="accepted, by CPU time, on two free cores", value=round(best.per_s_of_two_cores), unit="/s", goal=500,
            at_least=True,
        ),
        Figure(name="p99, 8 connections, 100 guilds", value=round(of(8, 100, 0).p99_ms, 1), unit="ms"),
    )  # fmt: skip
    return Result(
        figures=figures,
        detail={
            "cases": [asdict(each) | {"per_s_of_two_cores": each.per_s_of_two_cores} for each in measured],
            "per_s_without_and_with_history_by_turns": turns,
        },
        plots={"admission": _plot({case: each.per_s for case, each in by_case.items()})},
    )


def _plot(per_s: dict[Case, float]) -> str:
    groups = sorted({(case.connections, case.guilds) for case in per_s})
    return bars(
        "Requests admitted a second, by connections × servers",
        [f"{connections} × {guilds:,}" for connections, guilds in groups],
        {
            f"{history:,} behind" if history else "none behind": [
                per_s.get(Case(connections=connections, guilds=guilds, history=history))
                for connections, guilds in groups
            ]
            for history in sorted({case.history for case in per_s})
        },
        goal=500,
    )


def _make_history(there: int, wanted: int) -> None:
    """Bring the ended jobs of the past to `wanted`, two events each, over all guilds and a hundred members each."""
    if wanted <= there:
        return
    from django.db import connection

    begun = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("SET maintenance_work_mem = '1GB'")
        # Row by row into fifteen indexes takes hours; all at once, minutes.
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('jobs_job', 'jobs_jobevent')"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute(
            """
            WITH made AS (
              INSERT INTO jobs_job (interaction_id, application_id, guild_id, channel_id, user_id, member_name, locale,
                encrypted_token, reply_deadline, attachment_size_limit, ephemeral, kind, source_url, prompt,
                negative_prompt, style, styled_prompt, seed, steps, sampler, width, height, guidance, count, model_id,
                spoiler, status, reason, detail, attempts, messages_sent, worker_id, progress_step, progress_total,
                created_at, queued_at, started_at, ended_at, gpu_ms, grid_key, delivered_via, notified_at,
                reserved_images, reserved_gpu_ms, usage_ids, settled_at, erasure)
              SELECT n, 1, %(guilds)s + n %% 10000, 77, %(members)s + n %% 1000000, 'Member', 'en-US',
                '', t, 10485760, false, 'txt2img', '', 'a lighthouse of style ' || n %% 5000, '', '', '', n, 16,
                'k_lms', 512, 512, 7.5, 4, (SELECT min(id) FROM guilds_modelprofile), false, 'completed',
                '', '', 1, 1, 'w', 16, 16, t, t, t + interval '2 s', t + interval '9 s', 7000, '', 'original',
                t + interval '9 s', 4, 7000, '{}', t + interval '9 s', ''
              FROM (SELECT n, now() - interval '1 year' * (1 - n / 2e7) AS t
                    FROM generate_series(%(there)s + 1, %(wanted)s) n) AS past
              RETURNING id, created_at)
            INSERT INTO jobs_jobevent (job_id, at, kind, old_status, detail)
            SELECT id, created_at, kind, '', '{}' FROM made, (VALUES ('queued'), ('completed')) AS k(kind)
            """,
            {"guilds": GUILDS, "members": MEMBERS, "there": there, "wanted": wanted},
        )
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute("SET synchronous_commit = on")
        cursor.execute("VACUUM ANALYZE jobs_job")
        cursor.execute("VACUUM ANALYZE jobs_jobevent")
        cursor.execute("CHECKPOINT")
    print(f"{wanted:,} jobs behind, made in {time.monotonic() - begun:.0f} s", flush=True)


def _measure(case: Case, database: services.Database, *, seconds: float) -> Measured:
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(case.connections + 1)
    results: Any = context.Queue()
    os.environ["SPARKLE_BENCH_URL"] = database.url
    clients = [
        context.Process(target=_client, args=(number, case, seconds, ready, results), daemon=True)
        for number in range(case.connections)
    ]
    stop = context.Event()
    drain = context.Process(target=_drain, args=(stop,), daemon=True)
    for process in (*clients, drain):
        process.start()
    ready.wait(120)
    server_before, began = database.cpu_s(), time.monotonic()
    found = [results.get(timeout=seconds + 120) for _ in clients]
    took, server = time.monotonic() - began, database.cpu_s() - server_before
    stop.set()
    for process in (*clients, drain):
        process.join(30)
    times = [each for one in found for each in one["ms"]]
    return Measured(
        case=case,
        accepted=len(times),
        refused=sum(one["refused"] for one in found),
        per_s=len(times) / took,
        p50_ms=percentile(times, 0.5),
        p99_ms=percentile(times, 0.99),
        client_cpu_ms=1000 * sum(one["cpu_s"] for one in found) / len(times),
        server_cpu_ms=1000 * server / len(times),
    )


def _client(number: int, case: Case, seconds: float, ready: Any, results: Any) -> None:
    services.django_here(os.environ["SPARKLE_BENCH_URL"], DATABASE_STATEMENT_TIMEOUT_MS="60000")
    from guilds.generation_params import RequestedParams
    from jobs import submission
    from jobs.dispatch.memory import MemoryDispatcher

    chance = random.Random(f"{SEED} {number} {case}")
    dispatch = MemoryDispatcher()
    interaction = INTERACTIONS + (time.time_ns() & 0xFFFFFFFFFF) * 1000 + number * 7

    def ask() -> bool:
        nonlocal interaction
        interaction += 64 * 7
        guild = chance.randrange(case.guilds)
        wish = submission.JobRequest(
            interaction_id=interaction,
            application_id=1,
            token="aW50ZXJhY3Rpb246" + "x" * 180,
            guild_id=GUILDS + guild,
            channel_id=77,
            user_id=MEMBERS + guild * 100 + chance.randrange(100),
            member_name="Member",
            params=RequestedParams(prompt=f"a lighthouse over the sea, style {chance.randrange(5000)}"),
        )
        return isinstance(submission.submit(wish, now=datetime.now(UTC), dispatch=dispatch), submission.Accepted)

    try:
        for _ in range(10):
            ask()
    except BaseException:
        ready.abort()
        raise
    ready.wait(120)
    MemoryDispatcher.clear()
    times: list[float] = []
    refused, cpu, until = 0, _cpu(), time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        if ask():
            times.append(1000 * (time.monotonic() - began))
        else:
            refused += 1
    results.put({"ms": times, "refused": refused, "cpu_s": _cpu() - cpu})


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _drain(stop: Any) -> None:
    """End what is queued twice a second, in one statement, as workers would little by little."""
    import psycopg

    with psycopg.connect(os.environ["SPARKLE_BENCH_URL"], autocommit=True) as connection:
        while not stop.wait(0.5):
            connection.execute(
                "UPDATE jobs_job SET status = 'completed', started_at = queued_at, ended_at = now(),"
                " notified_at = now(), encrypted_token = '' WHERE id IN"
                " (SELECT id FROM jobs_job WHERE status IN ('queued', 'waiting') ORDER BY id LIMIT 5000"
                "  FOR UPDATE SKIP LOCKED)"
            )
