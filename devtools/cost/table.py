"""A bill as text for the terminal and as a Markdown table for the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from .bill import Bill


def text(bill: Bill, *, region: str) -> str:
    """Return each line with its price, quantities and US dollars, then the sums."""
    heads = ["at rest" if not month.requests else f"{month.requests:,} requests" for month in bill.months]
    rows = [f"{region}, US dollars a month", f"{'':<42}{'price':>34}  {'  '.join(f'{head:>24}' for head in heads)}"]
    for line in bill.lines:
        unit = f"{line.price.usd:.10f}".rstrip("0").rstrip(".") + f" / {line.price.unit}"
        cells = [
            f"{_quantity(quantity):>13} {dollars:>10.2f}"
            for quantity, dollars in zip(line.quantities, line.dollars, strict=True)
        ]
        rows.append(f"{line.name:<42}{unit:>34}  {'  '.join(cells)}")
        if line.price.free:
            rows.append(f"    the first {line.price.free:,.0f} of these units are free")
    rows.append(f"{'Sum':<76}  {'  '.join(f'{total:>24.2f}' for total in bill.totals)}")
    return "\n".join(rows)


def markdown(bill: Bill) -> str:
    """Return the lines that cost a cent or more, with their prices, and the sums."""
    heads = ["at rest" if not month.requests else f"{month.requests:,} requests" for month in bill.months]
    rows = [f"| Line | Price | {' | '.join(heads)} |", f"|---|---|{'---:|' * len(heads)}"]
    for line in bill.lines:
        if max(line.dollars) >= 0.005:
            free = f", above {line.price.free:,.0f}" if line.price.free else ""
            price = f"{line.price.usd:.10f}".rstrip("0").rstrip(".")
            rows.append(f"| {line.name} | {price} / {line.price.unit}{free} | {_dollars(line.dollars)} |")
    small = [line.name for line in bill.lines if max(line.dollars) < 0.005]
    rows.append(f"| **US dollars** | | {' | '.join(f'**{total:.0f}**' for total in bill.totals)} |")
    return "\n".join(rows) + (f"\n\nLess than a cent: {'; '.join(small)}." if small else "")


def _dollars(values: Sequence[float]) -> str:
    return " | ".join(f"{value:.2f}" for value in values)


def _quantity(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
