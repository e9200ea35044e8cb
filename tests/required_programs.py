"""What tests need beyond Python and PostgreSQL, as marks: `--quick` leaves those tests out.

Marks cannot be forgotten: those of fixtures are given here, and a test without a mark cannot start a process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MARKS = {
    "browser": "drives headless Chromium",
    "emulator": "talks to SQS's emulator",
    "terraform": "runs Terraform",
    "processes": "starts processes of its own",
}
FIXTURES = {"chromium": "browser", "sqs_environment": "emulator"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAMS = {
    "browser": (BROWSERS, "No Chromium is installed. These tests run after: sudo apt install chromium"),
    "terraform": (
        ("terraform",),
        "Terraform 1.11 or later is not installed. These tests run after: sudo snap install terraform --classic",
    ),
    "node": (
        ("node", "npm"),
        "Node.js 18 or later, or npm, is not installed. These tests run after: sudo apt install nodejs npm",
    ),
}

KEPT = pytest.StashKey[tuple[int, int]]()

_start_process = subprocess.Popen.__init__
_unmarked: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help=f"leave out each test that {', or '.join(MARKS.values())}",
    )


def add_marks(config: pytest.Config) -> None:
    """Make the marks known to pytest, and watch that tests have them."""
    for mark, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{mark}: {meaning}")
    config.addinivalue_line("markers", "node: needs Node.js")
    subprocess.Popen.__init__ = _refuse_to_unmarked  # type: ignore[method-assign]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in FIXTURES.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(FIXTURES[fixture])
    config.stash[KEPT] = (sum(not needy(item) for item in items), len(items))
    if config.option.quick:
        config.hook.pytest_deselected(items=[item for item in items if needy(item)])
        items[:] = [item for item in items if not needy(item)]


def needy(item: pytest.Item) -> bool:
    """Return whether `--quick` leaves the test out."""
    return any(item.get_closest_marker(mark) for mark in MARKS)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _unmarked[:] = [] if needy(item) else [item.nodeid]
    for mark in PROGRAMS:
        if item.get_closest_marker(mark):
            require(mark)


def browser() -> str | None:
    """Return the path of a Chromium, or None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def require(what: str) -> None:
    """Skip the test where a program is missing; in CI it fails."""
    programs, message = PROGRAMS[what]
    found = [shutil.which(program) for program in programs]
    if any(found) if what == "browser" else all(found):
        return
    # Skipped at one place in the code, and in no fixture: pytest counts those of one reason and one place together.
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    # What serves the run is stopped after its last test, whichever that is.
    _unmarked.clear()


@contextmanager
def processes_of_the_run() -> Iterator[None]:
    """Allow what serves the whole run to start, whichever test comes first."""
    kept = _unmarked.copy()
    _unmarked.clear()
    try:
        yield
    finally:
        _unmarked[:] = kept


def _refuse_to_unmarked(self: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
    assert not _unmarked, (
        f"{_unmarked[0]} starts a process: mark it with @pytest.mark.processes, or another of {', '.join(MARKS)}."
    )
    _start_process(self, *arguments, **options)
