"""The role of the deployment's build may make each call to AWS that its steps make. Read from both sources."""

from __future__ import annotations

import re

import pytest

from deployment.__main__ import STEPS

from .iam_scan import ROOT
from .terraform import FOLDER

# What CodeBuild runs (deployment/__main__.py and what it imports for its steps).
SOURCES = ("__main__", "images", "migration")


def asked() -> set[str]:
    """Return the actions of the calls on clients: `ecr.describe_images(...)`, `aws("s3").put_object(...)`."""
    found = set()
    for name in SOURCES:
        source = (ROOT / "deployment" / f"{name}.py").read_text()
        for service, call in re.findall(r'\b(?:aws\("(?=\w+"\)\.))?(ecr|ecs|s3)(?:"\))?\.([a-z_]+)\(', source):
            found.add(f"{service}:{''.join(word.title() for word in call.split('_'))}")
    return found


def allowed() -> set[str]:
    policy = (FOLDER / "modules" / "sparkle" / "build.tf").read_text()
    document = policy.partition('data "aws_iam_policy_document" "build" {')[2].partition("\nresource ")[0]
    return set(re.findall(r'"([a-z0-9-]+:[A-Z]\w+)"', document))


def test_the_build_may_make_each_call_of_its_steps() -> None:
    assert asked() == {
        "ecr:DescribeImages",
        "ecr:GetAuthorizationToken",
        "ecs:DescribeTasks",
        "ecs:RunTask",
        "s3:PutObject",
    }
    assert asked() <= allowed()


@pytest.mark.parametrize("needed", ["iam:PassRole", "secretsmanager:GetSecretValue", "ecr:PutImage", "s3:GetObject"])
def test_the_build_may_do_what_codebuild_docker_and_ecs_do_for_it(needed: str) -> None:
    assert needed in allowed()


def test_the_project_runs_the_steps_that_there_are() -> None:
    assert f'value = "{" ".join(STEPS)}"' in (FOLDER / "modules" / "sparkle" / "build.tf").read_text()
