"""A worker notices that ECS is replacing it, ends what it has and takes nothing new."""

from __future__ import annotations

from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from gpu_worker.ecs_rollout import CHECK_S, Deployment
from gpu_worker.heartbeat import HeartbeatThread
from gpu_worker.scale_in_protection import ScaleInProtection
from gpu_worker.watchdog import Stuck

METADATA = "http://169.254.170.2/v4/x"
CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/sparkle-prod"
TASK = {"Cluster": CLUSTER, "Family": "sparkle-prod-worker", "Revision": "7", "ServiceName": "worker"}


def _metadata(task: dict[str, Any]) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == f"{METADATA}/task"
        return httpx.Response(200, json=task)

    return httpx.Client(transport=httpx.MockTransport(answer))


def _deployment(*revisions: int | str, task: dict[str, Any] = TASK) -> Deployment:
    """A deployment whose service has one of these revisions at each question; a word is an error's code."""
    client = boto3.client("ecs", region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t")
    stub = Stubber(client)
    for revision in revisions:
        if isinstance(revision, str):
            stub.add_client_error("describe_services", revision)
            continue
        arn = f"arn:aws:ecs:us-east-1:123456789012:task-definition/sparkle-prod-worker:{revision}"
        stub.add_response(
            "describe_services",
            {"services": [{"taskDefinition": arn}]},
            {"cluster": CLUSTER, "services": ["worker"]},
        )
    stub.activate()
    return Deployment(METADATA, http=_metadata(task), ecs=lambda: client)


def test_a_newer_task_definition_supersedes_the_worker_until_it_is_rolled_back() -> None:
    deployment = _deployment(7, 8, 7)
    assert [deployment.is_superseded(now=at * CHECK_S) for at in (0, 0.5, 1, 1.5, 2)] == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_what_cannot_be_read_changes_nothing() -> None:
    deployment = _deployment(8, "AccessDeniedException")
    assert deployment.is_superseded(now=0.0)
    assert deployment.is_superseded(now=CHECK_S)

    def unreachable() -> Any:
        raise EndpointConnectionError(endpoint_url="https://ecs.us-east-1.amazonaws.com")

    assert not Deployment(METADATA, http=_metadata(TASK), ecs=unreachable).is_superseded(now=0.0)


@pytest.mark.parametrize("task", [{**TASK, "ServiceName": ""}, {}])
def test_a_task_without_a_service_is_never_superseded(task: dict[str, Any]) -> None:
    assert not _deployment(task=task).is_superseded(now=0.0)


def test_outside_ecs_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECS_CONTAINER_METADATA_URI_V4", raising=False)
    assert not Deployment().is_superseded(now=0.0)


class _Runner:
    jobs_done = 0
    is_draining = False
    active_ids: frozenset[int] = frozenset()

    def find_stuck(self) -> tuple[Stuck, ...]:
        return ()


@pytest.mark.django_db
@pytest.mark.parametrize(("revision", "draining"), [(7, False), (8, True)])
def test_a_superseded_worker_takes_no_more_jobs(revision: int, draining: bool) -> None:
    """What it has it ends; without a job it has no protection, so ECS stops it and the deployment goes on."""
    runner = _Runner()
    heart = HeartbeatThread(worker_id="w", protection=ScaleInProtection(""), deployment=_deployment(revision))
    heart._beat(runner)
    assert runner.is_draining is draining
