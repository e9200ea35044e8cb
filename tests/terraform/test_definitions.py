"""What each function and task is given: the rights that its code needs and no other, the variables that it reads.

Terraform puts the definitions together on made-up resources (terraform/tests/definitions.tftest.hcl); no account and
no emulator is needed. What the code asks is read from its source (reach.py).
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands

from guilds import masks

from .iam_scan import ROOT, SECRET, Unit, asks, everything, reached
from .terraform import Terraform

pytestmark = pytest.mark.terraform

State = dict[str, dict[str, Any]]
LOGIN: Unit = ("sparkle_site.rds.base", "DatabaseWrapper")
HEADLESS: list[Unit] = [("sparkle_site.settings.headless", ""), LOGIN]
WEB: list[Unit] = [("sparkle_site.settings.web", ""), LOGIN]
UPKEEP: Unit = ("interactions_lambda.scheduled_functions", "upkeep")

FUNCTIONS: dict[str, list[Unit]] = {
    "interactions": [("interactions_lambda.handler", "handler"), ("interactions_lambda.handler", ""), *HEADLESS],
    "scaling": [("interactions_lambda.scheduled_functions", "scaling"), *HEADLESS],
    "upkeep": [UPKEEP, *HEADLESS],
}
TASKS: dict[str, Callable[[], list[Unit]]] = {
    # Views, admin actions and middleware are found by Django: the whole site is taken.
    "web": lambda: [*everything("sparkle_site"), UPKEEP],
    "worker": lambda: [("gpu_worker.__main__", "main"), *HEADLESS],
    "prepare": lambda: [("sparkle_site.rds.create_role", "main"), *WEB],
}

# The agent's and the runtime's own, on behalf of the code.
PLATFORM = ("logs:",)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the configuration makes, by the name of the run, as Terraform shows a state."""
    folder = tmp_path_factory.mktemp("definitions")
    terraform = Terraform(data=folder, environment={"AWS_DEFAULT_REGION": "us-east-1"})
    terraform.init()
    told = terraform.run("test", "-filter=tests/definitions.tftest.hcl", "-json", "-verbose")
    lines = [json.loads(line) for line in told.splitlines()]
    return {line["@testrun"]: line["test_state"] for line in lines if line["type"] == "test_state"}


@pytest.fixture(scope="module")
def states(made: dict[str, Any]) -> dict[str, State]:
    """The resources of each run, by their address."""
    return {
        name: {each["address"]: each["values"] for each in state["root_module"]["resources"]}
        for name, state in made.items()
    }


