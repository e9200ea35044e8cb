"""The source that an account builds from, as a reproducible zip: equal files give equal bytes and the same release."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from interactions_lambda.packaging import ROOT, write_zip

# What the images are made of (.dockerignore), and this package, which makes them.
SOURCES = (
    ".dockerignore", "manage.py", "requirements", "discord_api", "telemetry", "guilds", "jobs", "interactions_lambda",
    "gpu_worker", "sparkle_site", "templates", "static", "deployment",
)  # fmt: skip
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache")


def pack(target: Path) -> None:
    """Write the zip."""
    with tempfile.TemporaryDirectory(prefix="sparkle-source-") as name:
        folder = Path(name)
        for source in SOURCES:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, folder / source, ignore=_LEFT_OUT)
            else:
                shutil.copy(ROOT / source, folder / source)
        write_zip(folder, target)
