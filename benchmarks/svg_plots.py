"""Small SVG plots without a library: lines and bars that can be read in light and in dark mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 860, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 56, 72
COLOURS = ("#5865f2", "#e8590c", "#2b8a3e", "#868e96", "#ae3ec9")
# Where an axis may end, and how many parts it then has.
_ROUND = {1.2: 4, 1.6: 4, 2: 4, 3: 3, 4: 4, 5: 5, 6: 3, 8: 4, 10: 5}
_STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#343a40}.t{font-size:14px;font-weight:600}"
    ".g{stroke:#adb5bd;stroke-width:.5}.h{paint-order:stroke;stroke:#fff;stroke-width:4px}"
    "@media(prefers-color-scheme:dark){text{fill:#dee2e6}.b{fill:#1e1f22}.h{stroke:#1e1f22}}</style>"
)


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_name: str,
    y_name: str,
    filled: frozenset[str] = frozenset(),
) -> str:
    """Draw each series of (x, y) as steps; those in `filled` as an area behind."""
    points = [each for row in series.values() for each in row]
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_high = _round_up(max(y for _, y in points))

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / ((x_high - x_low) or 1)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / y_high * (HEIGHT - TOP - BOTTOM)

    body = [_grid(y_high)]
    for tick in range(7):
        x = x_low + (x_high - x_low) * tick / 6
        body.append(_text(at(x, 0)[0], HEIGHT - BOTTOM + 16, _short(x), "middle"))
    body.append(_text((LEFT + WIDTH) / 2, HEIGHT - BOTTOM + 32, x_name, "middle"))
    body.append(_text(LEFT, TOP - 8, y_name, "start"))
    for number, (name, row) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path, before = [], None
        for x, y in row:
            left, top = at(x, y)
            path.append(f"{left:.1f},{top:.1f}" if before is None else f"{left:.1f},{before:.1f} {left:.1f},{top:.1f}")
            before = top
        if name in filled:
            start, end = at(row[0][0], 0), at(row[-1][0], 0)
            area = f"{start[0]:.1f},{start[1]:.1f} {' '.join(path)} {end[0]:.1f},{end[1]:.1f}"
            body.append(f'<polygon points="{area}" fill="{colour}" opacity=".18"/>')
        else:
            body.append(f'<polyline points="{" ".join(path)}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    body.append(_legend(list(series), top=HEIGHT - 14))
    return _page(title, body)


def bars(
    title: str, labels: Sequence[str], series: Mapping[str, Sequence[float | None]], *, goal: float | None = None
) -> str:
    """Draw the series' values side by side above each label, nothing for None; `goal` as a line."""
    values = [each for row in series.values() for each in row if each is not None]
    y_high = _round_up(max([*values, goal or 0]))
    inner, step = HEIGHT - TOP - BOTTOM, (WIDTH - LEFT - RIGHT) / len(labels)
    body = [_grid(y_high)]
    wide = step * 0.8 / len(series)
    for number, row in enumerate(series.values()):
        for place, value in enumerate(row):
            if value is None:
                continue
            high = value / y_high * inner
            left = LEFT + place * step + step * 0.1 + number * wide
            body.append(
                f'<rect x="{left:.1f}" y="{HEIGHT - BOTTOM - high:.1f}" width="{wide:.1f}" height="{high:.1f}"'
                f' fill="{COLOURS[number % len(COLOURS)]}"/>'
            )
            if wide >= 24:
                body.append(_text(left + wide / 2, HEIGHT - BOTTOM - high - 3, _short(value), "middle"))
    turn = max(map(len, labels)) * 7 > step
    for place, label in enumerate(labels):
        left = LEFT + (place + 0.5) * step
        turned = f' transform="rotate(-18 {left:.1f} {HEIGHT - BOTTOM + 16})"' if turn else ""
        anchor = "end" if turned else "middle"
        body.append(
            f'<text x="{left:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="{anchor}"{turned}>{escape(label)}</text>'
        )
    if goal is not None:
        top = HEIGHT - BOTTOM - goal / y_high * inner
        body.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top:.1f}" y2="{top:.1f}"'
            ' stroke="#e03131" stroke-dasharray="5 3"/>'
        )
        body.append(
            f'<text class="h" x="{WIDTH - RIGHT}" y="{top - 4:.1f}" text-anchor="end">goal {_short(goal)}</text>'
        )
    if len(series) > 1:
        # Above: labels that are turned need the room below.
        body.append(_legend(list(series), top=TOP - 20))
    return _page(title, body)


def _page(title: str, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(title)}">'
        f'{_STYLE}<rect class="b" width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<text class="t" x="{LEFT}" y="20">{escape(title)}</text>{"".join(body)}</svg>\n'
    )


def _grid(y_high: float) -> str:
    parts = []
    ticks = _ticks(y_high)
    for tick in range(ticks + 1):
        top = HEIGHT - BOTTOM - tick / ticks * (HEIGHT - TOP - BOTTOM)
        parts.append(f'<line class="g" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top:.1f}" y2="{top:.1f}"/>')
        parts.append(_text(LEFT - 6, top + 4, _short(y_high * tick / ticks), "end"))
    return "".join(parts)


def _legend(names: Sequence[str], *, top: float) -> str:
    parts, left = [], LEFT
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{left}" y="{top}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(left + 14, top + 9, name, "start"))
        left += 28 + 7 * len(name)
    return "".join(parts)


def _text(left: float, top: float, words: str, anchor: str) -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _round_up(value: float) -> float:
    if value <= 0:
        return 1.0
    scale = 1.0
    while value / scale > 10:
        scale *= 10
    while value / scale <= 1:
        scale /= 10
    return next(each * scale for each in _ROUND if each * scale >= value)


def _ticks(y_high: float) -> int:
    """Into how many parts the axis falls so that each is a number one reads at a glance."""
    digits = float(f"{y_high:e}".partition("e")[0])
    return _ROUND.get(round(digits, 3), 5)


def _short(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
