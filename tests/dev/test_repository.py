"""What the repository's own files promise."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from devtools.cli.main import CHECKS
from guilds.app_version import __version__

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_actions_are_pinned_by_commit_with_their_version_beside_it():
    uses = [line.strip() for file in WORKFLOWS for line in file.read_text().splitlines() if "uses:" in line]
    assert uses
    for line in uses:
        assert re.fullmatch(r"- uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_continuous_integration_runs_on_every_supported_python():
    (job,) = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert ".ci/run" in [step.get("run") for step in job["steps"]]


def test_the_hooks_run_what_the_checks_run():
    hooks = {
        hook["name"]: hook
        for hook in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    }
    assert {*CHECKS, "Terraform"} == {*hooks}
    for name, (program, *_) in CHECKS.items():
        assert hooks[name]["entry"].split()[0] == f".venv/bin/{program}"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("# Whoever asks is told.", "Anyone who"),  # codespell:ignore whoever
        ("# rings the doorbell", "message"),  # codespell:ignore doorbell
        ("# it is recieved", "received"),  # codespell:ignore recieved
    ],
)
def test_a_listed_word_is_refused_with_a_suggestion(tmp_path, line, suggestion):
    (tmp_path / "module.py").write_text(f"{line}\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("codespell"), tmp_path / "module.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert suggestion in done.stdout


def test_dependabot_watches_folders_that_hold_its_files():
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    holds = {
        "pip": "*.txt",
        "npm": "package.json",
        "docker": "Dockerfile*",
        "terraform": "*.tf",
        "github-actions": "dev",
    }
    assert {update["package-ecosystem"] for update in updates} == set(holds)
    for update in updates:
        for folder in update.get("directories", [update.get("directory")]):
            assert list((ROOT / folder.lstrip("/")).glob(holds[update["package-ecosystem"]])), folder


def test_the_version_is_written_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "guilds.app_version.__version__"}
    for folder in ("discord_api", "telemetry", "guilds", "jobs", "gpu_worker", "interactions_lambda", "sparkle_site"):
        for file in (ROOT / folder).rglob("*.py"):
            if file != ROOT / "guilds" / "__init__.py":
                assert f"{__version__})" not in file.read_text(), file


def test_the_dev_container_is_json():
    assert json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())["forwardPorts"] == [8000]


def test_tests_of_properties_do_not_depend_on_the_machines_speed():
    """Hypothesis's own settings refuse a test whose examples are drawn slowly."""
    direct = re.compile(r"^(from|import) hypothesis", re.MULTILINE)
    found = {
        path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/**/*.py") if direct.search(path.read_text())
    }
    assert found == {"tests/properties.py"}
