"""The checkers that need an environment of their own: checkov, parliament, hadolint (pip), asl-validator (npm).

They live in .venv-infra and .venv-infra/asl, made on CI or by `python -m tests.terraform.static_checks --install`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-infra"
ASL = Path(__file__).parent / "asl"


def find(name: str) -> str | None:
    """Return the checker's path, or None where it is not installed."""
    places = [VENV / "bin", VENV / "asl" / "node_modules" / ".bin"]
    return next((str(place / name) for place in places if (place / name).exists()), None) or shutil.which(name)


def wanted_always() -> bool:
    """CI installs what is missing; elsewhere it is left out, saying so."""
    return os.environ.get("CI") == "true"


def install() -> list[str]:
    """Install what is missing; return a line for each that could not be."""
    problems = []
    if not all((VENV / "bin" / name).exists() for name in ("checkov", "parliament", "hadolint")):
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        problems += _run("checkov, parliament and hadolint", sys.executable, "-m", "venv", str(VENV)) or _run(
            "checkov, parliament and hadolint", *pip, "--require-hashes", "-r", str(ROOT / "requirements" / "infra.txt")
        )
    folder = VENV / "asl"
    if not (folder / "node_modules" / ".bin" / "asl-validator").exists():
        if shutil.which("npm") is None:
            return [*problems, "asl-validator: npm is not installed"]
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ASL / name, folder / name)
        problems += _run("asl-validator", "npm", "ci", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent")
    return problems


def _run(what: str, *command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = (done.stderr or done.stdout).strip().splitlines()
    return [f"{what}: {last[-1] if last else 'could not be installed'}"] if done.returncode else []