@pytest.fixture(scope="module")
def outputs(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["as_it_comes"]["outputs"]
    return found


def names(state: State) -> dict[str, str]:
    """What an ARN is called in `reach.asks`."""
    secrets = {
        state[f'aws_secretsmanager_secret.this["{name}"]']["arn"]: name.upper().replace("-", "_")
        for name in ("django-secret-key", "discord-bot-token", "discord-client-secret", "huggingface-token")
    }
    bucket = state["aws_s3_bucket.images"]["arn"]
    return secrets | {
        state["aws_sqs_queue.jobs"]["arn"]: "jobs",
        state["aws_sqs_queue.dead"]["arn"]: "dead",
        bucket: "images",
        f"{bucket}/*": "images",
        f"{bucket}/uploads/*": "uploads",
    }


def given(state: State, document: str) -> set[str]:
    """The actions that a policy document grants, each with what it is granted on."""
    known = names(state)

    def name(arn: str) -> str:
        for kind, called in ((":dbuser:", "database"), (":task/", "tasks"), (":service/", "services")):
            if kind in arn:
                return called
        return known[arn]

    return {
        f"{action} {name(resource)}"
        for statement in state[f"data.aws_iam_policy_document.{document}"]["statement"]
        for action in statement["actions"]
        for resource in statement["resources"]
        if not action.startswith(PLATFORM)
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_what_its_code_asks_and_nothing_else(states: dict[str, State], function: str) -> None:
    asked = asks(reached(*FUNCTIONS[function]))
    assert given(states["with_a_nat"], f'function["{function}"]') == asked


@pytest.mark.parametrize("task", TASKS)
def test_a_task_may_do_what_its_code_asks_and_nothing_else(states: dict[str, State], task: str) -> None:
    # Its secrets are put into its environment by ECS.
    asked = {each for each in asks(reached(*TASKS[task]())) if not each.startswith(SECRET)}
    if task == "web":
        # It stores masks and nothing else by jobs/storage.py, where its forms keep their files, too.
        stored = [file.name for file in (ROOT / "sparkle_site").rglob("*.py") if "storage.store(" in file.read_text()]
        assert (stored, masks.mask_key(1)[:8]) == (["edit_area.py"], "uploads/")
        asked -= {"s3:PutObject images"}
    assert given(states["as_it_comes"], f'task["{task}"]') == asked


def test_the_endpoints_let_through_what_the_functions_ask(states: dict[str, State]) -> None:
    """Without a NAT they are the functions' only way to the queue and to their secret."""
    through = given(states["as_it_comes"], 'endpoint["sqs"]') | given(
        states["as_it_comes"], 'endpoint["secretsmanager"]'
    )
    for function in ("interactions", "scaling"):
        asked = asks(reached(*FUNCTIONS[function]))
        assert {each for each in asked if each.startswith(("sqs:", "secretsmanager:"))} <= through


def test_the_workflow_may_make_each_call_it_makes(states: dict[str, State]) -> None:
    state = states["as_it_comes"]
    steps = json.loads(state["aws_sfn_state_machine.scaling"]["definition"])["States"]["Ticks"]["ItemProcessor"][
        "States"
    ]
    asked = set()
    for step in steps.values():
        if step["Type"] == "Task":
            *_, service, call = step["Resource"].removesuffix(":invoke").split(":")
            asked.add("lambda:InvokeFunction" if call == "lambda" else f"{service}:{call[0].upper()}{call[1:]}")
    allowed = {
        action
        for statement in state["data.aws_iam_policy_document.scaling_workflow"]["statement"]
        for action in statement["actions"]
        if not action.startswith(PLATFORM)
    }
    assert allowed == asked


# ---------------------------------------------------------------- Variables


def containers(state: State) -> Iterator[tuple[str, dict[str, str], dict[str, str], list[str]]]:
    """Each container's name, its variables, its secrets' ARNs by variable, and its command."""
    for task in TASKS:
        for each in json.loads(state[f"aws_ecs_task_definition.{task}"]["container_definitions"]):
            variables = {pair["name"]: pair["value"] for pair in each["environment"]}
            secrets = {pair["name"]: pair["valueFrom"] for pair in each["secrets"]}
            yield each["name"], variables, secrets, each.get("command", [])


def environments(state: State) -> dict[str, dict[str, str]]:
    """Each function's and container's variables, with the secrets as ECS puts them in."""
    found = {name: variables | dict.fromkeys(secrets, "s" * 60) for name, variables, secrets, _ in containers(state)}
    for function in FUNCTIONS:
        made = state.get(f'aws_lambda_function.this["{function}"]')
        if made:
            found[function] = made["environment"][0]["variables"]
    return found


def without_a_useful_default(settings: str) -> set[str]:
    """The variables that a settings module reads and that mean nothing when they are not set."""
    found: set[str] = set()
    for name in ("base", settings):
        for node in ast.walk(ast.parse((ROOT / "sparkle_site" / "settings" / f"{name}.py").read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            default = next((each.value for each in node.keywords if each.arg == "default"), None)
            empty = isinstance(default, ast.Constant) and default.value in ("", 0) and default.value is not False
            if ast.unparse(node.func) in {"required", "secret"} or (
                ast.unparse(node.func).startswith("env.") and empty
            ):
                found.add(str(node.args[0].value))
    return found


@pytest.mark.parametrize("run", ["as_it_comes", "with_a_nat"])
def test_everybody_is_given_what_their_settings_need(states: dict[str, State], run: str) -> None:
    for name, variables in environments(states[run]).items():
        settings = variables["DJANGO_SETTINGS_MODULE"].rpartition(".")[2]
        needed = without_a_useful_default(settings)
        # A secret comes as itself or by its ARN, and only to whom it concerns (see the rights above).
        needed -= {each for each in needed if each.endswith("_ARN") or f"{each}_ARN" in variables}
        # Empty turns its page off, as a deployment comes.
        if run == "as_it_comes" or name != "web":
            needed -= {"METRICS_TOKEN"}
        # Workers alone get the token for gated models; without it the admin inspects public ones.
        if name != "worker":
            needed -= {"HF_TOKEN"}
        if name in {"interactions", "scaling", "prepare"}:
            needed -= {"DISCORD_BOT_TOKEN"}
        if name == "prepare":
            needed -= {"DISCORD_CLIENT_SECRET"}
        assert needed <= set(variables), f"{run}: {name} lacks {sorted(needed - set(variables))}"


def worker(state: State) -> dict[str, Any]:
    (container,) = json.loads(state["aws_ecs_task_definition.worker"]["container_definitions"])
    return {
        "variables": {pair["name"]: pair["value"] for pair in container["environment"]},
        "secrets": {pair["name"] for pair in container["secrets"]},
        "health": container["healthCheck"]["command"],
    }


def test_the_worker_knows_its_region_and_gets_the_drivers_computing_part(states: dict[str, State]) -> None:
    found = worker(states["as_it_comes"])
    assert found["variables"]["AWS_REGION"] == "us-east-1"
    assert found["variables"]["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    # The image's own HEALTHCHECK, which ECS does not read.
    assert f"CMD {json.dumps(found['health'][1:])}" in (ROOT / "gpu_worker" / "Dockerfile").read_text()


def test_only_a_worker_that_downloads_models_is_online_and_has_the_token(states: dict[str, State]) -> None:
    offline, online = worker(states["as_it_comes"]), worker(states["with_a_nat"])
    assert (offline["variables"]["HF_HUB_OFFLINE"], online["variables"]["HF_HUB_OFFLINE"]) == ("1", "0")
    assert online["secrets"] - offline["secrets"] == {"HF_TOKEN"}


def test_a_function_is_told_of_the_secrets_that_it_may_read(states: dict[str, State]) -> None:
    state = states["with_a_nat"]
    for function in FUNCTIONS:
        told = {each for each in environments(state)[function] if each.endswith("_ARN")}
        readable = {each.split()[1] for each in given(state, f'function["{function}"]') if each.startswith(SECRET)}
        assert {each.removesuffix("_ARN") for each in told} == readable


@pytest.mark.parametrize("task", TASKS)
def test_ecs_may_read_the_secrets_that_it_puts_into_a_task(states: dict[str, State], task: str) -> None:
    state = states["as_it_comes"]
    wanted = {
        arn.removesuffix(":password::")
        for each in json.loads(state[f"aws_ecs_task_definition.{task}"]["container_definitions"])
        for arn in (pair["valueFrom"] for pair in each["secrets"])
    }
    readable = {
        resource
        for statement in state[f'data.aws_iam_policy_document.execution["{task}"]']["statement"]
        if SECRET in statement["actions"]
        for resource in statement["resources"]
    }
    assert readable == wanted


def test_everybody_starts_with_just_these_variables(states: dict[str, State], tmp_path: Path) -> None:
    """Django is set up in a process of its own, as each function and container does it, with what it is given."""
    environments_ = environments(states["as_it_comes"]) | environments(states["with_a_nat"])
    assert set(environments_) == {*FUNCTIONS, *TASKS}
    for name, variables in environments_.items():
        # A function fetches its key by ARN, from AWS: the one thing that is not there.
        key = {"DJANGO_SECRET_KEY": "k" * 60} if name in FUNCTIONS else {}
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import django; django.setup(); from django.core import checks; checks.run_checks()",
            ],
            env={"PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), **variables, **key},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stderr[-2000:]}"


# Stands for the AWS CLI: keeps what it is asked and answers as AWS does.
_AWS = """#!/bin/bash
printf '%s\\n' "$@" > "$HERE/$1-$2"
case "$1 $2" in
  "ecs run-task") echo arn:aws:ecs:us-east-1:123456789012:task/sparkle-test/0123abc ;;
  "logs get-log-events") echo https://api.example/accounts/set-password/MQ/x/ ;;
esac
"""


def test_the_operators_command_runs_the_task_and_prints_its_link(outputs: dict[str, Any], tmp_path: Path) -> None:
    program = tmp_path / "aws"
    program.write_text(_AWS)
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", outputs["operator_command"]["value"]],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HERE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "https://api.example/accounts/set-password/MQ/x/\n"
    started = (tmp_path / "ecs-run-task").read_text().splitlines()
    (override,) = json.loads(started[started.index("--overrides") + 1])["containerOverrides"]
    assert override == {"name": "prepare", "command": ["python", "manage.py", "create_operator", "operator"]}
    assert "create_operator" in get_commands()
    assert "arn:aws:ecs:us-east-1:123456789012:task/sparkle-test/0123abc" in (tmp_path / "ecs-wait").read_text()
    # The stream's name: the prefix that the task's log has, the container, and the task's id.
    assert "prepare/prepare/0123abc" in (tmp_path / "logs-get-log-events").read_text().splitlines()


def test_every_command_is_a_module_that_exists(states: dict[str, State]) -> None:
    for name, _, _, command in containers(states["as_it_comes"]):
        words = " ".join(command).replace("&&", " ").split()
        for before, word in pairwise(words):
            if before == "-m":
                path = ROOT / word.replace(".", "/")
                assert path.with_suffix(".py").exists(), f"{name}: {word}"
            if before == "python" and word.endswith(".py"):
                assert (ROOT / word).exists(), f"{name}: {word}"
    for function in states["with_a_nat"]:
        if function.startswith("aws_lambda_function."):
            module, _, attribute = states["with_a_nat"][function]["handler"].rpartition(".")
            source = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text())
            assert attribute in {node.name for node in source.body if isinstance(node, ast.FunctionDef)}
