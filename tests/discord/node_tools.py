"""The Node packages of the tests: Discord's schema, another library's client, axe. Installed once, by the lock."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests import required_programs

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).parent / "node"


def node() -> str | None:
    """Return the path of Node, or None where it or npm is missing. In CI it must be there."""
    if os.environ.get("CI") == "true":
        required_programs.require("node")
    return shutil.which("node") if shutil.which("npm") else None


@functools.cache
def folder() -> Path:
    """Return the folder with the locked packages, installed when it is first asked for. Raises CalledProcessError."""
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in sorted(SOURCE.iterdir()))).hexdigest()[:16]
    target = Path(os.environ.get("SPARKLE_LOCAL_DIR") or ROOT / ".local") / "node" / digest
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "installed").exists():
            for file in SOURCE.iterdir():
                shutil.copy(file, target)
            subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--silent"],
                cwd=target, check=True, timeout=300, capture_output=True,
            )  # fmt: skip
            (target / "installed").touch()
    return target


@functools.cache
def axe() -> str:
    """Return axe-core, a script that checks the page in which it runs. Skips the test where there is no Node."""
    if node() is None:
        required_programs.require("node")
    return (folder() / "node_modules" / "axe-core" / "axe.min.js").read_text()


class SchemaChecker:
    """A Node process that knows Discord's schema."""

    def __init__(self, executable: str) -> None:
        self._process = subprocess.Popen(
            [executable, "check.mjs"], cwd=folder(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def problems(self, schema: str, body: Any) -> list[str]:
        """Return what is wrong with `body`, a line each."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"schema": schema, "body": body}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise AssertionError(f"the schema checker ended with status {self._process.wait(60)}")
        found: list[str] = json.loads(answer)
        return found

    def close(self) -> None:
        self._process.communicate(timeout=60)


_checker: SchemaChecker | None = None


def checker() -> SchemaChecker | None:
    """Return this process's checker, or None where there is no Node."""
    global _checker  # noqa: PLW0603  # starting Node takes longer than all checks
    executable = node()
    if _checker is None and executable is not None:
        with required_programs.processes_of_the_run():
            _checker = SchemaChecker(executable)
    return _checker


def close_checker() -> None:
    global _checker  # noqa: PLW0603
    if _checker is not None:
        _checker.close()
        _checker = None
