"""The families of models, and what each can do. The forms, autocomplete and the worker use this list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from .samplers import SAMPLERS, Predicts


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFamily:
    """`pipelines`: the names of diffusers' classes. `predicts` decides which samplers work. `size_multiple` in pixels.

    `guidance`: what the guidance scale does: classifier-free guidance, which doubles the work; an input of the model;
    or nothing. `has_negative_prompt`, `has_image_to_image`: whether the model reads one. `supports_fp16`: whether its
    numbers stay finite in half precision, which is what cards older than compute capability 8.0 have.
    """

    slug: str
    label: str
    pipelines: tuple[str, ...]
    predicts: Predicts
    size_multiple: int
    guidance: Literal["cfg", "embedded", "none"] = "cfg"
    has_negative_prompt: bool = True
    has_image_to_image: bool = True
    supports_fp16: bool = False

    @property
    def samplers(self) -> tuple[str, ...]:
        """The names of the samplers that members can choose, the family's own first."""
        return tuple(name for name, sampler in SAMPLERS.items() if sampler.predicts == self.predicts)


# An allow-list: that a pipeline takes a prompt says nothing about what it returns (gpu_worker.whole_call_pipelines).
_WHOLE_CALL = (
    "AuraFlowPipeline", "BriaPipeline", "CogView3PlusPipeline", "CogView4Pipeline", "ErnieImagePipeline",
    "Flux2Pipeline", "FluxKontextPipeline", "GlmImagePipeline", "HiDreamImagePipeline", "HunyuanDiTPipeline",
    "Kandinsky3Pipeline", "Krea2Pipeline", "LongCatImagePipeline", "LuminaPipeline", "NucleusMoEImagePipeline",
    "OmniGenPipeline", "OvisImagePipeline", "PixArtAlphaPipeline", "PRXPipeline", "QwenImage21Pipeline",
    "SanaSprintPipeline",
)  # fmt: skip
_FLOW: dict[str, Any] = {"predicts": "flow", "size_multiple": 16}

FAMILIES: Mapping[str, ModelFamily] = MappingProxyType(
    {
        family.slug: family
        for family in (
            ModelFamily(
                slug="stable-diffusion",
                pipelines=("StableDiffusionPipeline", "StableDiffusionXLPipeline", "LatentConsistencyModelPipeline"),
                label="Stable Diffusion 1, 2, XL, LCM",
                predicts="epsilon",
                size_multiple=8,
                supports_fp16=True,
            ),
            ModelFamily(
                slug="sd3",
                pipelines=("StableDiffusion3Pipeline",),
                label="Stable Diffusion 3, 3.5",
                supports_fp16=True,
                **_FLOW,
            ),
            ModelFamily(
                slug="flux",
                pipelines=("FluxPipeline",),
                label="FLUX.1",
                guidance="embedded",
                has_negative_prompt=False,
                supports_fp16=True,
                **_FLOW,
            ),
            ModelFamily(
                slug="flux2-klein",
                pipelines=("Flux2KleinPipeline",),
                label="FLUX.2 klein",
                has_negative_prompt=False,
                has_image_to_image=False,
                **_FLOW,
            ),
            ModelFamily(slug="z-image", pipelines=("ZImagePipeline",), label="Z-Image", **_FLOW),
            ModelFamily(slug="qwen-image", pipelines=("QwenImagePipeline",), label="Qwen-Image", **_FLOW),
            ModelFamily(
                slug="sana",
                pipelines=("SanaPipeline",),
                label="Sana",
                predicts="flow",
                size_multiple=32,
                has_image_to_image=False,
            ),
            ModelFamily(
                slug="pixart-sigma",
                pipelines=("PixArtSigmaPipeline",),
                label="PixArt-Sigma",
                predicts="epsilon",
                size_multiple=16,
                has_image_to_image=False,
                supports_fp16=True,
            ),
            ModelFamily(slug="chroma", pipelines=("ChromaPipeline",), label="Chroma", **_FLOW),
            ModelFamily(
                slug="lumina2",
                pipelines=("Lumina2Pipeline",),
                label="Lumina-Image 2.0",
                has_image_to_image=False,
                **_FLOW,
            ),
            # One call of the whole pipeline, with the scheduler that the model came with.
            ModelFamily(
                slug="whole-call",
                pipelines=_WHOLE_CALL,
                label="Another text-to-image pipeline (whole calls)",
                predicts="own",
                size_multiple=16,
                has_image_to_image=False,
            ),
        )
    }
)
DEFAULT_FAMILY = "stable-diffusion"


def family_of_pipeline(name: str) -> ModelFamily | None:
    """Return the family that the diffusers class of this name belongs to, None for one that workers do not serve."""
    return next((family for family in FAMILIES.values() if name in family.pipelines), None)
