"""Builds the images from their Dockerfiles with buildah."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from interactions_lambda.packaging import ROOT

from . import base_image, buildah

# The worker that needs no GPU, with the demo model inside.
DOCKERFILES = {"web": "sparkle_site/Dockerfile", "worker-cpu": "gpu_worker/Dockerfile.cpu"}
# How this machine's pip reaches its packages; the build gets the same.
PIP_FILES = ("/etc/pip.conf", "/etc/xdg/pip", str(Path.home() / ".config" / "pip" / "pip.conf"))


def tag(image: str) -> str:
    return f"localhost/sparkle-{image}"


def build(image: str, *, mounts: Sequence[str], say: Callable[[str], None]) -> None:
    """Build an image on a base of Debian's packages. Raises CannotBuild."""
    dockerfile = ROOT / DOCKERFILES[image]
    for base in base_image.named_in(dockerfile.read_text()):
        began = time.monotonic()
        version = base_image.make(base)
        say(f"{base}: Debian's Python {version} ({time.monotonic() - began:.0f} s)")
    began = time.monotonic()
    folders = [path for path in (*mounts, *PIP_FILES, os.environ.get("PIP_CERT", "")) if path and Path(path).exists()]
    buildah.output(
        "bud",
        "--format=docker",
        "--pull-never",
        "--layers",
        *(f"--volume={path}:{path}:ro" for path in folders if path != PIP_FILES[2]),
        *((f"--volume={PIP_FILES[2]}:/root/.config/pip/pip.conf:ro",) if PIP_FILES[2] in folders else ()),
        *(f"--env={name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")),
        f"--file={dockerfile}",
        f"--tag={tag(image)}",
        str(ROOT),
    )
    say(f"{tag(image)}: built ({time.monotonic() - began:.0f} s)")
