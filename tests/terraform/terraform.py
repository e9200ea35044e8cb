"""Runs Terraform on this repository's configuration, with the provider that this machine has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "terraform"
PROVIDER = "registry.terraform.io/hashicorp/aws/*/*/terraform-provider-aws*"


def program() -> str | None:
    """Return Terraform's path, or None where it is not installed."""
    return shutil.which("terraform")


def plugins() -> Path | None:
    """Return a folder with the provider unpacked (SPARKLE_TF_PLUGIN_DIR, else the usual places), or None."""
    named = os.environ.get("SPARKLE_TF_PLUGIN_DIR")
    home = Path.home()
    usual = [home / ".terraform.d/plugins", home / ".local/share/terraform/plugins", Path("/usr/local/share/terraform")]
    for folder in [Path(named)] if named else [*usual, *_below("/opt"), *_below("/usr/share")]:
        if any(folder.glob(PROVIDER)):
            return folder
    return None


def _below(parent: str) -> Iterator[Path]:
    if Path(parent).is_dir():
        yield from sorted(each for each in Path(parent).iterdir() if each.is_dir())


def missing() -> str:
    """Return why Terraform cannot run here, or ""."""
    return "" if program() else "Terraform is not installed (terraform, 1.11 or later, on the PATH)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Terraform:
    """One working directory of Terraform's (its data, its state), and the environment it runs in."""

    data: Path
    environment: Mapping[str, str]

    def init(self) -> None:
        """Make the provider available. Raises AssertionError with what Terraform said."""
        found = plugins()
        where = [f"-plugin-dir={found}"] if found else []
        self.run("init", "-backend=false", "-input=false", "-lockfile=readonly", *where)

    def run(self, *arguments: str) -> str:
        """Run one command to its end; return its output. Raises AssertionError with what it said."""
        done = subprocess.run(
            self.command(*arguments), cwd=FOLDER, env=self.variables(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"terraform {arguments[0]}:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def shown(self, file: Path) -> Any:
        """Return a plan or a state as Terraform's JSON."""
        return json.loads(self.run("show", "-json", str(file)))

    def command(self, *arguments: str) -> list[str]:
        first, *rest = arguments
        colour = [] if first == "show" else ["-no-color"]
        return [program() or "terraform", first, *colour, *rest]

    def variables(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return (
            kept
            | {"TF_DATA_DIR": str(self.data), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
            | dict(self.environment)
        )
