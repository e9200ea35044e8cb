"""The script that each GPU instance runs at each start, with stand-ins for the programs that it calls."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from pathlib import Path

import pytest

from .terraform import FOLDER

pytestmark = pytest.mark.processes

MODULE = FOLDER / "modules" / "sparkle"
SCRIPT = MODULE / "instance_ready.sh"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sparkle-prod/worker:v1"
# Each stand-in writes down how it was called. The agent answers as it does before and after it has registered.
PROGRAMS = {
    "curl": """case "$*" in
  *api/token*) echo token ;;
  *instance-id*) echo i-1 ;;
  *target-lifecycle-state*) echo "$STATE" ;;
  *51678*) cat "$HERE/agent" ;;
esac""",
    "aws": """echo "aws $*" >> "$HERE/calls"
if [ "$1" = ecr ]; then echo password; else exit "$(cat "$HERE/hook" 2>/dev/null || echo 0)"; fi""",
    "docker": """[ "$1" != login ] || cat > /dev/null
echo "docker $*" >> "$HERE/calls"; exit "$(cat "$HERE/docker-fails" 2>/dev/null || echo 0)\"""",
    "sleep": ":",
}
JOINED = '{"Cluster":"sparkle-prod","ContainerInstanceArn":"arn:aws:ecs:us-east-1:1:container-instance/sparkle-prod/1"}'
NOT_JOINED = '{"Cluster":"sparkle-prod","ContainerInstanceArn":null}'


class Instance:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        for name, body in PROGRAMS.items():
            program = folder / "bin" / name
            program.write_text(f"#!/bin/bash\n{body}\n")
            program.chmod(0o755)
        self.agent(NOT_JOINED)

    def agent(self, answer: str) -> None:
        (self.folder / "agent").write_text(answer)

    def start(self, state: str, *, patience_s: int = 60) -> int:
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HERE": str(self.folder),
            "STATE": state,
            "REGION": "us-east-1",
            "GROUP": "sparkle-prod-worker",
            "HOOK": "ready",
            "IMAGE": IMAGE,
            "PATIENCE_S": str(patience_s),
        }
        return subprocess.run(["bash", SCRIPT], env=environment, timeout=60, check=False).returncode

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def result(self) -> str:
        """What the hook was completed with."""
        (call,) = [line for line in self.calls if "complete-lifecycle-action" in line]
        assert "--auto-scaling-group-name sparkle-prod-worker --lifecycle-hook-name ready --instance-id i-1" in call
        return call.rpartition(" ")[2]


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def test_an_instance_pulls_its_image_before_it_is_stopped_in_the_warm_pool(instance: Instance) -> None:
    assert instance.start("Warmed:Stopped") == 0
    pulled = next(at for at, line in enumerate(instance.calls) if line == f"docker pull --quiet {IMAGE}")
    assert f"docker login --username AWS --password-stdin {IMAGE.split('/', maxsplit=1)[0]}" in instance.calls[:pulled]
    assert "complete-lifecycle-action" in instance.calls[-1]
    assert instance.result == "CONTINUE"


def test_an_instance_that_cannot_pull_is_not_put_into_the_warm_pool(instance: Instance) -> None:
    (instance.folder / "docker-fails").write_text("1")
    assert instance.start("Warmed:Stopped") != 0  # systemd tries again; the hook's own end replaces the instance.
    assert not any("complete-lifecycle-action" in line for line in instance.calls)


def test_an_instance_in_service_reports_itself_once_it_has_joined_the_cluster(instance: Instance) -> None:
    instance.agent(JOINED)
    assert instance.start("InService") == 0
    assert instance.result == "CONTINUE"
    assert not any(line.startswith("docker") for line in instance.calls)


@pytest.mark.parametrize("answer", ["", NOT_JOINED])
def test_an_instance_that_never_joins_is_replaced(instance: Instance, answer: str) -> None:
    instance.agent(answer)
    assert instance.start("InService", patience_s=0) == 0
    assert instance.result == "ABANDON"


def test_a_hook_that_does_not_wait_yet_is_completed_at_the_next_try(instance: Instance) -> None:
    """Auto Scaling may take a moment to make the instance wait."""
    instance.agent(JOINED)
    (instance.folder / "hook").write_text("1")
    assert instance.start("InService") != 0
    assert "Restart=on-failure" in (MODULE / "worker.sh.tftpl").read_text()


def rendered(folder: Path) -> str:
    """The user data, as Terraform's own function renders it."""
    settings = 'settings = { REGION = "us-east-1", GROUP = "g", HOOK = "ready", IMAGE = "i" }'
    expression = (
        f'base64encode(templatefile("{MODULE}/worker.sh.tftpl", '
        f'{{ cluster = "c", ready = file("{SCRIPT}"), {settings} }}))'
    )
    done = subprocess.run(
        ["terraform", "console"], input=expression, cwd=folder, capture_output=True, text=True, check=True
    )
    return base64.b64decode(done.stdout.strip().strip('"')).decode()


@pytest.mark.terraform
def test_user_data_writes_the_script_and_its_settings(tmp_path: Path) -> None:
    text = rendered(tmp_path)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert f"<<'READY'\n{SCRIPT.read_text()}READY\n" in text
    assert "REGION=us-east-1\n" in text
    # Each setting that the script names is given to it.
    settings = text.partition("sparkle-ready.env")[2].partition("\nSETTINGS")[0]
    header = next(line for line in SCRIPT.read_text().splitlines() if "Needs REGION" in line)
    assert set(re.findall(r"^([A-Z]+)=", settings, re.M)) == set(re.findall(r"\b(REGION|GROUP|HOOK|IMAGE)\b", header))
