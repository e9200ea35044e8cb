"""Prices by region, from prices.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("prices.toml")
VALID_FOR = timedelta(days=365)
WARN_BEFORE = timedelta(days=90)


class CostError(Exception):
    """No bill can be calculated; the message says why, in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars a unit, and the units of a month that are free. `usd` is None for a price that was not found."""

    name: str
    usd: float | None
    unit: str
    free: float
    source: str
    as_of: date


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """The prices of one region, as of `today`."""

    region: str
    today: date
    prices: Mapping[str, Price]

    def find(self, name: str) -> Price:
        """Return the price. Raises CostError for one that is missing, was not found, or is older than a year."""
        price = self.prices.get(name)
        if price is None or price.usd is None:
            raise CostError(f'{FILE.name} has no price "{name}" for {self.region}: add it with its source and date.')
        if self.today - price.as_of > VALID_FOR:
            raise CostError(
                f'The price "{name}" for {self.region} is of {price.as_of}, more than a year ago: look it up again.'
            )
        return price


def read(region: str, *, today: date, file: Path = FILE) -> PriceList:
    """Return the region's prices. Raises CostError for a region without prices or a file that is malformed."""
    try:
        regions = tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise CostError(f"{file.name} is not valid TOML: {error}.") from error
    if region not in regions:
        raise CostError(f"{file.name} has no prices for {region}, only for {', '.join(regions)}: add them first.")
    return PriceList(
        region=region,
        today=today,
        prices={name: _price(name, entry, file) for name, entry in regions[region].items()},
    )


def expiring(used: Iterable[Price], *, today: date) -> list[str]:
    """Return a sentence for each date, within WARN_BEFORE, after which prices of `used` are refused; earliest first."""
    by_date: dict[date, set[str]] = {}
    for price in used:
        last = price.as_of + VALID_FOR
        if last - today <= WARN_BEFORE:
            by_date.setdefault(last, set()).add(price.name)
    return [
        f"After {last} these prices are refused, because they are a year old: {', '.join(sorted(names))}."
        f" Look them up and write them with their date into {FILE.name}."
        for last, names in sorted(by_date.items())
    ]


def newest(file: Path = FILE) -> date:
    """Return the date of the newest price."""
    dates: list[date] = [
        entry["as_of"] for region in tomllib.loads(file.read_text()).values() for entry in region.values()
    ]
    return max(dates)


def _price(name: str, entry: Mapping[str, Any], file: Path) -> Price:
    usd, as_of = entry.get("usd"), entry.get("as_of")
    if not isinstance(as_of, date) or "unit" not in entry or (usd is not None and (usd < 0 or not entry.get("source"))):
        raise CostError(f'The price "{name}" in {file.name} needs a unit, a source and a date (as_of).')
    return Price(
        name=name,
        usd=usd,
        unit=entry["unit"],
        free=float(entry.get("free", 0)),
        source=entry.get("source", ""),
        as_of=as_of,
    )
