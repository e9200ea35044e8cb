"""Detects what an image shows, from its pixels: the background, and each object's colour, shape and position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from . import scenes
from .drawing import draw_shape

SIDE = 256  # images are analysed at this size
TEMPLATE = 48  # shapes are compared at this size
MIN_AREA = 0.006  # of the image: smaller areas are no objects
MIN_DISTANCE = 0.1  # of the image: closer objects are not left of or above each other

NAMES = tuple(scenes.COLORS)
_PALETTE = np.array([scenes.COLORS[name] for name in NAMES], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedObject:
    """A detected object. `at` is its centre and `area` its area, in parts of the image."""

    color: str
    shape: str
    at: tuple[float, float]
    area: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How well an image shows its scene. `objects` are expected; `colors` and `shapes` of them are right.

    `is_placed`: whether the relation is right, None where the scene has none.
    """

    background: bool
    colors: int
    shapes: int
    objects: int
    is_placed: bool | None


def detect(image: Image.Image) -> tuple[str, list[DetectedObject]]:
    """Return the background's colour and the objects on it, the largest first."""
    pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    classes = ((pixels[:, :, None, :] - _PALETTE) ** 2).sum(-1).argmin(-1)
    rim = SIDE // 32
    border = np.concatenate(
        [classes[:rim].ravel(), classes[-rim:].ravel(), classes[:, :rim].ravel(), classes[:, -rim:].ravel()]
    )
    background = int(np.bincount(border, minlength=len(NAMES)).argmax())
    detected = []
    for number, name in enumerate(NAMES):
        if number == background:
            continue
        # Where two colours meet, the blend looks like a third colour. Opening removes such thin seams.
        mask = ndimage.binary_opening(classes == number, iterations=2)
        labels, count = ndimage.label(mask)
        for label in range(1, count + 1):
            part = labels == label
            area = float(part.mean())
            if area < MIN_AREA:
                continue
            y, x = ndimage.center_of_mass(part)
            detected.append(
                DetectedObject(color=name, shape=classify_shape(part), at=(float(x) / SIDE, float(y) / SIDE), area=area)
            )
    return NAMES[background], sorted(detected, key=lambda obj: -obj.area)


def classify_shape(mask: np.ndarray) -> str:
    """Return the shape whose template fits the mask best (intersection over union in the same bounding box)."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    cut = Image.fromarray(mask[top:bottom, left:right].astype(np.uint8) * 255)
    whole = np.asarray(cut.resize((TEMPLATE, TEMPLATE), Image.Resampling.BILINEAR)) > 127
    # Scaled to the template the proportions are lost, and a diamond is taller than wide.
    ratio = (right - left) / (bottom - top)

    def fit(name: str) -> float:
        template, proportion = _template(name)
        overlap = float((whole & template).sum() / max(1, (whole | template).sum()))
        return overlap - 0.2 * abs(float(np.log(ratio / proportion)))

    return max(scenes.SHAPES, key=fit)


@cache
def _template(name: str) -> tuple[np.ndarray, float]:
    image = Image.new("L", (512, 512), 0)
    draw_shape(ImageDraw.Draw(image), name, (0.5, 0.5), 0.4, 255, 0, 512)  # type: ignore[arg-type]
    box = image.getbbox()
    assert box is not None
    cut = image.crop(box)
    return np.asarray(cut.resize((TEMPLATE, TEMPLATE), Image.Resampling.BILINEAR)) > 127, cut.width / cut.height


def compare(image: Image.Image, scene: scenes.Scene) -> Comparison:
    """Compare an image with the scene of its caption. Each object of the scene is matched with the most similar one."""
    background, detected = detect(image)
    expected = scene.objects
    candidates: Sequence[DetectedObject | None] = [*detected[: len(expected) + 1], *([None] * len(expected))]

    def count_right(order: Sequence[DetectedObject | None]) -> tuple[int, int]:
        pairs = list(zip(expected, order, strict=True))
        return (
            sum(obj is not None and obj.color == wanted.color for wanted, obj in pairs),
            sum(obj is not None and obj.shape == wanted.shape for wanted, obj in pairs),
        )

    if len(expected) == 1:
        best: Sequence[DetectedObject | None] = candidates[:1]
    else:
        best = max(
            permutations(candidates, len(expected)), key=lambda order: 2 * count_right(order)[0] + count_right(order)[1]
        )
    colors, shapes = count_right(best)
    is_placed = None
    if scene.relation:
        is_placed = relation_holds(scene.relation, best[0], best[1])
    return Comparison(
        background=background == scene.background,
        colors=colors,
        shapes=shapes,
        objects=len(expected),
        is_placed=is_placed,
    )


def relation_holds(relation: str, first: DetectedObject | None, second: DetectedObject | None) -> bool:
    """Whether the relation (left of, right of, above, below) holds, and holds more than one of the other axis."""
    if first is None or second is None:
        return False
    right, down = first.at[0] - second.at[0], first.at[1] - second.at[1]
    along, across = (right, down) if relation in ("left of", "right of") else (down, right)
    toward = -along if relation in ("left of", "above") else along
    return toward > MIN_DISTANCE and abs(along) > abs(across)
