"""A pytest plugin (`-p tests.line_coverage`): tells the share of the packages' lines that the tests ran.

It measures the processes of the tests themselves, not those that a test starts.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import coverage
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "discord_api", "telemetry", "guilds", "jobs", "interactions_lambda", "gpu_worker", "sparkle_site", "deployment",
)  # fmt: skip
LINES = "lines"

# Started when the plugin is loaded: before Django, which imports the models.
_measured = coverage.Coverage(
    data_file=None,
    config_file=False,
    source=[str(ROOT / package) for package in PACKAGES],
    omit=["*/migrations/*"],
    messages=False,
)
_measured.set_option("run:disable_warnings", ["already-imported", "no-data-collected"])
_measured.start()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    _measured.stop()
    if hasattr(session.config, "workeroutput"):
        data = _measured.get_data()
        session.config.workeroutput[LINES] = {file: list(data.lines(file) or ()) for file in data.measured_files()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the lines of a process of pytest-xdist's that has ended. One that crashed tells none."""
    _measured.get_data().add_lines(getattr(node, "workeroutput", {}).get(LINES, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    percent = _measured.report(file=io.StringIO())
    terminalreporter.write_line(f"Coverage: {percent:.1f} % of the lines of {', '.join(PACKAGES)}")
