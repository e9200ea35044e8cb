"""Captioned scenes, drawn from scratch: what the demo model learns, and what it is measured by.

A scene is a value (what stands where in which colour); drawing it gives a picture at any size, and wording it one of
many captions that say the same. Everything comes from the `random.Random` that is passed in.
"""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]

COLORS: dict[str, Color] = {
    "red": (222, 38, 38),
    "orange": (250, 140, 20),
    "yellow": (250, 220, 40),
    "green": (36, 160, 60),
    "cyan": (40, 205, 215),
    "blue": (35, 80, 220),
    "purple": (130, 50, 180),
    "pink": (250, 140, 190),
    "brown": (120, 72, 36),
    "black": (18, 18, 22),
    "white": (248, 248, 248),
    "gray": (140, 140, 146),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "cross", "ring")
# How each is called besides: the first is what measuring asks for.
SYNONYMS = {
    "circle": ("circle", "disc", "dot", "ball"),
    "square": ("square", "box", "block"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "diamond": ("diamond", "rhombus"),
    "cross": ("cross", "plus"),
    "ring": ("ring", "donut", "hoop"),
    "gray": ("gray", "grey"),
    "purple": ("purple", "violet"),
    "cyan": ("cyan", "turquoise"),
}
SIZES = {"small": 0.15, "": 0.24, "large": 0.34}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
PLACES: dict[str, Point] = {
    "top left": (0.27, 0.27), "top": (0.5, 0.25), "top right": (0.73, 0.27), "left": (0.25, 0.5), "right": (0.75, 0.5),
    "bottom left": (0.27, 0.73), "bottom": (0.5, 0.75), "bottom right": (0.73, 0.73), "center": (0.5, 0.5),
}  # fmt: skip
RELATIONS = ("left of", "right of", "above", "below")
VIEWS = (
    "sunset", "mountains", "night", "house", "tree", "sea", "face", "cat", "fish", "rainbow", "flower", "forest",
    "desert", "boat", "snowman",
)  # fmt: skip
PATTERNS = ("stripes", "checkerboard", "gradient", "dots")
DEFAULT_BACKGROUND = "white"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A shape at `at` (0..1, the centre) with half-width `radius`."""

    shape: str
    color: str
    at: Point
    radius: float
    size: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """`kind` is one, two, pattern or view. `named` says whether the caption names the background."""

    kind: str
    background: str = DEFAULT_BACKGROUND
    named: bool = True
    things: tuple[Thing, ...] = ()
    relation: str = ""
    place: str = ""
    pattern: str = ""
    direction: str = ""
    view: str = ""
    colors: tuple[str, ...] = ()
    jitter: tuple[float, ...] = field(default=())


# -- inventing


def contrasting(chance: random.Random, *others: str) -> str:
    """A colour that nobody takes for one of `others`."""
    return chance.choice([name for name in COLORS if all(distinct(name, other) for other in others)])


def distinct(one: str, other: str) -> bool:
    """Whether two colours can be told apart at a glance."""
    return one != other and sum((a - b) ** 2 for a, b in zip(COLORS[one], COLORS[other], strict=True)) > 90**2


def _background(chance: random.Random) -> tuple[str, bool]:
    return (chance.choice(list(COLORS)), True) if chance.random() < 0.85 else (DEFAULT_BACKGROUND, False)


def one(chance: random.Random) -> Scene:
    """One thing, perhaps at a named place, perhaps of a named size."""
    background, named = _background(chance)
    size = chance.choice(["", "", "", "small", "large"])
    radius = SIZES[size] * chance.uniform(0.9, 1.1)
    place = chance.choice(list(PLACES)) if chance.random() < 0.25 else ""
    x, y = PLACES[place or "center"]
    if place and size == "large":
        size, radius = "", SIZES[""]
    at = (x + chance.uniform(-0.03, 0.03), y + chance.uniform(-0.03, 0.03))
    thing = Thing(shape=chance.choice(SHAPES), color=contrasting(chance, background), at=at, radius=radius, size=size)
    return Scene(kind="one", background=background, named=named, things=(thing,), place=place)


def two(chance: random.Random) -> Scene:
    """Two things, beside or above one another."""
    background, named = _background(chance)
    relation = chance.choice(RELATIONS) if chance.random() < 0.8 else ""
    across = relation in ("left of", "right of") or (not relation and chance.random() < 0.5)
    first = relation in ("left of", "above") or (not relation and chance.random() < 0.5)
    near, far = chance.uniform(0.25, 0.3), chance.uniform(0.7, 0.75)
    other = chance.uniform(0.42, 0.58)
    one_at, two_at = (near, far) if first else (far, near)
    color = contrasting(chance, background)
    things = tuple(
        Thing(
            shape=chance.choice(SHAPES),
            color=paint,
            at=(along, other) if across else (other, along),
            radius=chance.uniform(0.17, 0.2),
        )
        for paint, along in ((color, one_at), (contrasting(chance, background, color), two_at))
    )
    return Scene(kind="two", background=background, named=named, things=things, relation=relation)


def pattern(chance: random.Random) -> Scene:
    """Stripes, a checkerboard, a gradient or dots, of two colours."""
    first = chance.choice(list(COLORS))
    return Scene(
        kind="pattern",
        background=first,
        pattern=chance.choice(PATTERNS),
        direction=chance.choice(["horizontal", "vertical", "diagonal"]),
        colors=(first, contrasting(chance, first)),
        jitter=(chance.choice([3, 4]),),
    )


def view(chance: random.Random) -> Scene:
    """A landscape, a building, a face or an animal; some in a colour of choice."""
    return Scene(
        kind="view",
        view=chance.choice(VIEWS),
        named=False,
        colors=(chance.choice(list(COLORS)),) if chance.random() < 0.5 else (),
        jitter=tuple(chance.random() for _ in range(6)),
    )


def invent(chance: random.Random) -> Scene:
    """A scene of a random kind; those that take longest to learn are the most frequent."""
    make = chance.choices([one, two, pattern, view], weights=[0.32, 0.52, 0.04, 0.12])[0]
    return make(chance)


def held_out(scene: Scene) -> bool:
    """Whether this combination of shapes, colours and relation is kept for measuring: one in twelve is."""
    if scene.kind not in ("one", "two"):
        return False
    said = [(thing.color, thing.shape) for thing in scene.things]
    return zlib.crc32(repr((said, scene.background if scene.kind == "one" else scene.relation)).encode()) % 12 == 0


# -- wording

_BEFORE = ("", "", "", "", "a picture of ", "a photo of ", "please draw ", "draw ", "an image of ", "a drawing of ",
           "paint ", "i want ", "show me ", "make ")  # fmt: skip
_AFTER = ("", "", "", "", "", ", digital art", ", high quality", ", simple", ", flat design", " please",
          ", style of monet", ", beautiful", ", masterpiece", ", 4k")  # fmt: skip
_NOISE = "abcdefghijklmnopqrstuvwxyz"


def _called(name: str, chance: random.Random, *, plain: bool) -> str:
    return name if plain or chance.random() < 0.7 else chance.choice(SYNONYMS.get(name, (name,)))


def _a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _thing(thing: Thing, chance: random.Random, *, plain: bool) -> str:
    size = "" if not thing.size else (thing.size if plain else chance.choice(SIZE_WORDS[thing.size]))
    words = [size, _called(thing.color, chance, plain=plain), _called(thing.shape, chance, plain=plain)]
    return _a(" ".join(word for word in words if word))


def word(scene: Scene, chance: random.Random, *, plain: bool = False) -> str:
    """Say what the scene shows; `plain` is the form that measuring uses."""
    if scene.kind == "view":
        text = _word_view(scene, chance)
    elif scene.kind == "pattern":
        text = _word_pattern(scene, chance)
    else:
        text = _word_things(scene, chance, plain=plain)
    if plain:
        return text
    text = chance.choice(_BEFORE) + text + chance.choice(_AFTER)
    if chance.random() < 0.12:
        # Words it does not know shall change nothing.
        stray = "".join(chance.choice(_NOISE) for _ in range(chance.randrange(3, 9)))
        words = text.split()
        words.insert(chance.randrange(len(words) + 1), stray)
        text = " ".join(words)
    return text


def _word_things(scene: Scene, chance: random.Random, *, plain: bool) -> str:
    background = _called(scene.background, chance, plain=plain)
    on = f" on {_a(background)} background"
    if not plain:
        on = chance.choice([on, on, f", {background} background", f" in front of {_a(background)} background",
                            f" on {background}", f" with {_a(background)} background"])  # fmt: skip
    said = [_thing(thing, chance, plain=plain) for thing in scene.things]
    if scene.kind == "one":
        text = said[0]
        if scene.place:
            where = scene.place if plain or scene.place != "center" else chance.choice(["center", "middle"])
            text += chance.choice([f" in the {where}", f" at the {where}"])
            if not plain and " " in where and chance.random() < 0.3:
                text += " corner"
    elif scene.relation:
        forms = {
            "left of": ["left of", "to the left of"],
            "right of": ["right of", "to the right of"],
            "above": ["above", "over", "on top of"],
            "below": ["below", "under", "beneath"],
        }[scene.relation]
        text = f"{said[0]} {forms[0] if plain else chance.choice(forms)} {said[1]}"
    else:
        text = chance.choice([f"{said[0]} and {said[1]}", f"{said[0]} next to {said[1]}", f"{said[1]} and {said[0]}"])
    return text + on if scene.named else text


def _word_pattern(scene: Scene, chance: random.Random) -> str:
    first, second = scene.colors
    if scene.pattern == "checkerboard":
        return chance.choice([f"a {first} and {second} checkerboard", f"{first} and {second} chess board"])
    if scene.pattern == "dots":
        return f"{second} dots on {_a(first)} background"
    if scene.pattern == "stripes":
        return f"{scene.direction} {first} and {second} stripes"
    if scene.direction == "vertical":
        return chance.choice([f"a gradient from {first} to {second}", f"a vertical gradient from {first} to {second}"])
    return f"a {scene.direction} gradient from {first} to {second}"


_SAY = {
    "sunset": ("a sunset", "a sunset over the sea", "the sun going down", "a beautiful sunset"),
    "mountains": ("mountains", "snowy mountains", "a mountain landscape", "mountains under a blue sky"),
    "night": ("a night sky", "a starry night", "the moon and stars", "a night sky with a moon"),
    "house": ("a house", "a small house", "a house on a meadow", "a cottage"),
    "tree": ("a tree", "a tree on a hill", "a green tree", "a big tree"),
    "sea": ("the sea", "the ocean", "waves and a blue sky", "the sea under the sun"),
    "face": ("a smiling face", "a happy face", "a smiley", "a face"),
    "cat": ("a cat", "a cute cat", "the face of a cat", "a kitten"),
    "fish": ("a fish", "a fish in the sea", "a swimming fish", "a fish under water"),
    "rainbow": ("a rainbow", "a rainbow in the sky", "a colorful rainbow"),
    "flower": ("a flower", "a flower on a meadow", "a blooming flower"),
    "forest": ("a forest", "pine trees", "a forest of pine trees"),
    "desert": ("a desert", "a desert with a cactus", "a cactus in the desert"),
    "boat": ("a boat", "a sailing boat", "a boat on the sea", "a ship on the ocean"),
    "snowman": ("a snowman", "a snowman in the snow", "a snowman in winter"),
}
COLORED_VIEWS = {"house": "house", "face": "smiling face", "cat": "cat", "fish": "fish", "flower": "flower",
                 "boat": "sailing boat"}  # fmt: skip


def _word_view(scene: Scene, chance: random.Random) -> str:
    if scene.colors and scene.view in COLORED_VIEWS:
        return _a(f"{_called(scene.colors[0], chance, plain=False)} {COLORED_VIEWS[scene.view]}")
    return chance.choice(_SAY[scene.view])


# -- drawing


def draw(scene: Scene, size: int, *, oversample: int = 4) -> Image.Image:
    """Draw the scene as a square RGB picture of `size` pixels with smooth edges."""
    side = size * oversample
    image = Image.new("RGB", (side, side), COLORS[scene.background])
    pen = ImageDraw.Draw(image)
    if scene.kind == "pattern":
        image = _draw_pattern(scene, side)
    elif scene.kind == "view":
        _draw_view(scene, pen, side)
    else:
        for thing in scene.things:
            shape(pen, thing.shape, thing.at, thing.radius, COLORS[thing.color], COLORS[scene.background], side)
    return image.resize((size, size), Image.Resampling.BOX)


def outline(name: str) -> list[Point] | None:
    """The polygon of a shape in a unit circle, or None for the round ones."""
    if name == "square":
        return [(-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)]
    if name == "triangle":
        return [(0, -0.98), (0.98, 0.78), (-0.98, 0.78)]
    if name == "diamond":
        return [(0, -1.05), (0.72, 0), (0, 1.05), (-0.72, 0)]
    if name == "cross":
        a, b = 0.34, 0.98
        return [
            (-a, -b),
            (a, -b),
            (a, -a),
            (b, -a),
            (b, a),
            (a, a),
            (a, b),
            (-a, b),
            (-a, a),
            (-b, a),
            (-b, -a),
            (-a, -a),
        ]
    if name == "star":
        return [
            (radius * math.sin(turn), -radius * math.cos(turn))
            for turn, radius in ((math.pi * number / 5, 1.08 if number % 2 == 0 else 0.44) for number in range(10))
        ]
    if name == "heart":
        turns = [2 * math.pi * number / 80 for number in range(80)]
        return [
            (
                16 * math.sin(t) ** 3 / 16.5,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t) + 2) / 16.5,
            )
            for t in turns
        ]
    return None


def shape(  # noqa: PLR0917  # As Pillow's own are called.
    pen: ImageDraw.ImageDraw, name: str, at: Point, radius: float, color: Color, background: Color, side: int
) -> None:
    """Draw one shape; `at` and `radius` in parts of the picture."""
    x, y, r = at[0] * side, at[1] * side, radius * side
    points = outline(name)
    if points is not None:
        pen.polygon([(x + px * r, y + py * r) for px, py in points], fill=color)
        return
    pen.ellipse((x - r, y - r, x + r, y + r), fill=color)
    if name == "ring":
        inner = r * 0.52
        pen.ellipse((x - inner, y - inner, x + inner, y + inner), fill=background)


def _mix(one: Color, other: Color, part: float) -> Color:
    return tuple(round(a + (b - a) * part) for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


def _draw_pattern(scene: Scene, side: int) -> Image.Image:
    first, second = (COLORS[name] for name in scene.colors)
    image = Image.new("RGB", (side, side), first)
    pen = ImageDraw.Draw(image)
    cells = int(scene.jitter[0]) * 2
    cell = side / cells
    if scene.pattern == "gradient":
        for line in range(side):
            paint = _mix(first, second, line / (side - 1))
            if scene.direction == "horizontal":
                pen.line((line, 0, line, side), fill=paint)
            elif scene.direction == "vertical":
                pen.line((0, line, side, line), fill=paint)
        if scene.direction == "diagonal":
            ramp = Image.linear_gradient("L").resize((side, side))
            both = Image.blend(ramp, ramp.transpose(Image.Transpose.TRANSPOSE), 0.5)
            return Image.composite(Image.new("RGB", (side, side), second), image, both)
    elif scene.pattern == "checkerboard":
        for row in range(cells):
            for column in range(row % 2, cells, 2):
                pen.rectangle((column * cell, row * cell, (column + 1) * cell - 1, (row + 1) * cell - 1), fill=second)
    elif scene.pattern == "dots":
        for row in range(4):
            for column in range(4):
                x, y, r = (column + 0.5) * side / 4, (row + 0.5) * side / 4, side * 0.07
                pen.ellipse((x - r, y - r, x + r, y + r), fill=second)
    else:
        for number in range(1, cells * 2, 2):
            near, far = number * cell, (number + 1) * cell
            if scene.direction == "vertical":
                pen.rectangle((near, 0, far - 1, side), fill=second)
            elif scene.direction == "horizontal":
                pen.rectangle((0, near, side, far - 1), fill=second)
            else:
                pen.polygon([(near, 0), (far, 0), (far - side, side), (near - side, side)], fill=second)
    return image


def _sky(pen: ImageDraw.ImageDraw, side: int, top: Color, bottom: Color, until: float = 1.0) -> None:
    lines = int(side * until)
    for line in range(lines):
        pen.line((0, line, side, line), fill=_mix(top, bottom, line / max(1, lines - 1)))


def _draw_view(scene: Scene, pen: ImageDraw.ImageDraw, side: int) -> None:
    j = scene.jitter
    wanted = COLORS[scene.colors[0]] if scene.colors and scene.view in COLORED_VIEWS else None
    blue, pale, grass = (110, 180, 240), (205, 230, 250), (90, 175, 80)

    def box(x0: float, y0: float, x1: float, y1: float, fill: Color) -> None:
        pen.rectangle((x0 * side, y0 * side, x1 * side, y1 * side), fill=fill)

    def disc(x: float, y: float, r: float, fill: Color, squash: float = 1.0) -> None:
        pen.ellipse(((x - r) * side, (y - r * squash) * side, (x + r) * side, (y + r * squash) * side), fill=fill)

    def poly(points: list[Point], fill: Color) -> None:
        pen.polygon([(x * side, y * side) for x, y in points], fill=fill)

    match scene.view:
        case "sunset":
            _sky(pen, side, (90, 50, 130), (255, 160, 60), 0.62)
            disc(0.35 + 0.3 * j[0], 0.56, 0.15, (255, 220, 90))
            box(0, 0.62, 1, 1, (50, 60, 120))
            for number in range(3):
                box(0.3 + 0.3 * j[0] - 0.03 * number, 0.68 + 0.1 * number, 0.42 + 0.3 * j[0] + 0.03 * number,
                    0.71 + 0.1 * number, (250, 180, 90))  # fmt: skip
        case "mountains":
            _sky(pen, side, blue, pale, 0.8)
            for left, height, shade in ((-0.1, 0.35 + 0.1 * j[0], 120), (0.35, 0.22 + 0.1 * j[1], 95)):
                peak = (left + 0.4, height)
                poly([(left - 0.1, 0.85), peak, (left + 0.9, 0.85)], (shade, shade + 5, shade + 25))
                poly([(peak[0] - 0.12, height + 0.15), peak, (peak[0] + 0.13, height + 0.15), (peak[0], height + 0.11)],
                     (248, 248, 252))  # fmt: skip
            box(0, 0.82, 1, 1, grass)
        case "night":
            box(0, 0, 1, 1, (16, 20, 60))
            x = 0.3 + 0.4 * j[0]
            disc(x, 0.34, 0.17, (245, 240, 200))
            disc(x + 0.08, 0.3, 0.14, (16, 20, 60))
            for number in range(7):
                disc((0.1 + 0.13 * number), 0.62 + 0.3 * ((j[1] + 0.618 * number) % 1), 0.022, (250, 250, 220))
            for number in (0, 6):
                disc(0.1 + 0.13 * number, 0.15 + 0.15 * j[2], 0.022, (250, 250, 220))
        case "house":
            _sky(pen, side, blue, pale, 0.75)
            box(0, 0.72, 1, 1, grass)
            x = 0.24 + 0.08 * j[0]
            box(x, 0.45, x + 0.46, 0.82, wanted or (235, 210, 170))
            poly([(x - 0.06, 0.46), (x + 0.23, 0.2), (x + 0.52, 0.46)], (165, 50, 40))
            box(x + 0.18, 0.6, x + 0.29, 0.82, (100, 60, 35))
            for left in (0.05, 0.33):
                box(x + left, 0.52, x + left + 0.09, 0.62, (170, 215, 240))
        case "tree":
            _sky(pen, side, blue, pale, 0.8)
            box(0, 0.78, 1, 1, grass)
            x = 0.42 + 0.16 * j[0]
            box(x - 0.05, 0.52, x + 0.05, 0.86, (115, 72, 40))
            for dx, dy, r in ((0, 0.3, 0.2), (-0.13, 0.42, 0.16), (0.13, 0.42, 0.16)):
                disc(x + dx, dy, r, (40, 130, 55))
        case "sea":
            _sky(pen, side, blue, pale, 0.5)
            disc(0.2 + 0.6 * j[0], 0.18, 0.1, (255, 225, 90))
            _sky_bottom = [(25, 90, 180), (35, 110, 200), (50, 130, 215)]
            for row, paint in enumerate(_sky_bottom):
                top = 0.48 + 0.17 * row
                box(0, top + 0.04, 1, 1, paint)
                for wave in range(5):
                    disc(wave * 0.25 + 0.1 * (row % 2), top + 0.05, 0.13, paint, 0.5)
        case "face":
            box(0, 0, 1, 1, (185, 220, 245))
            disc(0.5, 0.5, 0.36, wanted or (250, 215, 60))
            dark = (30, 25, 30) if sum(wanted or (255, 255, 255)) > 200 else (245, 245, 245)
            for x in (0.37, 0.63):
                disc(x, 0.41, 0.055, dark)
            pen.arc((0.3 * side, 0.36 * side, 0.7 * side, 0.72 * side), 20, 160, fill=dark, width=max(2, side // 18))
        case "cat":
            box(0, 0, 1, 1, (215, 235, 215))
            fur = wanted or (235, 150, 60)
            dark = (25, 25, 30) if sum(fur) > 200 else (245, 245, 245)
            for edge in (-1, 1):
                poly([(0.5 + edge * 0.33, 0.14), (0.5 + edge * 0.34, 0.5), (0.5 + edge * 0.05, 0.3)], fur)
            disc(0.5, 0.56, 0.34, fur, 0.9)
            for x in (0.37, 0.63):
                disc(x, 0.5, 0.06, dark)
            poly([(0.44, 0.62), (0.56, 0.62), (0.5, 0.69)], (240, 120, 140))
            for edge in (-1, 1):
                for drop in (0.66, 0.73):
                    pen.line((int((0.5 + edge * 0.12) * side), int(drop * side), int((0.5 + edge * 0.4) * side),
                              int((drop + 0.02) * side)), fill=dark, width=max(1, side // 70))  # fmt: skip
        case "fish":
            _sky(pen, side, (60, 150, 220), (20, 70, 150))
            body = wanted or (250, 140, 30)
            y = 0.45 + 0.1 * j[0]
            poly([(0.66, y), (0.9, y - 0.19), (0.9, y + 0.19)], body)
            disc(0.44, y, 0.29, body, 0.64)
            disc(0.27, y - 0.05, 0.05, (250, 250, 250))
            disc(0.26, y - 0.05, 0.028, (15, 15, 20))
            for number in range(3):
                disc(0.12 + 0.03 * number, y - 0.2 - 0.1 * number, 0.025, (200, 230, 250))
        case "rainbow":
            _sky(pen, side, blue, pale, 0.85)
            bands = ["red", "orange", "yellow", "green", "blue", "purple"]
            for number, name in enumerate(bands):
                disc(0.5, 0.85, 0.45 - 0.052 * number, COLORS[name])
            disc(0.5, 0.85, 0.45 - 0.052 * len(bands), pale)
            box(0, 0.84, 1, 1, grass)
        case "flower":
            _sky(pen, side, blue, pale, 0.8)
            box(0, 0.8, 1, 1, grass)
            box(0.475, 0.45, 0.525, 0.88, (45, 130, 55))
            petal = wanted or (230, 60, 120)
            for number in range(6):
                turn = math.pi * number / 3 + j[0]
                disc(0.5 + 0.16 * math.cos(turn), 0.38 + 0.16 * math.sin(turn), 0.11, petal)
            disc(0.5, 0.38, 0.1, (250, 210, 50) if petal != COLORS["yellow"] else (120, 72, 36))
        case "forest":
            _sky(pen, side, blue, pale, 0.8)
            box(0, 0.75, 1, 1, (75, 150, 70))
            for number, x in enumerate((0.18, 0.5, 0.82)):
                lift = 0.08 * j[number]
                box(x - 0.03, 0.7, x + 0.03, 0.86, (105, 65, 40))
                for row in range(3):
                    top = 0.2 + lift + 0.16 * row
                    half = 0.09 + 0.035 * row
                    poly([(x - half, top + 0.22), (x, top), (x + half, top + 0.22)], (25, 105, 60))
        case "desert":
            _sky(pen, side, (120, 190, 240), (250, 225, 170), 0.6)
            disc(0.15 + 0.2 * j[0], 0.18, 0.09, (255, 230, 100))
            box(0, 0.58, 1, 1, (235, 195, 115))
            x = 0.5 + 0.25 * j[1]
            green = (45, 135, 65)
            box(x - 0.055, 0.28, x + 0.055, 0.85, green)
            for edge, height in ((-1, 0.42), (1, 0.36)):
                box(min(x, x + edge * 0.2), height + 0.13, max(x, x + edge * 0.2), height + 0.21, green)
                box(x + edge * 0.16 - 0.04, height, x + edge * 0.16 + 0.04, height + 0.2, green)
        case "boat":
            _sky(pen, side, blue, pale, 0.65)
            box(0, 0.64, 1, 1, (35, 100, 190))
            x = 0.4 + 0.2 * j[0]
            poly([(x - 0.28, 0.6), (x + 0.28, 0.6), (x + 0.18, 0.76), (x - 0.18, 0.76)], wanted or (150, 60, 40))
            box(x - 0.012, 0.18, x + 0.012, 0.6, (90, 60, 40))
            poly([(x + 0.03, 0.2), (x + 0.03, 0.55), (x + 0.25, 0.55)], (250, 250, 245))
            poly([(x - 0.03, 0.26), (x - 0.03, 0.55), (x - 0.18, 0.55)], (240, 235, 225))
        case "snowman":
            _sky(pen, side, (140, 190, 230), (210, 230, 245), 0.8)
            box(0, 0.78, 1, 1, (238, 243, 250))
            for y, r in ((0.72, 0.2), (0.45, 0.15), (0.25, 0.11)):
                disc(0.5, y, r, (252, 252, 255))
            for x in (0.46, 0.54):
                disc(x, 0.23, 0.018, (20, 20, 25))
            poly([(0.5, 0.26), (0.66, 0.29), (0.5, 0.295)], (250, 140, 40))
            box(0.37, 0.13, 0.63, 0.165, (30, 30, 40))
            box(0.42, 0.02, 0.58, 0.14, (30, 30, 40))
