"""What a deployment has reached: built, migrated, registered, healthy; and for what is missing, what to do."""

from __future__ import annotations

from typing import Any

import httpx

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError
from guilds import command_registration

from . import codebuild_runs, images
from .checks import MISSING, OK, UNKNOWN, Finding
from .terraform_output import Deployment

APPLY = "cd terraform && terraform apply"
TIMEOUT_S = 10.0


def built(deployment: Deployment, ecr: Any) -> Finding:
    absent = [f"{image} {deployment.tags[image]}" for image in images.missing_images(deployment, ecr)]
    if absent:
        detail = f"the registry lacks {' and '.join(absent)}"
        return Finding(what="Built", status=MISSING, detail=detail, command=APPLY)
    return Finding(what="Built", status=OK, detail="both images are in the registry")


def last_build(deployment: Deployment, codebuild: Any, s3: Any) -> Finding:
    """What the last build did; where it failed, its own advice."""
    what = "Last build"
    build = codebuild_runs.latest(codebuild, deployment.project)
    if build is None:
        return Finding(what=what, status=MISSING, detail="none was started", command=APPLY)
    if build.status == "IN_PROGRESS":
        return Finding(what=what, status=UNKNOWN, detail=f"running, {build.phase.lower()}", command=build.log)
    outcomes = codebuild_runs.report_of(s3, deployment.bucket, build)
    failed = next((outcome for outcome in outcomes if outcome.status == "failed"), None)
    if failed is not None:
        detail = f"{failed.step} failed: {' '.join(failed.lines)}"
        return Finding(what=what, status=MISSING, detail=detail, command=failed.next_step)
    if build.status != "SUCCEEDED":
        command = f"Read its log: {build.log}. Then apply again." if build.log else APPLY
        return Finding(what=what, status=MISSING, detail=f"{build.status.lower()} without a report", command=command)
    steps = ", ".join(outcome.step for outcome in outcomes) or "no report"
    return Finding(what=what, status=OK, detail=f"succeeded ({steps})")


def check_health(deployment: Deployment, http: httpx.Client) -> list[Finding]:
    """Whether the site answers, and whether the database has all migrations that its code needs."""
    return [
        _answers(http, "Healthy", f"{deployment.site_url}/healthz", "the site answers", deployment),
        _answers(http, "Migrated", f"{deployment.site_url}/readyz", "the database has all migrations", deployment),
    ]


def _answers(http: httpx.Client, what: str, url: str, detail: str, deployment: Deployment) -> Finding:
    command = f"aws logs tail /aws/ecs/{deployment.cluster}/web --since 15m --region {deployment.region}"
    try:
        answer = http.get(url, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        return Finding(what=what, status=MISSING, detail=f"{url}: {type(error).__name__}", command=command)
    if answer.status_code == httpx.codes.OK:
        return Finding(what=what, status=OK, detail=detail)
    return Finding(what=what, status=MISSING, detail=f"{url} answers {answer.status_code}", command=command)


def registered(deployment: Deployment, discord: DiscordClient) -> Finding:
    """Whether the application points here and has this version's commands."""
    what = "Registered"
    try:
        application = discord.application()
        changes = command_registration.differences(discord)
    except DiscordError as error:
        detail = f"Discord answered with {error.status} ({error.message or 'no reason'})"
        return Finding(what=what, status=UNKNOWN, detail=detail, command="./dev doctor")
    there = application.get("interactions_endpoint_url")
    command = f"./dev deploy run --steps connect --project {deployment.project} --bucket {deployment.bucket}"
    if there != deployment.interactions_url:
        detail = f"interactions go to {there or 'nowhere'}, not to {deployment.interactions_url}"
        return Finding(what=what, status=MISSING, detail=detail, command=f"{command} --region {deployment.region}")
    if changes:
        detail = "commands differ: " + ", ".join(f"{change.name} ({change.kind})" for change in changes)
        return Finding(what=what, status=MISSING, detail=detail, command=f"{command} --region {deployment.region}")
    return Finding(what=what, status=OK, detail="endpoint and commands")
