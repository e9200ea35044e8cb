"""The dashboard's chart: its axis, and colours that differ for every kind of colour vision."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import pytest

from sparkle_site.admin import charts

CSS = (Path(__file__).resolve().parents[2] / "static" / "sparkle" / "admin.css").read_text()
COLOURS = dict(re.findall(r"--sp-chart-(\w+): #([0-9a-f]{6});", CSS))
# Viénot, Brettel, Mollon 1999, for linear RGB; grey for those who see no colour at all.
VISIONS = {
    "trichromacy": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)),
    "deuteranopia": ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)),
}
# CIE 1976: about ten times what can just be seen.
LEAST_DIFFERENCE = 20


def linear(colour: str) -> list[float]:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def lab(rgb: list[float]) -> tuple[float, float, float]:
    red, green, blue = (min(1.0, max(0.0, part)) for part in rgb)
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("vision", VISIONS)
def test_no_two_statuses_look_alike(vision: str) -> None:
    assert len(COLOURS) == 5
    seen = {
        name: lab(
            [sum(share * part for share, part in zip(row, linear(colour), strict=True)) for row in VISIONS[vision]]
        )
        for name, colour in COLOURS.items()
    }
    for (one, first), (other, second) in itertools.combinations(seen.items(), 2):
        assert math.dist(first, second) > LEAST_DIFFERENCE, f"{one} and {other}"


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 2), (1, 2), (2, 2), (3, 4), (9, 10), (69, 80), (100, 200), (8001, 10_000)]
)
def test_the_axis_ends_at_a_round_number_with_a_whole_half(highest: int, top: int) -> None:
    assert charts.round_top(highest) == top
