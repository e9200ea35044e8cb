"""Draws scenes as images of any size."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from .scene_views import Canvas, draw_view, mix_colors
from .scenes import COLORS, Color, Point, Scene


def draw_scene(scene: Scene, size: int, *, oversample: int = 4) -> Image.Image:
    """Draw the scene as a square RGB image of `size` pixels with smooth edges."""
    side = size * oversample
    image = Image.new("RGB", (side, side), COLORS[scene.background])
    pen = ImageDraw.Draw(image)
    if scene.kind == "pattern":
        image = _draw_pattern(scene, side)
    elif scene.kind == "view":
        draw_view(scene, Canvas(pen=pen, side=side))
    else:
        for obj in scene.objects:
            draw_shape(pen, obj.shape, obj.at, obj.radius, COLORS[obj.color], COLORS[scene.background], side)
    return image.resize((size, size), Image.Resampling.BOX)


def shape_outline(name: str) -> list[Point] | None:
    """Return the polygon of a shape in a unit circle, or None for the round shapes."""
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


def draw_shape(  # noqa: PLR0917  # As Pillow's own are called.
    pen: ImageDraw.ImageDraw, name: str, at: Point, radius: float, color: Color, background: Color, side: int
) -> None:
    """Draw one shape; `at` and `radius` in parts of the image."""
    x, y, r = at[0] * side, at[1] * side, radius * side
    points = shape_outline(name)
    if points is not None:
        pen.polygon([(x + px * r, y + py * r) for px, py in points], fill=color)
        return
    pen.ellipse((x - r, y - r, x + r, y + r), fill=color)
    if name == "ring":
        inner = r * 0.52
        pen.ellipse((x - inner, y - inner, x + inner, y + inner), fill=background)


def _draw_pattern(scene: Scene, side: int) -> Image.Image:
    first, second = (COLORS[name] for name in scene.colors)
    image = Image.new("RGB", (side, side), first)
    pen = ImageDraw.Draw(image)
    cells = int(scene.jitter[0]) * 2
    cell = side / cells
    if scene.pattern == "gradient":
        for line in range(side):
            paint = mix_colors(first, second, line / (side - 1))
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
