"""No user input can make a regular expression slow (ReDoS): none has nested unbounded repeats."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

parser = re._parser  # type: ignore[attr-defined]
constants = re._constants  # type: ignore[attr-defined]

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("discord_api", "telemetry", "guilds", "jobs", "interactions_lambda", "gpu_worker", "sparkle_site")
FUNCTIONS = {"compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
REPEATS = {constants.MAX_REPEAT, constants.MIN_REPEAT}
# Repeats up to here cost at most so many times more.
BOUNDED = 100


def patterns_of_terms() -> list[str]:
    """Every pattern of guilds.blocked_terms as it is built: of blocks of Unicode that stand in constants there."""
    from guilds import blocked_terms

    return [
        value.pattern
        for value in (*vars(blocked_terms).values(), blocked_terms._chunk())
        if isinstance(value, re.Pattern)
    ]


# Put together from constants of their own module, never from a user's words: looked at as they are built.
BUILT = {"guilds/blocked_terms.py": patterns_of_terms}


def expressions() -> Iterator[tuple[str, str | None]]:
    """(place, pattern) of every use of `re` in the rooms; None where the pattern is not written out there."""
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            if "local" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "re"
                    and node.func.attr in FUNCTIONS
                ):
                    first = node.args[0]
                    pattern = first.value if isinstance(first, ast.Constant) else None
                    if pattern is None and file.relative_to(ROOT).as_posix() in BUILT:
                        continue
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", pattern
    for place, patterns in BUILT.items():
        yield from ((place, pattern) for pattern in patterns())


def explosive(pattern: str) -> bool:
    """Whether an unbounded repeat stands inside another, or two that can take the same stand side by side. Pure."""
    return _nested(parser.parse(pattern), inside=False)


def _nested(parts: object, *, inside: bool) -> bool:
    for kind, value in parts:  # type: ignore[attr-defined]
        if kind in REPEATS:
            _, most, body = value
            unbounded = most > BOUNDED
            if (unbounded and inside) or _nested(body, inside=inside or unbounded):
                return True
        elif kind is constants.SUBPATTERN:
            if _nested(value[3], inside=inside):
                return True
        elif kind is constants.BRANCH:
            if any(_nested(branch, inside=inside) for branch in value[1]):
                return True
        elif kind in {constants.ASSERT, constants.ASSERT_NOT} and _nested(value[1], inside=inside):
            return True
    return False


def test_every_expression_is_written_out_and_none_can_explode() -> None:
    found = list(expressions())
    assert len(found) >= 5
    assert not [place for place, pattern in found if pattern is None], "a pattern that is put together at run time"
    assert not [place for place, pattern in found if pattern and explosive(pattern)]


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a*)*b", r"((ab|c)+d?)+x", r"(?:\w+\s*)+!", r"(x{2,})*y"])
def test_the_known_bad_ones_are_recognised(pattern: str) -> None:
    assert explosive(pattern)


@pytest.mark.parametrize("pattern", [r"\s*#?([0-9]{1,18})\s*", r"[a-z]+-\d+", r"(?:[0-9]{1,4}:){2,8}x"])
def test_plain_ones_are_not(pattern: str) -> None:
    assert not explosive(pattern)
