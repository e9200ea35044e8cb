"""The bills of the plans kept here, for docs/explanation/costs.md."""

from __future__ import annotations

from pathlib import Path

from . import bill, lines, plan, prices, table, workload

PLANS = Path(__file__).parent / "plans"


def profiles() -> tuple[str, ...]:
    """Return the names of the plans kept here."""
    return tuple(sorted(file.stem for file in PLANS.glob("*.json")))


def bill_of(profile: str) -> bill.Bill:
    """Return the bill of a plan kept here, at the prices of their newest date. Raises CostError."""
    found = plan.read(PLANS / f"{profile}.json")
    listed = prices.read(found.region, today=prices.newest())
    return bill.calculate(found, workload.months(lines.fleet(found)), listed)


def fill(page: str) -> str:
    """Return the page with each bill between its two marks, `<!-- bill NAME -->` and `<!-- end -->`."""
    for profile in profiles():
        before, mark, rest = page.partition(f"<!-- bill {profile} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if mark and end:
            page = f"{before}{mark}\n{table.markdown(bill_of(profile))}\n\n{end}{after}"
    return page
