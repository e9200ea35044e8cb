"""A member's presets and defaults under a request: own options win, then the preset, then the defaults. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetOptions:
    """The options of a preset; the member's defaults have no name. "" and None set nothing."""

    name: str = ""
    model: str = ""
    style: str = ""
    size: str = ""
    steps: int | None = None
    count: int | None = None
    is_private: bool | None = None
    loras: str = ""


def normalize_name(typed: str) -> str:
    """Return the form in which names of presets are compared and kept."""
    return " ".join(typed.split()).casefold()


def ordered(presets: Sequence[PresetOptions]) -> list[PresetOptions]:
    """Return the named preset, if there is one, before the defaults."""
    return sorted(presets, key=lambda preset: not preset.name)
