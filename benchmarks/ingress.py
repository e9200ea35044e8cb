"""One warm process answers an accepted `/sparkle`: beside the least that any such answer needs, and the sample's shape.

The three take turns in one loop over the same PostgreSQL and the same queue, so that whatever else the machine does
weighs on all alike. CPU is this process's own, as a Lambda is billed. Before it is measured each server has asked once
this month, as servers have; every request is the first of its member.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from devtools.results_file import Figure, Result, percentile

from . import interactions, services
from .svg_plots import bars

GUILDS = 500
WARM_UP = GUILDS


def run(*, full: bool = False) -> Result:
    """Measure 300 rounds, or 2,000 of them."""
    rounds = 2000 if full else 300
    with services.database() as database, services.queue() as queue:
        services.django_here(database.url, DISCORD_PUBLIC_KEY=interactions.PUBLIC_KEY, **queue)
        services.make_guilds(GUILDS)
        found = _measure(rounds, database.url, queue)
    ours, floor, sample, ping = found["sparkle"], found["floor"], found["sample's shape"], found["ping"]
    return Result(
        figures=(
            Figure(name="/sparkle, p50", value=ours["p50_ms"], unit="ms"),
            Figure(name="/sparkle, p99", value=ours["p99_ms"], unit="ms"),
            Figure(
                name="/sparkle, p50 to the floor's",
                value=round(ours["p50_ms"] / floor["p50_ms"], 2),
                unit="times",
                goal=1.5,
            ),
            Figure(
                name="/sparkle, CPU above the sample's shape",
                value=round(ours["cpu_ms"] - sample["cpu_ms"], 2),
                unit="ms",
                goal=2.5,
            ),
            Figure(name="PING, CPU", value=ping["cpu_ms"], unit="ms", goal=1),
        ),
        detail={"rounds": rounds, **found},
        plots={
            "ingress": bars(
                "One answer: median time and CPU, ms",
                list(found),
                {
                    "median": [each["p50_ms"] for each in found.values()],
                    "CPU": [each["cpu_ms"] for each in found.values()],
                },
            )
        },
    )


def _measure(rounds: int, url: str, queue: dict[str, str]) -> dict[str, dict[str, float]]:
    import boto3
    import psycopg
    from django.db import connection
    from django.db.models import F
    from django.db.models.functions import Now
    from nacl.signing import VerifyKey

    from interactions_lambda.handler import handler
    from jobs.models import Job

    sqs: Any = boto3.client("sqs")
    # One each: the emulator takes longer over a queue that holds more.
    queues = {
        name: sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        for name in ("floor", "sample")
    }
    plain = psycopg.connect(url)
    plain.execute("CREATE TABLE floor (id bigserial PRIMARY KEY, interaction_id bigint UNIQUE, body text)")
    plain.commit()
    key = VerifyKey(bytes.fromhex(interactions.PUBLIC_KEY))

    def verify(event: dict[str, Any]) -> None:
        signed = event["headers"]["x-signature-timestamp"].encode() + event["body"].encode()
        key.verify(signed, bytes.fromhex(event["headers"]["x-signature-ed25519"]))

    def send(queue: str, number: int, body: str) -> None:
        sqs.send_message(
            QueueUrl=queues[queue],
            MessageBody=body,
            MessageGroupId=str(number % GUILDS),
            MessageDeduplicationId=f"{number}",
        )

    def floor(event: dict[str, Any], number: int) -> None:
        verify(event)
        plain.execute("INSERT INTO floor (interaction_id, body) VALUES (%s, %s)", (number, event["body"]))
        plain.commit()
        send("floor", number, '{"v":1,"job_id":%d}' % number)  # noqa: UP031  # as plainly as can be

    def sample(event: dict[str, Any], number: int) -> None:
        verify(event)
        send("sample", number, event["body"])

    def sparkle(event: dict[str, Any], number: int) -> None:
        answer = handler(event, None)
        assert answer["statusCode"] == 200, answer
        assert "Submitted" in answer["body"], answer["body"]

    def ping(event: dict[str, Any], number: int) -> None:
        assert handler(event, None)["body"] == '{"type":1}'

    ways: dict[str, Callable[[dict[str, Any], int], None]] = {
        "sparkle": sparkle, "floor": floor, "sample's shape": sample, "ping": ping,
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + WARM_UP):
        for name, way in ways.items():
            body = interactions.PING if name == "ping" else interactions.sparkle(number, guilds=GUILDS)
            event = interactions.event(body)
            cpu_before, before = time.process_time(), time.perf_counter()
            way(event, number)
            took, used = time.perf_counter() - before, time.process_time() - cpu_before
            if number >= WARM_UP:
                times[name].append(took * 1000)
                cpu[name].append(used * 1000)
        if number % 100 == 99:
            # As workers would, so that no server's line fills, and how long each took is there to be read.
            Job.objects.filter(status__in=["queued", "waiting"]).update(
                status="completed", started_at=F("created_at"), ended_at=Now()
            )
    connection.close()
    plain.close()
    return {
        name: {
            "p50_ms": round(percentile(times[name], 0.5), 2),
            "p99_ms": round(percentile(times[name], 0.99), 2),
            "cpu_ms": round(percentile(cpu[name], 0.5), 2),
        }
        for name in ways
    }
