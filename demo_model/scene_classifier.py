"""Say from the pixels alone what a picture shows: the background, and of each thing colour, shape and place."""

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

SIDE = 256  # pictures are looked at in this size
TEMPLATE = 48  # shapes are compared in this size
SMALLEST = 0.006  # of the picture: what is smaller is no thing
APART = 0.1  # of the picture: nearer together, one is not left of or above the other

NAMES = tuple(scenes.COLORS)
_PALETTE = np.array([scenes.COLORS[name] for name in NAMES], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A thing found: its centre in parts of the picture, its area likewise."""

    color: str
    shape: str
    at: tuple[float, float]
    area: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a picture answers its caption: rights out of asked. `places` is None where no relation was asked."""

    background: bool
    colors: int
    shapes: int
    objects: int
    placed: bool | None


def look(picture: Image.Image) -> tuple[str, list[Seen]]:
    """The background's colour and the objects on it, the largest first."""
    pixels = np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    classes = ((pixels[:, :, None, :] - _PALETTE) ** 2).sum(-1).argmin(-1)
    rim = SIDE // 32
    border = np.concatenate(
        [classes[:rim].ravel(), classes[-rim:].ravel(), classes[:, :rim].ravel(), classes[:, -rim:].ravel()]
    )
    background = int(np.bincount(border, minlength=len(NAMES)).argmax())
    found = []
    for number, name in enumerate(NAMES):
        if number == background:
            continue
        # Where two colours meet, the blend looks like a third: such a seam is thin, and opening takes it away.
        mask = ndimage.binary_opening(classes == number, iterations=2)
        labels, count = ndimage.label(mask)
        for label in range(1, count + 1):
            part = labels == label
            area = float(part.mean())
            if area < SMALLEST:
                continue
            y, x = ndimage.center_of_mass(part)
            found.append(Seen(color=name, shape=shape_of(part), at=(float(x) / SIDE, float(y) / SIDE), area=area))
    return NAMES[background], sorted(found, key=lambda seen: -seen.area)


def shape_of(mask: np.ndarray) -> str:
    """The shape whose template covers the mask best (intersection over union in the same bounding box)."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    cut = Image.fromarray(mask[top:bottom, left:right].astype(np.uint8) * 255)
    whole = np.asarray(cut.resize((TEMPLATE, TEMPLATE), Image.Resampling.BILINEAR)) > 127
    # A bounding box says nothing of the proportions; a diamond is taller than wide.
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


def judge(picture: Image.Image, scene: scenes.Scene) -> Verdict:
    """Hold a picture against the scene that its caption told: the likeliest of its objects for each that was asked."""
    background, found = look(picture)
    asked = scene.objects
    shown: Sequence[Seen | None] = [*found[: len(asked) + 1], *([None] * len(asked))]

    def rights(order: Sequence[Seen | None]) -> tuple[int, int]:
        pairs = list(zip(asked, order, strict=True))
        return (
            sum(seen is not None and seen.color == thing.color for thing, seen in pairs),
            sum(seen is not None and seen.shape == thing.shape for thing, seen in pairs),
        )

    if len(asked) == 1:
        best: Sequence[Seen | None] = shown[:1]
    else:
        best = max(permutations(shown, len(asked)), key=lambda order: 2 * rights(order)[0] + rights(order)[1])
    colors, shapes = rights(best)
    placed = None
    if scene.relation:
        placed = holds(scene.relation, best[0], best[1])
    return Verdict(
        background=background == scene.background, colors=colors, shapes=shapes, objects=len(asked), placed=placed
    )


def holds(relation: str, first: Seen | None, second: Seen | None) -> bool:
    """Whether the first is left of, right of, above or below the second, more so than the other way."""
    if first is None or second is None:
        return False
    right, down = first.at[0] - second.at[0], first.at[1] - second.at[1]
    along, across = (right, down) if relation in ("left of", "right of") else (down, right)
    toward = -along if relation in ("left of", "above") else along
    return toward > APART and abs(along) > abs(across)
