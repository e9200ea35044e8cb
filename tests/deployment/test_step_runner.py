"""The steps of a deployment: what is built, how the database is migrated, and what a report says after a failure."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from deployment import __main__ as command
from deployment import images, migration, source, step_runner, terraform_output
from deployment.step_runner import Outcome, Step, StepFailed
from deployment.terraform_output import Deployment

from .conftest import VALUES

Make = Callable[..., Deployment]


@pytest.fixture
def ecr() -> Any:
    client = boto3.client("ecr", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        client.stub = stub
        yield client
        stub.assert_no_pending_responses()


@pytest.fixture
def ecs() -> Any:
    client = boto3.client("ecs", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        client.stub = stub
        yield client
        stub.assert_no_pending_responses()


# Report.


def fail() -> list[str]:
    raise StepFailed("The disk is full.", "Take a larger one.")


def test_a_failed_step_ends_the_run_and_says_what_to_do() -> None:
    said: list[str] = []
    steps = [
        Step(name="images", run=lambda: ["web was built."]),
        Step(name="migrate", run=fail),
        Step(name="connect", run=lambda: ["never"]),
    ]
    outcomes = step_runner.run(steps, say=said.append)
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "not started"]
    assert not step_runner.succeeded(outcomes)
    assert step_runner.text(outcomes) == (
        "images: done\n  web was built.\n"
        "migrate: failed\n  The disk is full.\n  What to do: Take a larger one.\n"
        "connect: not started"
    )
    assert step_runner.from_json(step_runner.to_json(outcomes)) == outcomes


# Configuration.


def test_an_incomplete_description_names_what_is_missing() -> None:
    values = {name: value for name, value in VALUES.items() if name not in {"bucket", "release"}}
    with pytest.raises(terraform_output.NotConfigured, match=r"lacks release, bucket\. Run terraform apply"):
        terraform_output.read(json.dumps(values))
    with pytest.raises(terraform_output.NotConfigured, match="terraform output -json deployment"):
        terraform_output.from_environment({})
    with pytest.raises(terraform_output.NotConfigured, match="is not JSON"):
        terraform_output.read("{")


def test_the_command_refuses_unknown_steps_and_an_absent_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["imagse"], {}) == 2
    assert "images, migrate, connect" in capsys.readouterr().err
    assert command.main(["connect"], {}) == 2
    assert "SPARKLE_DEPLOYMENT is not set" in capsys.readouterr().err


def test_the_buildspec_runs_steps_that_exist_with_locked_requirements() -> None:
    buildspec = (source.ROOT / "deployment" / "buildspec.yml").read_text()
    commands = re.findall(r"^ +- (python .+)$", buildspec, re.MULTILINE)
    assert commands[-1] == "python -m deployment $SPARKLE_STEPS"
    locked = re.search(r"--require-hashes -r (\S+)", commands[0])
    assert locked is not None
    packages = (source.ROOT / locked[1]).read_text()
    assert all(re.search(rf"^{name}==", packages, re.MULTILINE) for name in ("boto3", "httpx"))


# Images.


def test_the_workers_build_bakes_its_models_and_names_no_token(make_deployment: Make) -> None:
    deployment = make_deployment(output_check=True)
    built = " ".join(images.build_command("worker", deployment, token=True))
    assert "--platform linux/amd64" in built
    assert "--build-arg MODEL_ID=stable-diffusion-v1-5/stable-diffusion-v1-5" in built
    assert "--build-arg MODELS=owner/one owner/two --build-arg SAFETY=1" in built
    assert "--secret id=huggingface,env=HUGGINGFACE_TOKEN" in built
    assert f"--tag {deployment.repositories['worker']}:{deployment.release} ." in built
    assert "--secret" not in images.build_command("worker", deployment, token=False)
    assert "--secret" not in images.build_command("web", deployment, token=True)


@pytest.mark.parametrize("image", images.DOCKERFILES)
def test_the_dockerfiles_declare_every_build_argument(image: str, make_deployment: Make) -> None:
    given = [part for part in images.build_command(image, make_deployment(), token=False) if "=" in part]
    named = {part.partition("=")[0] for part in given if not part.startswith("--")}
    declared = set(re.findall(r"^ARG (\w+)", (source.ROOT / images.DOCKERFILES[image]).read_text(), re.MULTILINE))
    assert named <= declared


def docker(folder: Path, monkeypatch: pytest.MonkeyPatch, *, output: str = "", status: int = 0) -> Path:
    """Put a docker on the PATH that notes its arguments and ends so."""
    noted = folder / "noted"
    program = folder / "docker"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {noted}\n[ "$1" = login ] && cat >> {noted} && exit 0\n'
        f"echo '{output}'\nexit {status}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return noted


def there(ecr: Any, *pushed: bool) -> None:
    """Let the registry say for each image whether its tag is there."""
    for each in pushed:
        if each:
            ecr.stub.add_response("describe_images", {"imageDetails": [{}]})
        else:
            ecr.stub.add_client_error("describe_images", "ImageNotFoundException")
    if not all(pushed):
        granted = {"authorizationToken": "QVdTOnNlY3JldA==", "proxyEndpoint": "https://registry"}
        ecr.stub.add_response("get_authorization_token", {"authorizationData": [granted]})


@pytest.mark.processes
def test_only_what_the_registry_lacks_is_built(
    ecr: Any, make_deployment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = docker(tmp_path, monkeypatch)
    there(ecr, True, False)
    done = images.build(make_deployment(), ecr=ecr, environment={"HUGGINGFACE_TOKEN": "-"})
    assert done == ["web 0123456789ab is in the registry.", "worker 0123456789ab was built and pushed."]
    lines = noted.read_text().splitlines()
    assert lines[0] == "login --username AWS --password-stdin https://registry"
    assert lines[1].startswith("secret" + "buildx build")
    assert len(lines) == 2
    assert "huggingface" not in lines[1]


def test_a_second_run_builds_nothing(ecr: Any, make_deployment: Make) -> None:
    there(ecr, True, True)
    assert len(images.build(make_deployment(), ecr=ecr)) == 2


@pytest.mark.processes
@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("GatedRepoError: Cannot access gated repo for url", "Accept the model"),
        ("write /layer: no space left on device", "build_compute_type"),
        ("something else", "Read the lines above"),
    ],
)
def test_a_failed_build_says_what_to_do(
    ecr: Any, make_deployment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, advice: str
) -> None:
    docker(tmp_path, monkeypatch, output=output, status=1)
    there(ecr, True, False)
    with pytest.raises(StepFailed, match="The worker image was not built") as failed:
        images.build(make_deployment(), ecr=ecr)
    assert advice in failed.value.next_step


def test_a_chosen_tag_is_not_built_and_must_be_there(ecr: Any, make_deployment: Make) -> None:
    deployment = make_deployment(tags={"web": "v1", "worker": "0123456789ab"})
    ecr.stub.add_client_error("describe_images", "ImageNotFoundException")
    ecr.stub.add_response("describe_images", {"imageDetails": [{}]})
    with pytest.raises(StepFailed, match="no web image v1") as failed:
        images.build(deployment, ecr=ecr)
    assert "web_image_tag" in failed.value.next_step


# Migration.


def task(status: str, **container: Any) -> dict[str, Any]:
    return {"taskArn": "arn:task", "lastStatus": status, "containers": [{"name": "prepare", **container}]}


def test_the_prepare_task_runs_in_its_network_and_is_waited_for(ecs: Any, make_deployment: Make) -> None:
    expected = {
        "cluster": "sparkle-test",
        "taskDefinition": "sparkle-test-prepare",
        "launchType": "FARGATE",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["subnet-1", "subnet-2"],
                "securityGroups": ["sg-1"],
                "assignPublicIp": "ENABLED",
            }
        },
    }
    ecs.stub.add_response("run_task", {"tasks": [task("PROVISIONING")], "failures": []}, expected)
    ecs.stub.add_response("describe_tasks", {"tasks": [task("RUNNING")]})
    ecs.stub.add_response("describe_tasks", {"tasks": [task("STOPPED", exitCode=0)]})
    waited: list[float] = []
    assert migration.migrate(make_deployment(), ecs=ecs, sleep=waited.append) == [
        "The database has all migrations of 0123456789ab."
    ]
    assert len(waited) == 2


@pytest.mark.parametrize(
    ("end", "problem", "advice"),
    [
        (task("STOPPED", exitCode=1), "exit status 1", "aws logs tail /aws/ecs/sparkle-test/prepare"),
        (task("STOPPED", reason="CannotPullContainerError"), "CannotPullContainerError", "apply again"),
    ],
)
def test_a_migration_that_fails_says_why(
    ecs: Any, make_deployment: Make, end: dict[str, Any], problem: str, advice: str
) -> None:
    ecs.stub.add_response("run_task", {"tasks": [end], "failures": []})
    with pytest.raises(StepFailed) as failed:
        migration.migrate(make_deployment(), ecs=ecs)
    assert problem in failed.value.problem
    assert advice in failed.value.next_step


def test_a_migration_that_never_ends_is_given_up(ecs: Any, make_deployment: Make) -> None:
    ecs.stub.add_response("run_task", {"tasks": [task("RUNNING")], "failures": []})
    times = iter([0.0, migration.TIMEOUT_S + 1])
    with pytest.raises(StepFailed, match="still runs"):
        migration.migrate(make_deployment(), ecs=ecs, clock=lambda: next(times))


# Source.


def test_the_source_has_all_that_the_dockerfiles_copy_and_the_same_bytes_twice(tmp_path: Path) -> None:
    source.pack(tmp_path / "one.zip")
    source.pack(tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    packed = set(zipfile.ZipFile(tmp_path / "one.zip").namelist())
    for dockerfile in images.DOCKERFILES.values():
        assert dockerfile in packed
        for line in (source.ROOT / dockerfile).read_text().splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                for copied in line.split()[1:-1]:
                    assert any(name == copied or name.startswith(f"{copied}/") for name in packed), copied
    assert not any("__pycache__" in name for name in packed)


def test_reports_lie_under_the_builds_id() -> None:
    assert step_runner.key("sparkle-test-deployment:6b2e") == "reports/6b2e.json"
    assert step_runner.key("") == "reports/by-hand.json"
    assert (
        Outcome(step="images", status="done")
        == step_runner.from_json('[{"step": "images", "status": "done", "lines": []}]')[0]
    )
