"""The tick's answer to the workflow: the metric that the alarms watch, and how many instances there shall be."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from interactions_lambda import scheduled_functions
from jobs import submission

# A tick begins with connections that still live, and ends those that do not: not within a test's transaction.
pytestmark = pytest.mark.django_db(transaction=True)


def tick(*, wanted: int, running: int) -> tuple[dict[str, Any], int]:
    """What one tick says while ECS is as given: the data points by name, and the instances."""
    answer = json.loads(json.dumps(scheduled_functions.scaling({"workers_wanted": wanted, "workers_running": running})))
    return {point["MetricName"]: point["Value"] for point in answer["metric_data"]}, answer["instances"]


def test_an_instance_is_asked_for_in_the_tick_that_sees_the_work(make_guild: Any, make_ask: Any, now: datetime) -> None:
    submission.submit(make_ask(make_guild()), now=now)
    points, instances = tick(wanted=0, running=0)
    assert points["WorkersShort"] == 1
    # The alarm has not moved the service yet; the machine is on its way already, and the next tick asks for no second.
    assert instances == 1
    assert tick(wanted=1, running=0)[1] == 1


def test_at_rest_there_is_no_instance() -> None:
    assert tick(wanted=0, running=0) == ({"WorkersShort": 0, "RunnableJobs": 0, "WorkersRunning": 0}, 0)


def test_an_instance_stays_until_its_task_has_ended() -> None:
    """Two are too many, but the alarm decides when they go; then each works until its protection ends."""
    points, instances = tick(wanted=2, running=2)
    assert (points["WorkersShort"], instances) == (-2, 2)
    assert tick(wanted=0, running=2)[1] == 2
    assert tick(wanted=0, running=1)[1] == 1
    assert tick(wanted=0, running=0)[1] == 0


def test_without_an_image_nothing_is_started(
    make_guild: Any, make_ask: Any, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission.submit(make_ask(make_guild()), now=now)
    monkeypatch.setenv("WORKERS_MAX", "0")  # As terraform/modules/sparkle/functions.tf has it before the first push.
    points, instances = tick(wanted=0, running=0)
    assert (points["WorkersShort"], instances) == (0, 0)
