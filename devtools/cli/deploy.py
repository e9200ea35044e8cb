"""`./dev deploy`: run the steps of a deployment in the account, or show what it has reached."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import boto3
import httpx
from botocore.exceptions import BotoCoreError, ClientError

from deployment import (
    checks,
    codebuild_runs,
    discord_application,
    status,
    step_runner,
    terraform_inputs,
    terraform_output,
)
from deployment.__main__ import STEPS
from deployment.checks import Finding
from deployment.doctor import read_folder
from deployment.step_runner import StepFailed
from deployment.terraform_output import Deployment, NotConfigured

from . import arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if the steps succeeded or nothing is missing."""
    options = read_arguments(argv)
    try:
        if options.command == "run":
            return run(options)
        return show_status(read(options))
    except (NotConfigured, BotoCoreError, ClientError) as error:
        print(f"deploy: {error}", file=sys.stderr)
    except StepFailed as error:
        print(f"deploy: {error.problem}\nWhat to do: {error.next_step}", file=sys.stderr)
    return 1


MAX_NAME = 255


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev deploy", description="Run or show a deployment in AWS.")
    commands = parser.add_subparsers(dest="command", parser_class=arguments.Parser)
    running = commands.add_parser("run", help="run steps in AWS CodeBuild; terraform apply calls it")
    name = arguments.text(MAX_NAME)
    running.add_argument("--project", required=True, type=name, help="CodeBuild project")
    running.add_argument("--bucket", required=True, type=name, help="bucket with the reports")
    running.add_argument("--region", required=True, type=name)
    running.add_argument("--steps", type=_steps, default=list(STEPS), metavar="'STEP ...'", help=", ".join(STEPS))
    commands.add_parser("status", help="show what is built, migrated, registered and healthy")
    options = parser.parse_args(argv)
    if options.command is None:
        parser.error("write ./dev deploy status or ./dev deploy run")
    return options


def _steps(given: str) -> list[str]:
    steps = given.split()
    if not steps or not set(steps) <= set(STEPS):
        raise argparse.ArgumentTypeError(f"write some of {', '.join(STEPS)}, separated by spaces")
    return steps


def run(options: argparse.Namespace) -> int:
    """Start a build, follow it, and print its report."""
    codebuild = boto3.client("codebuild", region_name=options.region)
    say = partial(print, flush=True)
    build = codebuild_runs.wait(codebuild, codebuild_runs.start(codebuild, options.project, options.steps), say=say)
    outcomes = codebuild_runs.report_of(boto3.client("s3", region_name=options.region), options.bucket, build)
    if outcomes:
        print(step_runner.text(outcomes))
    if build.status == "SUCCEEDED":
        return 0
    if not outcomes:
        where = f" Its log: {build.log}" if build.log else ""
        print(f"deploy: the build has ended ({build.status.lower()}) before its first step.{where}", file=sys.stderr)
    return 1


def read(options: argparse.Namespace) -> Deployment:
    """Return the deployment that Terraform's state describes. Raises NotConfigured."""
    done = subprocess.run(
        ["terraform", f"-chdir={read_folder()}", "output", "-json", "deployment"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotConfigured("Terraform's state has no output deployment: run terraform apply in terraform/ first.")
    if json.loads(done.stdout) is None:
        raise NotConfigured("build_images is false, so the images, the migration and Discord are yours to look after.")
    return terraform_output.read(done.stdout)


def show_status(deployment: Deployment) -> int:
    """Print what the deployment has reached; return 1 if something is missing."""
    aws = partial(boto3.client, region_name=deployment.region)
    looks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("Built", lambda: [status.built(deployment, aws("ecr"))]),
        ("Last build", lambda: [status.last_build(deployment, aws("codebuild"), aws("s3"))]),
        ("Healthy", lambda: status.check_health(deployment, httpx.Client())),
        ("Registered", lambda: [_registered(deployment)]),
    ]
    findings: list[Finding] = []
    for what, look in looks:
        findings += _try(what, look)
    print(*checks.lines(findings), sep="\n")
    return 1 if any(finding.status == checks.MISSING for finding in findings) else 0


def _registered(deployment: Deployment) -> Finding:
    token: Any = terraform_inputs.read(read_folder(), os.environ).get("discord_bot_secret")
    if not token:
        command = "export TF_VAR_discord_bot_secret=..."
        return Finding(what="Registered", status=checks.UNKNOWN, detail="no bot token here", command=command)
    return status.registered(deployment, discord_application.client(deployment, bot_token=str(token)))


def _try(what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except (BotoCoreError, ClientError) as error:
        return [Finding(what=what, status=checks.UNKNOWN, detail=" ".join(str(error).split())[:200])]


if __name__ == "__main__":
    sys.exit(main())
