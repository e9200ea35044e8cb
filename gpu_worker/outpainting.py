"""The picture beyond its edges: a source image moved or made smaller in a frame of its size, and what is to be painted.

The frame keeps its size, so a picture can be continued again and again within the sizes that a server allows.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

# By how much the source becomes smaller.
_ZOOMS = {"zoom_out": 1.5, "zoom_out_far": 2.0}
# How far the frame moves, as a part of its width and height.
_PANS = {"pan_left": (-0.5, 0.0), "pan_right": (0.5, 0.0), "pan_up": (0.0, -0.5), "pan_down": (0.0, 0.5)}


def extend(source: Image.Image, view: str) -> tuple[Image.Image, Image.Image]:
    """Return the RGB source in its new place, with its mirror image around it, and the mask: white where it is empty.

    Both have the source's size. Raise KeyError for a view that is not one of jobs.painted_areas.VIEWS.
    """
    width, height = source.size
    if view in _ZOOMS:
        inner = (round(width / _ZOOMS[view]), round(height / _ZOOMS[view]))
        kept = source.resize(inner, Image.Resampling.LANCZOS)
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    else:
        across, down = _PANS[view]
        shift_x, shift_y = int(across * width), int(down * height)
        kept = source.crop((max(0, shift_x), max(0, shift_y), width + min(0, shift_x), height + min(0, shift_y)))
        left, top = max(0, -shift_x), max(0, -shift_y)
    around = ((top, height - top - kept.height), (left, width - left - kept.width), (0, 0))
    # Encoders look beyond a pixel: a mirror image has no edge where the source ends.
    framed = Image.fromarray(np.pad(np.asarray(kept.convert("RGB")), around, mode="symmetric"))
    mask = Image.new("L", source.size, 255)
    mask.paste(0, (left, top, left + kept.width, top + kept.height))
    return framed, mask
