"""Signed interactions over HTTP at a fixed rate, whether or not the answers keep up, and what became of each.

gunicorn with API Gateway's stand-in serves the real handler over PostgreSQL and SQS's protocol. Workers claim and
complete the jobs with the worker's own functions, but without an image: drawing and encoding would take the two cores
that the ingress is measured on. Times run from when a request was due, so a late one counts as late.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from devtools import run_directory
from devtools.benchmark_result import Figure, Result, percentile
from devtools.embedded_postgres import free_port
from devtools.processes import answers, start, wait_until

from . import services, signed_interactions
from .svg_plots import bars

GUILDS = 1000
DISCORD_S = 3.0


def run(*, full: bool = False) -> Result:
    """Send 100 and 200 a second for 15 s each; `full`: 100, 200 and 400 for 60 s each."""
    rates, seconds = ((100, 200, 400), 60) if full else ((100, 200), 15)
    with services.database() as database, services.queue() as queue, run_directory.run_folder("ingress") as folder:
        environment = {"DATABASE_URL": database.url, "DISCORD_PUBLIC_KEY": signed_interactions.PUBLIC_KEY, **queue}
        services.django_here(database.url, DISCORD_PUBLIC_KEY=signed_interactions.PUBLIC_KEY, **queue)
        services.make_guilds(GUILDS)
        port = free_port()
        ingress = start(
            "ingress",
            [
                *("-m", "gunicorn", "devtools.api_gateway:application", "--log-level=error"),
                *(f"--bind=127.0.0.1:{port}", "--worker-class=gthread", "--workers=2", "--threads=8"),
                # A Lambda out of concurrency refuses at once. Here too few may wait for Discord to give up on them.
                *("--worker-connections=32", "--backlog=64"),
            ],
            log=folder / "ingress.log",
            cwd=services.ROOT,
            environment=services.KEY_SETTINGS | environment | {"DJANGO_SETTINGS_MODULE": services.SETTINGS},
        )
        try:
            address = f"http://127.0.0.1:{port}/"
            wait_until(lambda: answers(address), children=[ingress], what="the ingress", timeout_s=60)
            found = {}
            for rate in rates:
                found[str(rate)] = _load(rate, seconds, port)
                print(f"  {rate}/s: {found[str(rate)]}", flush=True)
        finally:
            ingress.process.terminate()
            ingress.process.wait(20)
    return _outcome(found, seconds)


def _outcome(found: dict[str, dict[str, Any]], seconds: int) -> Result:
    figures: list[Figure] = []
    for rate, each in found.items():
        goal = 0 if rate == "100" else None
        figures += [
            Figure(name=f"{rate}/s: answer, p50", value=each["p50_ms"], unit="ms"),
            Figure(name=f"{rate}/s: answer, p99", value=each["p99_ms"], unit="ms"),
            Figure(name=f"{rate}/s: accepted in time", value=each["in_time_per_s"], unit="/s"),
            Figure(name=f"{rate}/s: over Discord's 3 s or refused", value=each["late_or_refused"], unit="",
                   goal=goal),
            Figure(name=f"{rate}/s: accepted and lost", value=each["lost"], unit="", goal=0),
        ]  # fmt: skip
    return Result(
        figures=tuple(figures),
        detail={"seconds": seconds, "rates": found},
        plots={
            "end-to-end": bars(
                "The answer's time at a steady rate, ms",
                [f"{rate}/s" for rate in found],
                {
                    "p50": [each["p50_ms"] for each in found.values()],
                    "p99": [each["p99_ms"] for each in found.values()],
                },
            )
        },
    )


def _load(rate: int, seconds: int, port: int) -> dict[str, Any]:
    from jobs.models import Job

    before = Job.objects.count()
    context = multiprocessing.get_context("spawn")
    stop, done = context.Event(), context.Value("i", 0)
    workers = [context.Process(target=_work, args=(stop, done), daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    asyncio.run(_send(20, 1, port))  # Each thread connects to the database once.
    warm = Job.objects.count() - before
    answers = asyncio.run(_send(rate, seconds, port))
    times = [took for took, _ in answers]
    counts = Counter(what for _, what in answers)
    late_or_refused = sum(took > DISCORD_S or what != "accepted" for took, what in answers)
    rows = Job.objects.count() - before - warm
    # The workers are given time for the rest.
    deadline = time.monotonic() + max(60, 3 * seconds)
    while Job.objects.exclude(status="completed").exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    unfinished = Job.objects.exclude(status="completed")
    # What got no message is upkeep's to resend; what got one and is still in the queue is only late.
    unheard = unfinished.filter(message_sent_at=None).count()
    alive = sum(worker.is_alive() for worker in workers)
    stop.set()
    for worker in workers:
        worker.join(30)
    return {
        "sent": len(answers),
        "accepted": counts["accepted"],
        "failed": len(answers) - counts["accepted"],
        "answers": dict(counts),
        "late": sum(took > DISCORD_S for took in times),
        "late_or_refused": late_or_refused,
        "in_time_per_s": round((len(answers) - late_or_refused) / seconds, 1),
        "lost": max(0, counts["accepted"] - rows),
        "left_to_upkeep": unheard,
        "not_yet_worked_on": unfinished.count() - unheard,
        "workers_alive": alive,
        "p50_ms": round(1000 * percentile(times, 0.5), 1),
        "p99_ms": round(1000 * percentile(times, 0.99), 1),
        "load_average": round(os.getloadavg()[0], 1),
    }


async def _send(rate: int, seconds: int, port: int) -> list[tuple[float, str]]:
    """Send at the rate; return for each how long it took from when it was due, and what was answered."""
    began = time.monotonic() + 0.2
    pending = []
    for number in range(rate * seconds):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        pending.append(asyncio.create_task(_one(number, due, port)))
    return list(await asyncio.gather(*pending))


async def _one(number: int, due: float, port: int) -> tuple[float, str]:
    body = signed_interactions.sparkle(number, guilds=GUILDS)
    head = "".join(f"{name}: {value}\r\n" for name, value in signed_interactions.headers(body).items())
    try:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"POST /interactions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{head}"
                f"content-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            answer = await reader.read(-1)
            writer.close()
    except (OSError, TimeoutError) as error:
        return time.monotonic() - due, type(error).__name__
    took = time.monotonic() - due
    status = answer[9:12].decode("latin-1")
    if status == "200" and b"Submitted to Sparkle" in answer:
        return took, "accepted"
    return took, f"other answer, {status}"


def _work(stop: Any, done: Any) -> None:
    """Receive, claim, complete and delete, as gpu_worker does around its engine."""
    services.django_here(os.environ["DATABASE_URL"], DATABASE_STATEMENT_TIMEOUT_MS="30000")
    from django.conf import settings

    from jobs import transitions
    from jobs.dispatch import codec
    from jobs.dispatch.sqs import client

    sqs, name = client(read_timeout_s=10), f"worker-{os.getpid()}"
    os.nice(5)
    while not stop.is_set():
        answer = sqs.receive_message(QueueUrl=settings.SQS_QUEUE_URL, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        messages = answer.get("Messages", [])
        for message in messages:
            now = datetime.now(UTC)
            job = transitions.claim(codec.decode(message["Body"]), worker_id=name, now=now)
            if job is not None:
                transitions.complete(
                    job.pk, worker_id=name, delivered_via="original", message_id=1, now=datetime.now(UTC)
                )
                with done.get_lock():
                    done.value += 1
        if messages:
            sqs.delete_message_batch(
                QueueUrl=settings.SQS_QUEUE_URL,
                Entries=[
                    {"Id": str(place), "ReceiptHandle": each["ReceiptHandle"]} for place, each in enumerate(messages)
                ],
            )
