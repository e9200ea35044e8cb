"""The families that advance by the step."""

from __future__ import annotations

from typing import Any

from .chroma import Chroma
from .family import Family
from .flux import Flux
from .flux2_klein import Flux2Klein
from .lumina2 import Lumina2
from .pixart_sigma import PixArtSigma
from .qwen_image import QwenImage
from .sana import Sana
from .sd3 import StableDiffusion3
from .stable_diffusion import StableDiffusion
from .z_image import ZImage

FAMILY_CLASSES: tuple[type[Family], ...] = (
    StableDiffusion,
    StableDiffusion3,
    Flux,
    Flux2Klein,
    ZImage,
    QwenImage,
    Sana,
    PixArtSigma,
    Chroma,
    Lumina2,
)

BY_STEP_PIPELINES = frozenset(name for kind in FAMILY_CLASSES for name in kind.pipelines)


def family_for(pipe: Any, *, step_cache: str = "") -> Family | None:
    """Return the pipeline's family, or None: its requests cannot share steps. `step_cache` is a ModelProfile's."""
    for kind in FAMILY_CLASSES:
        if kind.serves(pipe):
            if kind is StableDiffusion:
                return StableDiffusion(pipe, use_deepcache=step_cache == "deepcache")
            return kind(pipe)
    return None
