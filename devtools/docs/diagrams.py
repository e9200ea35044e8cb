"""Draws boxes and arrows as SVG, so that diagrams are generated from code without another program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

MARGIN = 20
LINE_HEIGHT = 16
INK, LINE, PAPER = "#1f2937", "#64748b", "#ffffff"
FILLS = {"plain": "#eef2ff", "done": "#dcfce7", "ended": "#fee2e2", "outside": "#f1f5f9", "store": "#fef3c7"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle with its centre at (`x`, `y`), in pixels; the text's lines are divided by newlines."""

    text: str
    x: float
    y: float
    width: float = 130
    height: float = 44
    kind: str = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """From one box to another; `bend` is how far, in pixels, the middle lies to the left of the straight line."""

    start: str
    end: str
    text: str = ""
    bend: float = 0
    dashed: bool = False


def draw(boxes: dict[str, Box], arrows: Sequence[Arrow], *, title: str) -> str:
    """Return the SVG of `boxes`, by name, and the `arrows` between them."""
    width = max(box.x + box.width / 2 for box in boxes.values()) + MARGIN
    height = max(box.y + box.height / 2 for box in boxes.values()) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{LINE}"/></marker></defs>',
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        *(_line(boxes[arrow.start], boxes[arrow.end], arrow) for arrow in arrows),
        *(_rectangle(box) for box in boxes.values()),
        *(_label(boxes[arrow.start], boxes[arrow.end], arrow) for arrow in arrows if arrow.text),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _rectangle(box: Box) -> str:
    rectangle = (
        f'<rect x="{box.x - box.width / 2:g}" y="{box.y - box.height / 2:g}" width="{box.width:g}"'
        f' height="{box.height:g}" rx="8" fill="{FILLS[box.kind]}" stroke="{LINE}"/>'
    )
    return rectangle + _text(box.text, box.x, box.y)


def _text(text: str, x: float, y: float, *, halo: bool = False) -> str:
    lines = text.split("\n")
    top = y - (len(lines) - 1) * LINE_HEIGHT / 2
    style = f' font-size="11" stroke="{PAPER}" stroke-width="4" paint-order="stroke"' if halo else ""
    spans = "".join(
        f'<tspan x="{x:g}" y="{top + number * LINE_HEIGHT:g}">{escape(line)}</tspan>'
        for number, line in enumerate(lines)
    )
    return f'<text text-anchor="middle" dominant-baseline="central" fill="{INK}"{style}>{spans}</text>'


def _line(start: Box, end: Box, arrow: Arrow) -> str:
    middle, (x1, y1), (x2, y2) = _course(start, end, arrow.bend)
    dashes = ' stroke-dasharray="5 4"' if arrow.dashed else ""
    return (
        f'<path d="M{x1:.1f} {y1:.1f}Q{middle[0]:.1f} {middle[1]:.1f} {x2:.1f} {y2:.1f}" fill="none"'
        f' stroke="{LINE}" stroke-width="1.5"{dashes} marker-end="url(#head)"/>'
    )


def _label(start: Box, end: Box, arrow: Arrow) -> str:
    middle, (x1, y1), (x2, y2) = _course(start, end, arrow.bend)
    # The point of the quadratic curve half way along it.
    return _text(arrow.text, (x1 + 2 * middle[0] + x2) / 4, (y1 + 2 * middle[1] + y2) / 4, halo=True)


def _course(start: Box, end: Box, bend: float) -> tuple[tuple[float, float], ...]:
    """Return the curve's control point and its two ends, on the edges of the boxes."""
    from_point, to_point = _anchor(start, end), _anchor(end, start)
    across, down = to_point[0] - from_point[0], to_point[1] - from_point[1]
    length = math.hypot(across, down) or 1
    middle = (
        (from_point[0] + to_point[0]) / 2 + bend * down / length,
        (from_point[1] + to_point[1]) / 2 - bend * across / length,
    )
    return middle, _edge(start, from_point, middle), _edge(end, to_point, middle)


def _anchor(box: Box, other: Box) -> tuple[float, float]:
    """Return the point inside `box` that its arrow aims at: the centre, or the nearest one in a wide box."""
    if box.width < 2 * other.width:
        return box.x, box.y
    reach = box.width / 2 - MARGIN
    return min(max(other.x, box.x - reach), box.x + reach), box.y


def _edge(box: Box, inside: tuple[float, float], outside: tuple[float, float]) -> tuple[float, float]:
    """Return where the line from a point inside the box to one outside crosses the box's edge."""
    across, down = outside[0] - inside[0], outside[1] - inside[1]
    right = box.x + math.copysign(box.width / 2, across) - inside[0]
    bottom = box.y + math.copysign(box.height / 2, down) - inside[1]
    scale = min(right / across if across else math.inf, bottom / down if down else math.inf)
    return inside[0] + across * scale, inside[1] + down * scale
