"""`./dev images` without buildah: what it refuses, and what it reads from Dockerfiles. The build itself needs root."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.images import __main__ as command
from devtools.images import base_image, build, buildah, check
from devtools.images.buildah import CannotBuild
from interactions_lambda.packaging import ROOT


def test_without_buildah_one_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["--check"]) == 1
    assert capsys.readouterr().err == (
        "images: buildah and debootstrap not found. On Debian or Ubuntu, run as root:"
        " apt-get install -y buildah debootstrap\n"
    )


def test_an_ordinary_user_is_told_to_be_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("buildah", "debootstrap"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(CannotBuild, match="needs root"):
        buildah.check_available()


def test_the_option_no_build_needs_check(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["--no-build"])
    assert "--no-build needs --check" in capsys.readouterr().err


@pytest.mark.parametrize("image", build.DOCKERFILES)
def test_every_base_image_has_a_debian_release(image: str) -> None:
    names = base_image.named_in((ROOT / build.DOCKERFILES[image]).read_text())
    assert len(names) == 1, "one Python for all stages"
    assert names[0].startswith("docker.io/library/python:3.")
    assert base_image.version_of(names[0]) in base_image.SUITES


def test_an_unknown_base_is_refused() -> None:
    with pytest.raises(CannotBuild, match="not a Python image"):
        base_image.version_of("docker.io/library/debian:trixie")


def test_the_check_runs_the_deployments_own_prepare_command() -> None:
    prepare = (ROOT / "terraform" / "modules" / "sparkle" / "web.tf").read_text()
    assert check.PREPARE[2] in prepare


def test_the_checks_port_is_the_images() -> None:
    dockerfile = (ROOT / build.DOCKERFILES["web"]).read_text()
    assert f"--bind=0.0.0.0:{check.PORT}" in dockerfile
