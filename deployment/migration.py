"""Runs the prepare task, which creates the database's role and applies the migrations, and waits for its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .step_runner import StepFailed
from .terraform_output import Deployment

POLL_S = 5.0
TIMEOUT_S = 30 * 60.0


def migrate(
    deployment: Deployment,
    *,
    ecs: Any,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Run the task and return what was done. Raises StepFailed."""
    task = _start(deployment, ecs)
    deadline = clock() + TIMEOUT_S
    while task["lastStatus"] != "STOPPED":
        if clock() > deadline:
            raise StepFailed("The prepare task still runs after 30 minutes.", _read_log(deployment))
        sleep(POLL_S)
        task = ecs.describe_tasks(cluster=deployment.cluster, tasks=[task["taskArn"]])["tasks"][0]
    container: dict[str, Any] = next((each for each in task.get("containers", []) if each["name"] == "prepare"), {})
    if container.get("exitCode") == 0:
        return [f"The database has all migrations of {deployment.release}."]
    if "exitCode" not in container:
        reason = container.get("reason") or task.get("stoppedReason") or "no reason given"
        raise StepFailed(f"The prepare task did not start: {reason}.", "Fix that, and apply again.")
    raise StepFailed(
        f"The prepare task ended with exit status {container['exitCode']}. Nothing of the running version has changed.",
        _read_log(deployment),
    )


def _start(deployment: Deployment, ecs: Any) -> dict[str, Any]:
    network = {
        "subnets": list(deployment.prepare_subnets),
        "securityGroups": list(deployment.prepare_security_groups),
        "assignPublicIp": "ENABLED",
    }
    answer = ecs.run_task(
        cluster=deployment.cluster,
        taskDefinition=deployment.prepare_task,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": network},
    )
    if not answer["tasks"]:
        reasons = ", ".join(failure.get("reason", "unknown") for failure in answer["failures"])
        raise StepFailed(f"AWS did not start the prepare task ({reasons}).", "Apply again in a few minutes.")
    task: dict[str, Any] = answer["tasks"][0]
    return task


def _read_log(deployment: Deployment) -> str:
    return (
        f"Read why: aws logs tail /aws/ecs/{deployment.cluster}/prepare --since 1h --region {deployment.region}."
        " Then apply again."
    )
