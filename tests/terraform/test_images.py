"""What the Dockerfiles put into the images is enough to start there. No container engine is needed: the COPY lines are
done into a folder, and what the image runs is run in it. (The base images, pip's and apt's part are Docker's to show.)
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from .iam_scan import ROOT

DOCKERFILES = {"web": ROOT / "sparkle_site" / "Dockerfile", "worker": ROOT / "gpu_worker" / "Dockerfile"}
SETTINGS = {
    "DJANGO_SECRET_KEY": "build",
    "DATABASE_URL": "postgres://build@127.0.0.1:1/build",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def instructions(dockerfile: Path) -> list[list[str]]:
    """The last stage's instructions, each as its words."""
    text = re.sub(r"\\\n\s*", "", "\n".join(line for line in dockerfile.read_text().splitlines() if line[:1] != "#"))
    stage = text[text.rindex("FROM ") :]
    return [line.split() for line in stage.splitlines() if line.strip()]


def copied(dockerfile: Path) -> list[tuple[str, str]]:
    """(source, target) of each COPY from the repository."""
    pairs = []
    for word, *rest in instructions(dockerfile):
        if word == "COPY" and not rest[0].startswith("--from"):
            *sources, target = rest
            pairs += [(source, target) for source in sources]
    return pairs


def assembled(name: str, folder: Path) -> Path:
    """The image's /app, as far as it comes from the repository."""
    for source, target in copied(DOCKERFILES[name]):
        place = folder / target
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place = place / Path(source).name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
    return folder


def python(folder: Path, settings: str, *arguments: str) -> str:
    """Run Python in the folder, which alone has the project's code; return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": f"sparkle_site.settings.{settings}", **SETTINGS},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_is_copied_is_there_and_let_through(name: str) -> None:
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source, _ in copied(DOCKERFILES[name]):
        assert (ROOT / source).exists(), source
        assert any(source == each or source.startswith(f"{each}/") for each in let_through), f".dockerignore: {source}"


def test_the_worker_has_the_current_cuda_and_a_torch_that_was_tested() -> None:
    text = DOCKERFILES["worker"].read_text()
    # PyTorch's index for CUDA 12.8 ends with 2.11.
    assert "ARG TORCH_INDEX=https://download.pytorch.org/whl/cu130\n" in text
    (version,) = re.findall(r"^ARG TORCH_VERSION=(\S+)$", text, re.M)
    (tested,) = re.findall(r"^torch(\S+)$", (ROOT / "requirements" / "torch.txt").read_text(), re.M)
    assert SpecifierSet(tested).contains(version)
    assert '-r torch.txt "torch==$TORCH_VERSION"' in text


def test_every_build_command_names_the_platform() -> None:
    """A build on a Mac with Apple silicon makes an image that neither Fargate nor a GPU instance starts."""
    pages = [*(ROOT / "docs").rglob("*.md"), *DOCKERFILES.values()]
    commands = [line for page in pages for line in page.read_text().splitlines() if "docker build " in line]
    assert len(commands) >= 5
    assert [line for line in commands if "--platform linux/amd64" not in line] == []


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_runs_as_nobody_in_particular_from_a_version_that_is_named(name: str) -> None:
    last = {line[0]: line[1] for line in instructions(DOCKERFILES[name])}
    assert last["USER"] == "10001"
    assert re.fullmatch(r"\$BASE_REGISTRY/python:\d+\.\d+\.\d+-slim-\w+", last["FROM"])


@pytest.mark.processes
def test_the_sites_image_holds_every_file_that_its_pages_name(tmp_path: Path) -> None:
    app = assembled("web", tmp_path / "app")
    python(app, "web", "manage.py", "collectstatic", "--no-input")
    collected = json.loads((app / "staticfiles" / "staticfiles.json").read_text())["paths"]
    pages = [*(app / "templates").rglob("*.html"), *(app / "sparkle_site").rglob("*.html")]
    named = {name for page in pages for name in re.findall(r"""{% static ["']([^"']+)""", page.read_text())}
    for file in (app / "sparkle_site" / "admin").rglob("*.py"):
        named |= set(re.findall(r"""_static\("([^"]+)""", file.read_text()))
    assert "sparkle/site.css" in named
    assert {name for name in named if not name.startswith("simulator/")} <= set(collected)
    # The server's entry point, and the health check where nothing is up yet.
    python(
        app, "web", "-c", "import sparkle_site.wsgi, sparkle_site.healthcheck, interactions_lambda.scheduled_functions"
    )


@pytest.mark.processes
def test_the_workers_image_starts_from_its_own_files(tmp_path: Path) -> None:
    app = assembled("worker", tmp_path / "app")
    code = "import django; django.setup(); import gpu_worker.__main__, gpu_worker.factory, gpu_worker.health"
    python(app, "headless", "-c", code)
