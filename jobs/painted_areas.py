"""Which part of its source image a request paints, as Job.painted_area says it.

- "": all of the image.
- A view of VIEWS: the picture is moved or made smaller, and what becomes empty is painted (outpainting).
- The storage key of a mask: what a member marked on the site (inpainting).
"""

from __future__ import annotations

VIEWS = ("zoom_out", "zoom_out_far", "pan_left", "pan_right", "pan_up", "pan_down")
_MASKS = "uploads/"


def is_mask(painted_area: str) -> bool:
    """Return whether this is the storage key of a mask."""
    return painted_area.startswith(_MASKS)
