"""`./dev cost`: what a Terraform plan costs a month, line by line, at rest and at two loads."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from devtools.cli import arguments

from . import bill, lines, plan, prices, table, workload
from .docs import PLANS, profiles
from .prices import CostError

MAX_NAME = 50


def read_arguments(argv: list[str]) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev cost", description=__doc__ or "")
    parser.add_argument(
        "--plan",
        type=arguments.file_to_read,
        metavar="FILE",
        help="the output of terraform show -json for a saved plan",
    )
    kept = profiles()
    parser.add_argument(
        "--profile",
        type=arguments.one_of(kept),
        default="standard",
        metavar="NAME",
        help=f"the plan kept in this repository: {', '.join(kept)} (default: standard)",
    )
    parser.add_argument(
        "--region",
        type=arguments.text(MAX_NAME),
        metavar="NAME",
        help="use this region's prices instead of the plan's own region",
    )
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Print the bill; return 1 and say why where it cannot be calculated."""
    options = read_arguments(argv)
    try:
        found = plan.read(options.plan or PLANS / f"{options.profile}.json", region=options.region)
        today = datetime.now(UTC).date()
        listed = prices.read(found.region, today=today)
        result = bill.calculate(found, workload.months(lines.fleet(found)), listed)
    except CostError as error:
        print(f"./dev cost: {error}", file=sys.stderr)
        return 1
    print(table.text(result, region=found.region))
    for warning in prices.expiring((line.price for line in result.lines), today=today):
        print(f"./dev cost: {warning}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
