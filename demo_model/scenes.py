"""Random scenes: what the demo model learns, and what the benchmark measures.

A scene is a value: objects, positions, colours. demo_model.drawing draws it at any size, and demo_model.captions
describes it. All randomness comes from the `random.Random` that is passed in.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field

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
# Synonyms. The benchmark uses the first.
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
class SceneObject:
    """A shape at `at` (0..1, the centre) with half-width `radius`."""

    shape: str
    color: str
    at: Point
    radius: float
    size: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """`kind` is one, two, pattern or view. `names_background`: whether the caption names the background."""

    kind: str
    background: str = DEFAULT_BACKGROUND
    names_background: bool = True
    objects: tuple[SceneObject, ...] = ()
    relation: str = ""
    place: str = ""
    pattern: str = ""
    direction: str = ""
    view: str = ""
    colors: tuple[str, ...] = ()
    jitter: tuple[float, ...] = field(default=())


# -- random scenes


def pick_contrasting_color(rng: random.Random, *others: str) -> str:
    """Return a random colour that is clearly distinct from `others`."""
    return rng.choice([name for name in COLORS if all(are_distinct(name, other) for other in others)])


def are_distinct(one: str, other: str) -> bool:
    """Whether two colours are clearly distinct."""
    return one != other and sum((a - b) ** 2 for a, b in zip(COLORS[one], COLORS[other], strict=True)) > 90**2


def _background(rng: random.Random) -> tuple[str, bool]:
    return (rng.choice(list(COLORS)), True) if rng.random() < 0.85 else (DEFAULT_BACKGROUND, False)


def object_scene(rng: random.Random) -> Scene:
    """Return a scene of one object, sometimes with a named place or size."""
    background, names_background = _background(rng)
    size = rng.choice(["", "", "", "small", "large"])
    radius = SIZES[size] * rng.uniform(0.9, 1.1)
    place = rng.choice(list(PLACES)) if rng.random() < 0.25 else ""
    x, y = PLACES[place or "center"]
    if place and size == "large":
        size, radius = "", SIZES[""]
    at = (x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03))
    obj = SceneObject(
        shape=rng.choice(SHAPES), color=pick_contrasting_color(rng, background), at=at, radius=radius, size=size
    )
    return Scene(kind="one", background=background, names_background=names_background, objects=(obj,), place=place)


def object_pair_scene(rng: random.Random) -> Scene:
    """Return a scene of two objects, beside or above each other."""
    background, names_background = _background(rng)
    relation = rng.choice(RELATIONS) if rng.random() < 0.8 else ""
    across = relation in ("left of", "right of") or (not relation and rng.random() < 0.5)
    first = relation in ("left of", "above") or (not relation and rng.random() < 0.5)
    near, far = rng.uniform(0.25, 0.3), rng.uniform(0.7, 0.75)
    other = rng.uniform(0.42, 0.58)
    one_at, two_at = (near, far) if first else (far, near)
    color = pick_contrasting_color(rng, background)
    objects = tuple(
        SceneObject(
            shape=rng.choice(SHAPES),
            color=paint,
            at=(along, other) if across else (other, along),
            radius=rng.uniform(0.17, 0.2),
        )
        for paint, along in ((color, one_at), (pick_contrasting_color(rng, background, color), two_at))
    )
    return Scene(
        kind="two", background=background, names_background=names_background, objects=objects, relation=relation
    )


def pattern_scene(rng: random.Random) -> Scene:
    """Return stripes, a checkerboard, a gradient or dots, in two colours."""
    first = rng.choice(list(COLORS))
    return Scene(
        kind="pattern",
        background=first,
        pattern=rng.choice(PATTERNS),
        direction=rng.choice(["horizontal", "vertical", "diagonal"]),
        colors=(first, pick_contrasting_color(rng, first)),
        jitter=(rng.choice([3, 4]),),
    )


def view_scene(rng: random.Random) -> Scene:
    """Return a landscape, a building, a face or an animal, some in a random colour."""
    return Scene(
        kind="view",
        view=rng.choice(VIEWS),
        names_background=False,
        colors=(rng.choice(list(COLORS)),) if rng.random() < 0.5 else (),
        jitter=tuple(rng.random() for _ in range(6)),
    )


def random_scene(rng: random.Random) -> Scene:
    """Return a scene of a random kind. Kinds that take longest to learn are the most frequent."""
    make = rng.choices([object_scene, object_pair_scene, pattern_scene, view_scene], weights=[0.32, 0.52, 0.04, 0.12])[
        0
    ]
    return make(rng)


def is_held_out(scene: Scene) -> bool:
    """Whether this combination of shapes, colours and relation is never trained, but measured: one in twelve is."""
    if scene.kind not in ("one", "two"):
        return False
    combination = [(obj.color, obj.shape) for obj in scene.objects]
    return (
        zlib.crc32(repr((combination, scene.background if scene.kind == "one" else scene.relation)).encode()) % 12 == 0
    )
