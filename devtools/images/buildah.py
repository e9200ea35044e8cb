"""buildah, which builds and runs containers as root without a daemon and without namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

# chroot and vfs work where neither a container engine nor an overlay file system does.
ENVIRONMENT = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
INSTALL = "apt-get install -y buildah debootstrap"
_LINES = 12


class CannotBuild(Exception):
    """The images cannot be built or do not work. The message is for a person."""


def check_available() -> None:
    """Raises CannotBuild with what is missing."""
    missing = [program for program in ("buildah", "debootstrap") if shutil.which(program) is None]
    if missing:
        raise CannotBuild(f"{' and '.join(missing)} not found. On Debian or Ubuntu, run as root: {INSTALL}")
    if os.geteuid() != 0:
        raise CannotBuild(
            "./dev images needs root: containers are separated by chroot. Run it with sudo or in a container."
        )


def output(*arguments: str) -> str:
    """Return what a buildah command prints. Raises CannotBuild."""
    return run(["buildah", *arguments], what=f"buildah {arguments[0]}")


def run(command: Sequence[str], *, what: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a command's output. Raises CannotBuild with its last lines."""
    base = os.environ if environment is None else environment
    done = subprocess.run(
        command,
        env={**base, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-_LINES:])
        raise CannotBuild(f"{what}: exit status {done.returncode}\n{last}")
    return done.stdout


def exists(image: str) -> bool:
    done = subprocess.run(
        ["buildah", "inspect", "--type", "image", image],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0
