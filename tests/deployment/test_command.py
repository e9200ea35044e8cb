"""`python -m deployment`, as the build runs it: against Discord's API and S3 over HTTP."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

import boto3
import pytest
from django.utils import timezone

from deployment import __main__ as command
from deployment import step_runner
from devtools import api_gateway
from devtools.cli import deploy
from devtools.simulator import command_registry, seed_data
from devtools.simulator.models import SimApplication
from devtools.sqs_emulator import ministack

from ..required_programs import processes_of_the_run
from .conftest import VALUES
from .test_discord_application import Quiet


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, live_server: Any, settings: Any, transactional_db: None
) -> Iterator[dict[str, str]]:
    """What the build gets: the deployment's description, a token, and an account with its bucket."""
    seed_data.make_servers(now=timezone.now())
    with (
        processes_of_the_run(),
        ministack({"SERVICES": "s3,ecr,codebuild", "LOG_LEVEL": "ERROR"}) as endpoint,
        make_server("127.0.0.1", 0, api_gateway.application, handler_class=Quiet) as server,
    ):
        aws = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t"}
        for name, value in aws.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=VALUES["bucket"])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        api = f"http://127.0.0.1:{server.server_port}"
        described = VALUES | {
            "discord_api_base": f"{live_server.url}/simulator/api/v10",
            "discord_public_key": settings.DISCORD_PUBLIC_KEY,
            "interactions_url": f"{api}/interactions",
            "events_url": f"{api}/events",
        }
        yield {
            "SPARKLE_DEPLOYMENT": json.dumps(described),
            "DISCORD_BOT_TOKEN": settings.DISCORD_BOT_TOKEN,
            "CODEBUILD_BUILD_ID": "sparkle-test-deployment:42",
        }
        server.shutdown()
        thread.join()


def written() -> list[step_runner.Outcome]:
    s3 = boto3.client("s3", region_name="us-east-1")
    return step_runner.from_json(s3.get_object(Bucket=VALUES["bucket"], Key="reports/42.json")["Body"].read())


@pytest.mark.emulator
def test_a_deployment_is_connected_and_its_report_kept(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["connect"], environment) == 0
    assert SimApplication.objects.get().interactions_endpoint_url.endswith("/interactions")
    assert len(command_registry.registered(None)) == len(written()[0].lines[2].split(", "))
    assert "connect: done" in capsys.readouterr().out

    # An account without the cluster: the migration fails, and nothing after it is begun.
    assert command.main(["migrate", "connect"], environment) == 1
    failed, untouched = written()
    assert (failed.status, untouched.status) == ("failed", "not started")
    assert failed.lines[0].startswith("AWS refused:")
    said = capsys.readouterr().out
    assert "What to do: " in said
    assert environment["DISCORD_BOT_TOKEN"] not in said


def terraform_that_prints(folder: Path, deployment: str) -> str:
    """Return a PATH with a program that stands for Terraform and its state."""
    (folder / "deployment.json").write_text(deployment)
    program = folder / "terraform"
    program.write_text(f"#!/bin/sh\ncat {folder / 'deployment.json'}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.emulator
def test_the_status_says_what_is_there_and_what_to_do_about_the_rest(
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    live_server: Any,
) -> None:
    described = json.loads(environment["SPARKLE_DEPLOYMENT"]) | {"site_url": live_server.url}
    monkeypatch.setenv("PATH", terraform_that_prints(tmp_path, json.dumps(described)))
    monkeypatch.setenv("TF_VAR_discord_bot_secret", environment["DISCORD_BOT_TOKEN"])
    assert deploy.main(["status"]) == 1
    said = capsys.readouterr().out
    assert "missing     Built: the registry lacks web 0123456789ab and worker 0123456789ab" in said
    assert "ok          Healthy: the site answers" in said
    assert "ok          Migrated: the database has all migrations" in said
    assert "missing     Registered: interactions go to nowhere" in said
    assert "-> cd terraform && terraform apply" in said
    assert f"-> ./dev deploy run --steps connect --project {VALUES['project']}" in said

    # Connected, with both images in the registry.
    assert command.main(["connect"], environment) == 0
    ecr = boto3.client("ecr", region_name="us-east-1")
    for image in ("web", "worker"):
        ecr.create_repository(repositoryName=f"sparkle-test/{image}")
        ecr.put_image(repositoryName=f"sparkle-test/{image}", imageManifest="{}", imageTag=VALUES["tags"][image])
    capsys.readouterr()
    deploy.main(["status"])
    said = capsys.readouterr().out
    assert "ok          Built: both images are in the registry" in said
    assert "ok          Registered: endpoint and commands" in said
    assert environment["DISCORD_BOT_TOKEN"] not in said
