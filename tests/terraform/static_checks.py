"""`python -m tests.terraform.static_checks`: format, validate, plan-mode tests, checkov and hadolint.

What a machine lacks is left out, in so many words; on CI everything must be there. parliament and asl-validator read
what an apply made: tests/terraform/test_apply.py runs them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from . import checkers
from .terraform import FOLDER, Terraform, missing

DOCKERFILES = [str(checkers.ROOT / room / "Dockerfile") for room in ("sparkle_site", "gpu_worker")]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.terraform.static_checks", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--install", action="store_true", help="install checkov, parliament, hadolint and asl-validator first"
    )
    options = parser.parse_args()
    required = checkers.wanted_always()
    left_out: list[str] = []
    if options.install or required:
        left_out += checkers.install()
    failed = False
    if reason := missing():
        left_out.append(reason)
    else:
        failed |= terraform_checks()
    for name, arguments in {
        "checkov": ["-d", str(FOLDER), "--config-file", str(FOLDER / ".checkov.yaml")],
        # Debian keeps no old versions of a compiler to pin.
        "hadolint": ["--no-color", "--ignore=DL3008", *DOCKERFILES],
    }.items():
        program = checkers.find(name)
        if program is None:
            left_out.append(f"{name} is not installed (python -m tests.terraform.static_checks --install).")
        else:
            failed |= step(name, [program, *arguments])
    for line in left_out:
        print(f"left out: {line}")
    return 1 if failed or (required and left_out) else 0


def terraform_checks() -> bool:
    """Return whether one failed."""
    with tempfile.TemporaryDirectory(prefix="sparkle-terraform-") as folder:
        terraform = Terraform(data=Path(folder), environment={"AWS_DEFAULT_REGION": "us-east-1"})
        failed = False
        try:
            terraform.init()
        except AssertionError as error:
            print(error)
            return True
        for title, arguments in {
            "terraform fmt": ("fmt", "-check", "-diff", "-recursive"),
            "terraform validate": ("validate",),
            "terraform test": ("test",),
        }.items():
            failed |= step(title, terraform.command(*arguments), terraform.variables())
        return failed


def step(title: str, command: list[str], environment: dict[str, str] | None = None) -> bool:
    """Run one check; print what it said. Return whether it failed."""
    done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    print(f"{title}: {'failed' if done.returncode else 'ok'}")
    print("\n".join(lines if done.returncode else lines[-1:]))
    return bool(done.returncode)


if __name__ == "__main__":
    sys.exit(main())
