"""What would change the simulation's figures most, for docs/explanation/performance.md, from the saved results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "scaling.json"
MARK, END = "<!-- sensitivity -->\n", "<!-- end sensitivity -->"
FIGURES = {"p95_wait_s": ("p95 wait", "{:,.0f} s"), "money_usd": ("GPU cost", "${:,.0f}")}
SHOWN = 3


def fill(page: str) -> str:
    """Return the page with the table between its two marks."""
    before, _, rest = page.partition(MARK)
    _, _, after = rest.partition(END)
    results = json.loads(RESULTS.read_text())["detail"]["sensitivity"]
    return f"{before}{MARK}\n{table(results)}\n\n{END}{after}"


def table(results: Mapping[str, Any]) -> str:
    """Return a row for each figure of each case, with the assumptions that change it most."""
    rows = ["| Case | Figure | What would change it most |", "|---|---|---|"]
    for case, figures in results.items():
        for figure, found in figures.items():
            name, form = FIGURES[figure]
            changes = "; ".join(_change(each, form) for each in found["changes"][:SHOWN])
            rows.append(f"| {case} | {name}: {form.format(found['usual'])} | {changes} |")
    return "\n".join(rows)


def _change(change: Mapping[str, Any], form: str) -> str:
    ends = ", ".join(f"{end}: {form.format(value)}" for end, value in change["ends"].items())
    return f"**{change['assumption']}** ({ends})"
