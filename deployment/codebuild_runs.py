"""Starts the deployment's build in AWS CodeBuild, follows it, and shows its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from . import step_runner
from .step_runner import Outcome, StepFailed

POLL_S = 10.0
_LIMIT = "AccountLimitExceededException"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A build. `status` is CodeBuild's: IN_PROGRESS, SUCCEEDED, FAILED, STOPPED, TIMED_OUT, FAULT."""

    id: str
    status: str
    phase: str
    log: str
    """The address of its log in the console, "" before there is one."""


def start(codebuild: Any, project: str, steps: Sequence[str]) -> Build:
    """Start a build of these steps. Raises StepFailed."""
    override = [{"name": "SPARKLE_STEPS", "value": " ".join(steps), "type": "PLAINTEXT"}]
    try:
        return _build(codebuild.start_build(projectName=project, environmentVariablesOverride=override)["build"])
    except ClientError as error:
        if error.response["Error"]["Code"] != _LIMIT:
            raise
        raise StepFailed(
            "AWS allows no build in this account yet.", "./dev doctor shows the quota and the command that raises it."
        ) from None


def wait(
    codebuild: Any, build: Build, *, say: Callable[[str], None], sleep: Callable[[float], object] = time.sleep
) -> Build:
    """Follow the build to its end, and say each new phase."""
    phase = ""
    while True:
        if build.phase != phase:
            phase = build.phase
            say(f"{build.id}: {phase.lower().replace('_', ' ')}" + (f" ({build.log})" if build.log else ""))
        if build.status != "IN_PROGRESS":
            return build
        sleep(POLL_S)
        build = _build(codebuild.batch_get_builds(ids=[build.id])["builds"][0])


def latest(codebuild: Any, project: str) -> Build | None:
    """Return the project's last build, None if it has none."""
    ids = codebuild.list_builds_for_project(projectName=project, sortOrder="DESCENDING").get("ids", [])
    return _build(codebuild.batch_get_builds(ids=ids[:1])["builds"][0]) if ids else None


def report_of(s3: Any, bucket: str, build: Build) -> list[Outcome]:
    """Return the build's report; empty if it ended before it could write one."""
    try:
        content = s3.get_object(Bucket=bucket, Key=step_runner.key(build.id))["Body"].read()
    except s3.exceptions.NoSuchKey:
        return []
    return step_runner.from_json(content)


def _build(found: dict[str, Any]) -> Build:
    return Build(
        id=found["id"],
        status=found["buildStatus"],
        phase=found.get("currentPhase", ""),
        log=found.get("logs", {}).get("deepLink", ""),
    )
