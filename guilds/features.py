"""Commands, options and buttons that a server's moderators can switch off. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from .generation_params import RequestedParams

# In the order of forms. Their names are the texts `feature.CODE` of discord_api.locales.
FEATURES = (
    "defaults", "history", "remix", "who", "image", "private", "again", "edit", "vary", "upscale", "redraw", "area",
)  # fmt: skip
# By the name of a command, and by the action of a button, select or modal.
OF_COMMAND: Mapping[str, str] = MappingProxyType(
    {
        "sparkle-defaults": "defaults",
        "sparkle-history": "history",
        "sparkle-show": "history",
        "Remix with Sparkle": "remix",
        "Who made this?": "who",
    }
)
OF_ACTION: Mapping[str, str] = MappingProxyType(
    {
        "reroll": "again",
        "repeat": "again",
        "edit": "edit",
        "remix": "remix",
        "vary": "vary",
        "upscale": "upscale",
        "redraw": "redraw",
        # On messages from before the menu.
        "enlarge": "redraw",
        "area": "area",
        "older": "history",
        "newer": "history",
        "show": "history",
    }
)


def switched_off(params: RequestedParams, off: Collection[str], *, always_private: bool = False) -> str | None:
    """Return the first feature that a request needs and that is in `off`, or None.

    `always_private`: the server shows every result to the requester only, so that asking for it changes nothing.
    """
    needed = []
    if params.preset:
        needed.append("defaults")
    if params.kind == "upscale":
        needed.append("upscale" if params.strength == 0 else "redraw")
    elif params.kind != "txt2img":
        needed.append("area" if params.painted_area else "vary" if params.kind == "variation" else "image")
    if params.is_private and not always_private:
        needed.append("private")
    return next((feature for feature in needed if feature in off), None)
