"""The families that advance by the step."""

from __future__ import annotations

from typing import Any

from guilds.model_families import FAMILIES, ModelFamily, family_of_pipeline

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

BY_STEP_PIPELINES = frozenset(name for kind in FAMILY_CLASSES for name in kind.info.pipelines)


def info_of(pipeline: str) -> ModelFamily:
    """Return what is known of the family by the name of the pipeline's class."""
    return family_of_pipeline(pipeline) or FAMILIES["whole-call"]


def family_for(pipe: Any, *, use_deepcache: bool = False) -> Family | None:
    """Return the pipeline's family, or None: its requests cannot share steps."""
    for kind in FAMILY_CLASSES:
        if kind.serves(pipe):
            if kind is StableDiffusion:
                return StableDiffusion(pipe, use_deepcache=use_deepcache)
            return kind(pipe)
    return None
