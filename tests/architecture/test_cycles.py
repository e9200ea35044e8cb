"""The contract "cycles" in .importlinter notices modules that import each other, at any level of a file.

tests/architecture/test_imports.py holds the packages themselves to it.
"""

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def contract(package: str) -> ConfigParser:
    """Return the project's settings and its contract on cycles, for one package."""
    ours = ConfigParser()
    ours.read(ROOT / ".importlinter")
    settings = dict(ours["importlinter"]) | {"root_packages": f"\n{package}"}
    cycles = dict(ours["importlinter:contract:cycles"]) | {"ancestors": f"\n{package}"}
    narrowed = ConfigParser()
    narrowed.read_dict({"importlinter": settings, "importlinter:contract:cycles": cycles})
    return narrowed


def has_cycle(folder: Path, modules: dict[str, str]) -> bool:
    """Write `modules` (path: source) into the package `parts` and return whether the contract is broken."""
    for path, source in modules.items():
        module = folder / "parts" / path
        module.parent.mkdir(parents=True, exist_ok=True)
        (module.parent / "__init__.py").touch()
        module.write_text(source)
    with (folder / ".importlinter").open("w") as config:
        contract("parts").write(config)
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "No import cycle" in done.stdout, done.stdout
    return done.returncode != 0


@pytest.mark.processes
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from . import first", True),
        ("def call():\n    from . import first", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import first", False),
        ("import json", False),
    ],
    ids=["top of the file", "in a function", "for type checking", "none"],
)
def test_a_cycle_between_modules_breaks_the_contract(tmp_path: Path, source: str, expected: bool) -> None:
    assert has_cycle(tmp_path, {"first.py": "from . import second", "second.py": source}) is expected


@pytest.mark.processes
def test_a_cycle_between_folders_breaks_the_contract(tmp_path: Path) -> None:
    modules = {
        "pages/views.py": "from parts.admin import access",
        "admin/access.py": "",
        "admin/site.py": "from parts.pages import urls",
        "pages/urls.py": "",
    }
    assert has_cycle(tmp_path, modules)
