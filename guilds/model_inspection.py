"""What a repository of a model holds: its family, size and licence, or why workers cannot serve it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import memory_plan
from .model_families import ModelFamily, family_of_pipeline

_DENOISERS = ("unet", "transformer")  # as diffusers' pipelines name these components
_WEIGHTS = (".safetensors", ".bin")
_BYTES_PER_NUMBER = 2  # as most weights are published


class NotServed(Exception):
    """Workers cannot serve the model. Its text is one sentence for an operator that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A folder or a repository on Hugging Face. `files`: sizes in bytes by path. `pipeline`: diffusers' class, or "".

    `licence` is "" where it names none.
    """

    source: str
    pipeline: str
    files: Mapping[str, int]
    licence: str = ""
    is_gated: bool = False
    is_lora: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A model that workers can serve. `cards`: the name of each GPU instance, and whether it can run the model."""

    source: str
    family: ModelFamily
    needed_gb: float
    cards: tuple[tuple[str, str], ...]
    licence: str
    is_gated: bool


def inspect(repository: Repository) -> Inspection:
    """Return what a repository holds. Raise NotServed."""
    source, files = repository.source, repository.files
    if not repository.pipeline:
        if repository.is_lora or any("lora" in path.lower() and path.endswith(_WEIGHTS) for path in files):
            raise NotServed(f"{source} is a LoRA, not a model. Add it under LoRAs.")
        raise NotServed(
            f"{source} holds no diffusers pipeline: there is no model_index.json in it. Choose the repository of the "
            "model in diffusers' format."
        )
    family = family_of_pipeline(repository.pipeline)
    if family is None:
        raise NotServed(
            f"{source} is a {repository.pipeline}, which workers do not serve. The page “Add a model” lists the "
            "families that they serve."
        )
    weights = [path for path in files if path.endswith(_WEIGHTS) and "/" in path]
    if not weights:
        raise NotServed(f"{source} has no weights in the folders of its pipeline. Choose another repository.")
    if not any(path.endswith(".safetensors") for path in weights):
        raise NotServed(
            f"{source} has only .bin files, which can run code when they are loaded. Choose a repository with "
            ".safetensors files."
        )
    size = model_size(files)
    return Inspection(
        source=source,
        family=family,
        needed_gb=memory_plan.needed_gb(size),
        cards=memory_plan.verdicts(family, size),
        licence=repository.licence,
        is_gated=repository.is_gated,
    )


def model_size(files: Mapping[str, int]) -> memory_plan.ModelSize:
    """Return the numbers of parameters by the sizes in bytes of a repository's files, by path.

    Of several formats and variants of a component the worker loads one, which is counted: safetensors before .bin,
    full names before variants such as `.fp16.`.
    """
    parts: dict[str, dict[tuple[int, int], int]] = {}
    for path, size in files.items():
        component, _, name = path.partition("/")
        if not name.endswith(_WEIGHTS) or "/" in name or component in ("safety_checker", "image_encoder"):
            continue
        stem = name.removesuffix(".safetensors").removesuffix(".bin")
        rank = (_WEIGHTS.index(name[name.rindex(".") :]), stem.count("."))
        parts.setdefault(component, {})
        parts[component][rank] = parts[component].get(rank, 0) + size
    numbers = {component: found[min(found)] // _BYTES_PER_NUMBER for component, found in parts.items()}
    denoiser = sum(number for component, number in numbers.items() if component in _DENOISERS)
    encoders = sum(number for component, number in numbers.items() if component.startswith("text_encoder"))
    return memory_plan.ModelSize(
        denoiser=denoiser, encoders=encoders, other=sum(numbers.values()) - denoiser - encoders
    )
