"""Each test that the threat model names exists, and each required attack is in it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = (ROOT / "docs" / "explanation" / "threat-model.md").read_text()
ATTEMPTS = (
    "Replaying", "SSRF", "ecompression bombs", "Path traversal", "CSV", "Log injection", "Pinging", "ReDoS",
    "mass assignment", "IDOR", "expire",
)  # fmt: skip


def rows() -> list[list[str]]:
    """The rows of the tables of attempts: attempt, defence, test."""
    tables = MODEL.partition("## What an attacker may try")[2]
    found = re.findall(r"^\|([^|\n]+)\|([^|\n]+)\|([^|\n]+)\|$", tables, re.MULTILINE)
    cells = [[cell.strip() for cell in row] for row in found]
    return [row for row in cells if row[0] != "Attempt" and not row[0].startswith("---")]


def test_every_defence_names_a_test_that_is_there() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    found = rows()
    assert len(found) >= 15
    for attempt, _, shown in found:
        named = re.findall(r"`([^`]+)`", shown)
        assert named, f"nothing shows the defence against: {attempt}"
        for each in named:
            if each.startswith("test_"):
                assert f"def {each}(" in tests, f"{attempt}: {each}"
            elif not each.startswith("./dev "):
                assert (ROOT / each).is_file(), f"{attempt}: {each}"


def test_every_attempt_that_must_be_answered_is_in_it() -> None:
    attempts = "\n".join(attempt + " " + defence for attempt, defence, _ in rows())
    assert [each for each in ATTEMPTS if each not in attempts] == []
