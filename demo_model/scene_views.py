"""The views that a scene may show: one function each, drawn from the scene's jitter and, for some, its colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from .scenes import COLORS, Color, Point, Scene

SKY_BLUE, PALE_BLUE, GRASS_GREEN = (110, 180, 240), (205, 230, 250), (90, 175, 80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """Draws on a square of `side` pixels; coordinates are in parts of the image, 0 to 1."""

    pen: ImageDraw.ImageDraw
    side: int

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Color) -> None:
        side = self.side
        self.pen.rectangle((x0 * side, y0 * side, x1 * side, y1 * side), fill=fill)

    def disc(self, x: float, y: float, r: float, fill: Color, squash: float = 1.0) -> None:
        side = self.side
        self.pen.ellipse(((x - r) * side, (y - r * squash) * side, (x + r) * side, (y + r * squash) * side), fill=fill)

    def polygon(self, points: Sequence[Point], fill: Color) -> None:
        self.pen.polygon([(x * self.side, y * self.side) for x, y in points], fill=fill)

    def sky(self, top: Color, bottom: Color, until: float = 1.0) -> None:
        """Fill the part above `until` with a gradient."""
        lines = int(self.side * until)
        for line in range(lines):
            self.pen.line((0, line, self.side, line), fill=mix_colors(top, bottom, line / max(1, lines - 1)))


def mix_colors(one: Color, other: Color, part: float) -> Color:
    """Return `part` (0 to 1) of the other colour and the rest of the one."""
    return tuple(round(a + (b - a) * part) for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


def draw_view(scene: Scene, canvas: Canvas) -> None:
    color = COLORS[scene.colors[0]] if scene.colors and scene.view in COLORED_VIEWS else None
    _DRAW[scene.view](canvas, scene.jitter, color)


def _draw_sunset(canvas: Canvas, jitter: Sequence[float], _color: Color | None) -> None:
    canvas.sky((90, 50, 130), (255, 160, 60), 0.62)
    canvas.disc(0.35 + 0.3 * jitter[0], 0.56, 0.15, (255, 220, 90))
    canvas.box(0, 0.62, 1, 1, (50, 60, 120))
    for number in range(3):
        canvas.box(
            0.3 + 0.3 * jitter[0] - 0.03 * number,
            0.68 + 0.1 * number,
            0.42 + 0.3 * jitter[0] + 0.03 * number,
            0.71 + 0.1 * number,
            (250, 180, 90),
        )


def _draw_mountains(canvas: Canvas, jitter: Sequence[float], _color: Color | None) -> None:
    canvas.sky(SKY_BLUE, PALE_BLUE, 0.8)
    for left, height, shade in ((-0.1, 0.35 + 0.1 * jitter[0], 120), (0.35, 0.22 + 0.1 * jitter[1], 95)):
        peak = (left + 0.4, height)
        canvas.polygon([(left - 0.1, 0.85), peak, (left + 0.9, 0.85)], (shade, shade + 5, shade + 25))
        canvas.polygon(
            [(peak[0] - 0.12, height + 0.15), peak, (peak[0] + 0.13, height + 0.15), (peak[0], height + 0.11)],
            (248, 248, 252),
        )
    canvas.box(0, 0.82, 1, 1, GRASS_GREEN)


def _draw_night(canvas: Canvas, jitter: Sequence[float], _color: Color | None) -> None:
    canvas.box(0, 0, 1, 1, (16, 20, 60))
    x = 0.3 + 0.4 * jitter[0]
    canvas.disc(x, 0.34, 0.17, (245, 240, 200))
    canvas.disc(x + 0.08, 0.3, 0.14, (16, 20, 60))
    for number in range(7):
        canvas.disc((0.1 + 0.13 * number), 0.62 + 0.3 * ((jitter[1] + 0.618 * number) % 1), 0.022, (250, 250, 220))
    for number in (0, 6):
        canvas.disc(0.1 + 0.13 * number, 0.15 + 0.15 * jitter[2], 0.022, (250, 250, 220))


def _draw_house(canvas: Canvas, jitter: Sequence[float], color: Color | None) -> None:
    canvas.sky(SKY_BLUE, PALE_BLUE, 0.75)
    canvas.box(0, 0.72, 1, 1, GRASS_GREEN)
    x = 0.24 + 0.08 * jitter[0]
    canvas.box(x, 0.45, x + 0.46, 0.82, color or (235, 210, 170))
    canvas.polygon([(x - 0.06, 0.46), (x + 0.23, 0.2), (x + 0.52, 0.46)], (165, 50, 40))
    canvas.box(x + 0.18, 0.6, x + 0.29, 0.82, (100, 60, 35))
    for left in (0.05, 0.33):
        canvas.box(x + left, 0.52, x + left + 0.09, 0.62, (170, 215, 240))


def _draw_tree(canvas: Canvas, jitter: Sequence[float], _color: Color | None) -> None:
    canvas.sky(SKY_BLUE, PALE_BLUE, 0.8)
    canvas.box(0, 0.78, 1, 1, GRASS_GREEN)
    x = 0.42 + 0.16 * jitter[0]
    canvas.box(x - 0.05, 0.52, x + 0.05, 0.86, (115, 72, 40))
    for dx, dy, r in ((0, 0.3, 0.2), (-0.13, 0.42, 0.16), (0.13, 0.42, 0.16)):
        canvas.disc(x + dx, dy, r, (40, 130, 55))


def _draw_sea(canvas: Canvas, jitter: Sequence[float], _color: Color | None) -> None:
    canvas.sky(SKY_BLUE, PALE_BLUE, 0.5)
    canvas.disc(0.2 + 0.6 * jitter[0], 0.18, 0.1, (255, 225, 90))
    water = [(25, 90, 180), (35, 110, 200), (50, 130, 215)]
    for row, paint in enumerate(water):
        top = 0.48 + 0.17 * row
        canvas.box(0, top + 0.04, 1, 1, paint)
        for wave in range(5):
            canvas.disc(wave * 0.25 + 0.1 * (row % 2), top + 0.05, 0.13, paint, 0.5)


def _draw_face(canvas: Canvas, _jitter: Sequence[float], color: Color | None) -> None:
    canvas.box(0, 0, 1, 1, (185, 220, 245))
    canvas.disc(0.5, 0.5, 0.36, color or (250, 215, 60))
    dark = (30, 25, 30) if sum(color or (255, 255, 255)) > 200 else (245, 245, 245)
    for x in (0.37, 0.63):
        canvas.disc(x, 0.41, 0.055, dark)
    canvas.pen.arc(
        (0.3 * canvas.side, 0.36 * canvas.side, 0.7 * canvas.side, 0.72 * canvas.side),
        20,
        160,
        fill=dark,
        width=max(2, canvas.side // 18),
    )


def _draw_cat(canvas: Canvas, _jitter: Sequence[float], color: Color | None) -> None:
    canvas.box(0, 0, 1, 1, (215, 235, 215))
    fur = color or (235, 150, 60)
    dark = (25, 25, 30) if sum(fur) > 200 else (245, 245, 245)
    for edge in (-1, 1):
        canvas.polygon([(0.5 + edge * 0.33, 0.14), (0.5 + edge * 0.34, 0.5), (0.5 + edge * 0.05, 0.3)], fur)
    canvas.disc(0.5, 0.56, 0.34, fur, 0.9)
    for x in (0.37, 0.63):
        canvas.disc(x, 0.5, 0.06, dark)
    canvas.polygon([(0.44, 0.62), (0.56, 0.62), (0.5, 0.69)], (240, 120, 140))
    for edge in (-1, 1):
        for drop in (0.66, 0.73):
            canvas.pen.line(
                (
                    int((0.5 + edge * 0.12) * canvas.side),
                    int(drop * canvas.side),
                    int((0.5 + edge * 0.4) * canvas.side),
                    int((drop + 0.02) * canvas.side),
                ),
                fill=dark,
                width=max(1, canvas.side // 70),
            )


def _draw_fish(canvas: Canvas, jitter: Sequence[float], color: Color | None) -> None:
    canvas.sky((60, 150, 220), (20, 70, 150))
    body = color or (250, 140, 30)
    y = 0.45 + 0.1 * jitter[0]
    canvas.polygon([(0.66, y), (0.9, y - 0.19), (0.9, y + 0.19)], body)
    canvas.disc(0.44, y, 0.29, body, 0.64)
    canvas.disc(0.27, y - 0.05, 0.05, (250, 250, 250))
    canvas.disc(0.26, y - 0.05, 0.028, (15, 15, 20))
    for number in range(3):
        canvas.disc(0.12 + 0.03 * number, y - 0.2 - 0.1 * number, 0.025, (200, 230, 250))


def _draw_rainbow(canvas: Canvas, _jitter: Sequence[float], _color: Color | None) -> None:
    canvas.sky(SKY_BLUE, PALE_BLUE, 0.85)
    bands = ["red", "orange", "yellow", "green", "blue", "purple"]
    for number, name in enumerate(bands):
        canvas.disc(0.5, 0.85, 0.45 - 0.052 * number, COLORS[name])
    canvas.disc(0.5, 0.85, 0.45 - 0.052 * len(bands), PALE_BLUE)
    canvas.box(0, 0.84, 1, 1, GRASS_GREEN)


def _draw_flower(canvas: Canvas, jitter: Sequence[float], color: Color | None) -> None:
    canvas.sky(SKY_BLUE, PALE_BLUE, 0.8)
    canvas.box(0, 0.8, 1, 1, GRASS_GREEN)
    canvas.box(0.475, 0.45, 0.525, 0.88, (45, 130, 55))
    petal = color or (230, 60, 120)
    for number in range(6):
        turn = math.pi * number / 3 + jitter[0]
        canvas.disc(0.5 + 0.16 * math.cos(turn), 0.38 + 0.16 * math.sin(turn), 0.11, petal)
    canvas.disc(0.5, 0.38, 0.1, (250, 210, 50) if petal != COLORS["yellow"] else (120, 72, 36))


def _draw_forest(canvas: Canvas, jitter: Sequence[float], _color: Color | None) -> None:
    canvas.sky(SKY_BLUE, PALE_BLUE, 0.8)
    canvas.box(0, 0.75, 1, 1, (75, 150, 70))
    for number, x in enumerate((0.18, 0.5, 0.82)):
        lift = 0.08 * jitter[number]
        canvas.box(x - 0.03, 0.7, x + 0.03, 0.86, (105, 65, 40))
        for row in range(3):
            top = 0.2 + lift + 0.16 * row
            half = 0.09 + 0.035 * row
            canvas.polygon([(x - half, top + 0.22), (x, top), (x + half, top + 0.22)], (25, 105, 60))


def _draw_desert(canvas: Canvas, jitter: Sequence[float], _color: Color | None) -> None:
    canvas.sky((120, 190, 240), (250, 225, 170), 0.6)
    canvas.disc(0.15 + 0.2 * jitter[0], 0.18, 0.09, (255, 230, 100))
    canvas.box(0, 0.58, 1, 1, (235, 195, 115))
    x = 0.5 + 0.25 * jitter[1]
    green = (45, 135, 65)
    canvas.box(x - 0.055, 0.28, x + 0.055, 0.85, green)
    for edge, height in ((-1, 0.42), (1, 0.36)):
        canvas.box(min(x, x + edge * 0.2), height + 0.13, max(x, x + edge * 0.2), height + 0.21, green)
        canvas.box(x + edge * 0.16 - 0.04, height, x + edge * 0.16 + 0.04, height + 0.2, green)


def _draw_boat(canvas: Canvas, jitter: Sequence[float], color: Color | None) -> None:
    canvas.sky(SKY_BLUE, PALE_BLUE, 0.65)
    canvas.box(0, 0.64, 1, 1, (35, 100, 190))
    x = 0.4 + 0.2 * jitter[0]
    canvas.polygon([(x - 0.28, 0.6), (x + 0.28, 0.6), (x + 0.18, 0.76), (x - 0.18, 0.76)], color or (150, 60, 40))
    canvas.box(x - 0.012, 0.18, x + 0.012, 0.6, (90, 60, 40))
    canvas.polygon([(x + 0.03, 0.2), (x + 0.03, 0.55), (x + 0.25, 0.55)], (250, 250, 245))
    canvas.polygon([(x - 0.03, 0.26), (x - 0.03, 0.55), (x - 0.18, 0.55)], (240, 235, 225))


def _draw_snowman(canvas: Canvas, _jitter: Sequence[float], _color: Color | None) -> None:
    canvas.sky((140, 190, 230), (210, 230, 245), 0.8)
    canvas.box(0, 0.78, 1, 1, (238, 243, 250))
    for y, r in ((0.72, 0.2), (0.45, 0.15), (0.25, 0.11)):
        canvas.disc(0.5, y, r, (252, 252, 255))
    for x in (0.46, 0.54):
        canvas.disc(x, 0.23, 0.018, (20, 20, 25))
    canvas.polygon([(0.5, 0.26), (0.66, 0.29), (0.5, 0.295)], (250, 140, 40))
    canvas.box(0.37, 0.13, 0.63, 0.165, (30, 30, 40))
    canvas.box(0.42, 0.02, 0.58, 0.14, (30, 30, 40))


# The views that a caption may give a colour, and what it calls them then.
COLORED_VIEWS = {"house": "house", "face": "smiling face", "cat": "cat", "fish": "fish", "flower": "flower",
                 "boat": "sailing boat"}  # fmt: skip
_DRAW: dict[str, Callable[[Canvas, Sequence[float], Color | None], None]] = {
    "sunset": _draw_sunset,
    "mountains": _draw_mountains,
    "night": _draw_night,
    "house": _draw_house,
    "tree": _draw_tree,
    "sea": _draw_sea,
    "face": _draw_face,
    "cat": _draw_cat,
    "fish": _draw_fish,
    "rainbow": _draw_rainbow,
    "flower": _draw_flower,
    "forest": _draw_forest,
    "desert": _draw_desert,
    "boat": _draw_boat,
    "snowman": _draw_snowman,
}
