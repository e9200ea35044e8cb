"""The last release, as a folder: what a deployment runs while its successor is rolled out."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Before the first tag this stands for it: the commit that has the first migrations as they will be released.
RELEASE = "a7215adca44dbf620a01af76473f9e9486578e94"


def last_release() -> str:
    """The newest tag of a version, or RELEASE while there is none."""
    tags = _git("tag", "--list", "v*", "--sort=-version:refname").stdout.decode().split()
    return tags[0] if tags else RELEASE


def take(folder: Path) -> Path:
    """Unpack the last release into `folder`; skip the test where its commit is not there (a shallow clone)."""
    release = last_release()
    if _git("cat-file", "-e", f"{release}^{{commit}}").returncode:
        pytest.skip(f"the last release, {release}, is not in this clone: fetch the whole history")
    with tarfile.open(fileobj=io.BytesIO(_git("archive", release).stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=False)


def environment(code: Path, url: str) -> dict[str, str]:
    """What a process of `code` on the database `url` is started with."""
    return os.environ | {
        "PYTHONPATH": str(code),
        "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.headless",
        "DATABASE_URL": url,
        "DJANGO_SECRET_KEY": "the same for both",
        "JOB_DISPATCHER": "jobs.dispatch.memory.MemoryDispatcher",
    }
