"""A SnapStart snapshot holds all that a request needs. A start on demand imports only what a PING needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from .conftest import KEY, event, payload

pytestmark = pytest.mark.processes

# Each input line is a request; each output line is its result.
_FUNCTION = """
import json, sys
from interactions_lambda.handler import handler

def heavy():
    return sorted({name.split(".")[0] for name in sys.modules} & {"django", "psycopg", "boto3", "storages"})

def parts():
    rooms = (
        "interactions_lambda", "jobs", "guilds", "discord_api", "telemetry", "sparkle_site", "django", "psycopg",
        "boto3", "storages",
    )
    return {name for name in sys.modules if name.split(".")[0] in rooms}

print(json.dumps({"heavy": heavy()}), flush=True)
for line in sys.stdin:
    before = parts()
    answer = handler(json.loads(line), None)
    after = {"status": answer["statusCode"], "body": answer["body"], "heavy": heavy()}
    print(json.dumps(after | {"imported": sorted(parts() - before)}), flush=True)
if "django" in sys.modules:
    from django.db import connections
    from jobs.dispatch import sqs
    from sparkle_site.rds.connection import rds
    opened = [alias for alias in connections if connections[alias].connection is not None]
    clients = [made.cache_info().currsize for made in (rds, sqs.client)]
    print(json.dumps({"open": opened, "clients": clients}))
"""


def started(initialization: str, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """Start the function in its own process, as Lambda does. Return its output at start and for each event."""
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "DISCORD_PUBLIC_KEY": KEY.verify_key.encode().hex(),
        "DISCORD_APPLICATION_ID": "1000000000000000001",
        "DJANGO_SECRET_KEY": "k" * 60,
        # Nothing listens on this port, so connecting fails at once.
        "DATABASE_URL": "postgres://sparkle@127.0.0.1:1/sparkle",
        "DATABASE_IAM_AUTH": "true",
        "SQS_QUEUE_URL": "http://127.0.0.1:1/queue/jobs.fifo",
        "IMAGE_BUCKET": "images",
    }
    done = subprocess.run(
        [sys.executable, "-c", _FUNCTION],
        input="\n".join(json.dumps(each) for each in requests),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def ping() -> dict[str, Any]:
    return event(json.dumps(payload("ping")).encode())


def sparkle() -> dict[str, Any]:
    return event(json.dumps(payload("slash")).encode())


def test_a_snapshot_holds_everything_and_no_connection() -> None:
    start, *_, end = started("snap-start")
    assert start["heavy"] == ["boto3", "django", "psycopg", "storages"]
    assert end == {"open": [], "clients": [1, 1]}


def test_the_first_request_after_a_snapshot_imports_nothing() -> None:
    _, pong, answer, _ = started("snap-start", ping(), sparkle())
    assert json.loads(pong["body"]) == {"type": 1}
    # The database is down and the member is told so. All code for that was already loaded.
    assert "please try again in a minute" in json.loads(answer["body"])["data"]["content"].lower()
    assert answer["imported"] == []


def test_on_demand_a_ping_loads_nothing_heavy_and_a_command_loads_what_it_needs() -> None:
    start, pong, answer, _ = started("on-demand", ping(), sparkle())
    assert start["heavy"] == []
    assert pong["heavy"] == []
    assert "psycopg" in answer["heavy"]


def test_a_snapshot_that_cannot_be_made_stops_the_version() -> None:
    """Lambda does not publish a version whose start fails, so the previous one keeps running."""
    done = subprocess.run(
        [sys.executable, "-c", "import interactions_lambda.handler"],
        env={"PATH": os.environ["PATH"], "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", "DJANGO_SECRET_KEY": "k"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "DATABASE_URL is not set" in done.stderr
