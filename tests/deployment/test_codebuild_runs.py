"""./dev deploy: a build is started, followed and reported; the status says for each missing thing what to do."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import httpx
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber
from pytest_httpserver import HTTPServer

from deployment import codebuild_runs, discord_application, status, step_runner
from deployment.checks import MISSING, OK, UNKNOWN
from deployment.step_runner import Outcome, StepFailed
from deployment.terraform_output import Deployment
from devtools.cli import deploy
from devtools.simulator import command_registry
from devtools.simulator.models import SimApplication
from devtools.sqs_emulator import ministack
from discord_api.client import DiscordClient

from ..required_programs import processes_of_the_run

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
FAILED = [
    Outcome(step="images", status="done"),
    Outcome(step="migrate", status="failed", lines=("It ended with 1.",), next_step="Read the log."),
]


def client(service: str) -> Any:
    made = boto3.client(service, **KEYS)
    made.stub = Stubber(made)
    made.stub.activate()
    return made


def build(phase: str, result: str = "IN_PROGRESS") -> dict[str, Any]:
    return {"id": "project:1", "buildStatus": result, "currentPhase": phase, "logs": {"deepLink": "https://log"}}


def stored(s3: Any, outcomes: list[Outcome]) -> None:
    content = step_runner.to_json(outcomes).encode()
    expected = {"Bucket": "sparkle-test-deployment", "Key": "reports/1.json"}
    s3.stub.add_response("get_object", {"Body": StreamingBody(io.BytesIO(content), len(content))}, expected)


def test_a_build_is_started_with_its_steps_and_followed() -> None:
    codebuild = client("codebuild")
    override = [{"name": "SPARKLE_STEPS", "value": "images migrate", "type": "PLAINTEXT"}]
    expected = {"projectName": "project", "environmentVariablesOverride": override}
    codebuild.stub.add_response("start_build", {"build": build("SUBMITTED")}, expected)
    for found in (build("BUILD"), build("BUILD"), build("COMPLETED", "SUCCEEDED")):
        codebuild.stub.add_response("batch_get_builds", {"builds": [found]}, {"ids": ["project:1"]})
    said: list[str] = []
    started = codebuild_runs.start(codebuild, "project", ["images", "migrate"])
    ended = codebuild_runs.wait(codebuild, started, say=said.append, sleep=lambda _: None)
    assert ended.status == "SUCCEEDED"
    assert said == [f"project:1: {phase} (https://log)" for phase in ("submitted", "build", "completed")]


def test_an_account_that_allows_no_build_is_told_how_to_ask() -> None:
    codebuild = client("codebuild")
    codebuild.stub.add_client_error("start_build", "AccountLimitExceededException")
    with pytest.raises(StepFailed) as failed:
        codebuild_runs.start(codebuild, "project", ["images"])
    assert "./dev doctor" in failed.value.next_step


# Status.


def test_what_the_registry_lacks_is_named(make_deployment: Callable[..., Deployment]) -> None:
    ecr = client("ecr")
    ecr.stub.add_response("describe_images", {"imageDetails": [{}]})
    ecr.stub.add_client_error("describe_images", "ImageNotFoundException")
    finding = status.built(make_deployment(), ecr)
    assert (finding.status, finding.detail) == (MISSING, "the registry lacks worker 0123456789ab")


def test_a_failed_build_says_its_own_advice(make_deployment: Callable[..., Deployment]) -> None:
    codebuild, s3 = client("codebuild"), client("s3")
    codebuild.stub.add_response("list_builds_for_project", {"ids": ["project:1", "project:0"]})
    codebuild.stub.add_response("batch_get_builds", {"builds": [build("COMPLETED", "FAILED")]}, {"ids": ["project:1"]})
    stored(s3, FAILED)
    finding = status.last_build(make_deployment(), codebuild, s3)
    assert (finding.status, finding.command) == (MISSING, "Read the log.")
    assert finding.detail == "migrate failed: It ended with 1."


@pytest.mark.parametrize(
    ("found", "result"),
    [
        (build("BUILD"), UNKNOWN),
        (build("COMPLETED", "FAILED"), MISSING),
        (build("COMPLETED", "SUCCEEDED"), OK),
    ],
)
def test_a_build_without_a_report_yet(
    make_deployment: Callable[..., Deployment], found: dict[str, Any], result: str
) -> None:
    codebuild, s3 = client("codebuild"), client("s3")
    codebuild.stub.add_response("list_builds_for_project", {"ids": ["project:1"]})
    codebuild.stub.add_response("batch_get_builds", {"builds": [found]})
    s3.stub.add_client_error("get_object", "NoSuchKey")
    assert status.last_build(make_deployment(), codebuild, s3).status == result


def test_a_site_that_waits_for_its_migration_is_healthy_and_not_migrated(
    make_deployment: Callable[..., Deployment], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/healthz").respond_with_json({"status": "alive"})
    httpserver.expect_request("/readyz").respond_with_json({"status": "not ready"}, status=503)
    with httpx.Client() as http:
        healthy, migrated = status.check_health(make_deployment(site_url=httpserver.url_for("").rstrip("/")), http)
        assert (healthy.status, migrated.status) == (OK, MISSING)
        assert "aws logs tail /aws/ecs/sparkle-test/web" in migrated.command
        gone = status.check_health(make_deployment(site_url="http://127.0.0.1:1"), http)
    assert [finding.status for finding in gone] == [MISSING, MISSING]


def test_an_application_that_points_elsewhere_is_not_registered(
    make_deployment: Callable[..., Deployment], connect_client: Callable[..., DiscordClient], settings: Any
) -> None:
    deployment = make_deployment()
    discord = connect_client(deployment)
    assert "interactions go to nowhere" in status.registered(deployment, discord).detail
    SimApplication.objects.update(interactions_endpoint_url=deployment.interactions_url)
    missing = status.registered(deployment, discord)
    assert "sparkle (new)" in missing.detail
    assert missing.command.startswith("./dev deploy run --steps connect --project sparkle-test-deployment")
    discord_application._register(discord)
    assert command_registry.registered(None)
    assert status.registered(deployment, discord).status == OK
    dead = connect_client(deployment, bot_token="dead")
    assert status.registered(deployment, dead).status == UNKNOWN


# The command, on the emulator, whose builds succeed at once and write no report.


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with processes_of_the_run(), ministack({"SERVICES": "codebuild,s3", "LOG_LEVEL": "ERROR"}) as endpoint:
        for name, value in {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "t",
            "AWS_SECRET_ACCESS_KEY": "t",
        }.items():
            monkeypatch.setenv(name, value)
        yield endpoint


@pytest.mark.emulator
def test_the_command_runs_a_build_and_prints_its_report(emulator: str, capsys: pytest.CaptureFixture[str]) -> None:
    codebuild, s3 = (boto3.client(name, region_name="us-east-1") for name in ("codebuild", "s3"))
    s3.create_bucket(Bucket="reports")
    codebuild.create_project(
        name="project",
        source={"type": "S3", "location": "reports/source.zip"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "aws", "computeType": "BUILD_GENERAL1_LARGE"},
        serviceRole="arn:aws:iam::000000000000:role/build",
    )
    arguments = ["run", "--project", "project", "--bucket", "reports", "--region", "us-east-1", "--steps", "migrate"]
    assert deploy.main(arguments) == 0
    assert "project:" in capsys.readouterr().out
    assert deploy.main([*arguments[:2], "no-such-project", *arguments[3:]]) == 1
    assert capsys.readouterr().err.startswith("deploy: ")


def test_unknown_steps_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        deploy.main(["run", "--project", "p", "--bucket", "b", "--region", "r", "--steps", "imagse"])
    assert "images, migrate, connect" in capsys.readouterr().err


def test_reports_survive_as_json() -> None:
    assert json.loads(step_runner.to_json(FAILED))[1]["next_step"] == "Read the log."
