"""A warm process answers an accepted `/sparkle`, compared with a minimal answer (the floor) and the sample's design.

The three take turns in one loop over the same PostgreSQL and queue server, so that other load on the machine affects
all of them equally. CPU is this process's own, as a Lambda is billed. Before the measurement each server has made one
request this month; every request is the first of its member.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
from nacl.signing import VerifyKey

from devtools.benchmark_result import Figure, Result, percentile

from . import services, signed_interactions
from .svg_plots import bars

GUILDS = 500
WARM_UP = GUILDS
VERIFY_KEY = VerifyKey(bytes.fromhex(signed_interactions.PUBLIC_KEY))


def run(*, full: bool = False) -> Result:
    """Measure 300 rounds, or 2,000 of them."""
    rounds = 2000 if full else 300
    with services.database() as database, services.queue() as queue:
        services.django_here(database.url, DISCORD_PUBLIC_KEY=signed_interactions.PUBLIC_KEY, **queue)
        services.make_guilds(GUILDS)
        found = _measure(rounds, database.url)
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


def _measure(rounds: int, url: str) -> dict[str, dict[str, float]]:
    """Return the median and the 99th percentile of each way's wall-clock time, and its median CPU, in milliseconds."""
    from django.db import connection

    times: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    with psycopg.connect(url) as plain:
        ways = _ways(plain)
        for number in range(rounds + WARM_UP):
            for name, way in ways.items():
                body = (
                    signed_interactions.PING if name == "ping" else signed_interactions.sparkle(number, guilds=GUILDS)
                )
                event = signed_interactions.event(body)
                cpu_before, before = time.process_time(), time.perf_counter()
                way(event, number)
                took, used = time.perf_counter() - before, time.process_time() - cpu_before
                if number >= WARM_UP:
                    times.setdefault(name, []).append(took * 1000)
                    cpu.setdefault(name, []).append(used * 1000)
            if number % 100 == 99:
                _complete_jobs()
    connection.close()
    return {
        name: {
            "p50_ms": round(percentile(times[name], 0.5), 2),
            "p99_ms": round(percentile(times[name], 0.99), 2),
            "cpu_ms": round(percentile(cpu[name], 0.5), 2),
        }
        for name in ways
    }


def _complete_jobs() -> None:
    """Complete all open jobs as workers would: no server's queue fills, and admission can read how long each took."""
    from django.db.models import F
    from django.db.models.functions import Now

    from jobs.models import Job

    Job.objects.filter(status__in=["queued", "waiting"]).update(
        status="completed", started_at=F("created_at"), ended_at=Now()
    )


def _ways(plain: psycopg.Connection) -> dict[str, Callable[[dict[str, Any], int], None]]:
    """Return the ways to answer, by name. The floor and the sample's shape use `plain` and a queue each."""
    from interactions_lambda.handler import handler

    plain.execute("CREATE TABLE floor (id bigserial PRIMARY KEY, interaction_id bigint UNIQUE, body text)")
    plain.commit()
    send = _sender("floor", "sample")

    def floor(event: dict[str, Any], number: int) -> None:
        _verify(event)
        plain.execute("INSERT INTO floor (interaction_id, body) VALUES (%s, %s)", (number, event["body"]))
        plain.commit()
        send("floor", number, '{"v":1,"job_id":%d}' % number)  # noqa: UP031  # as plainly as can be

    def sample(event: dict[str, Any], number: int) -> None:
        _verify(event)
        send("sample", number, event["body"])

    def sparkle(event: dict[str, Any], number: int) -> None:
        answer = handler(event, None)
        assert answer["statusCode"] == 200, answer
        assert "Submitted" in answer["body"], answer["body"]

    def ping(event: dict[str, Any], number: int) -> None:
        assert handler(event, None)["body"] == '{"type":1}'

    return {"sparkle": sparkle, "floor": floor, "sample's shape": sample, "ping": ping}


def _verify(event: dict[str, Any]) -> None:
    signed = event["headers"]["x-signature-timestamp"].encode() + event["body"].encode()
    VERIFY_KEY.verify(signed, bytes.fromhex(event["headers"]["x-signature-ed25519"]))


def _sender(*names: str) -> Callable[[str, int, str], None]:
    """Create the queues `names` and return what sends a body to one of them."""
    import boto3

    sqs: Any = boto3.client("sqs")
    # One queue for each: the emulator is slower with a longer queue.
    urls = {
        name: sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"] for name in names
    }

    def send(queue: str, number: int, body: str) -> None:
        sqs.send_message(
            QueueUrl=urls[queue],
            MessageBody=body,
            MessageGroupId=str(number % GUILDS),
            MessageDeduplicationId=str(number),
        )

    return send
