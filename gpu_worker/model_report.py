"""`python -m gpu_worker.model_report MODEL_ID ...`: which cards can run a model, without downloading its weights.

Reads the sizes of the weight files in a folder, or from the Hugging Face Hub's list of a repository's files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from guilds.model_families import FAMILIES, ModelFamily

from . import memory_plan
from .engine import ModelUnavailable

# By component, as diffusers' pipelines name them.
_DENOISERS = ("unet", "transformer")
_WEIGHTS = (".safetensors", ".bin")
_BYTES_PER_NUMBER = 2  # as most weights are published


def describe(source: str) -> str:
    """Return in an operator's words which cards can run the model. Raise ModelUnavailable."""
    # Here, because they import diffusers.
    from .families.registry import FAMILY_CLASSES
    from .whole_call_pipelines import WHOLE_CALL_PIPELINES

    kind, files = _files_of(source)
    slugs = {name: family.info.slug for family in FAMILY_CLASSES for name in family.pipelines}
    slugs |= dict.fromkeys(WHOLE_CALL_PIPELINES, "whole-call")
    if kind not in slugs:
        raise ModelUnavailable(f"{source} is a {kind}, which this worker does not serve.")
    family: ModelFamily = FAMILIES[slugs[kind]]
    report = memory_plan.describe(source, family, model_size(files))
    return f"{report}\n  family: {family.slug}; samplers: {', '.join(family.samplers)}; sizes: {family.size_multiple}"


def model_size(files: Mapping[str, int]) -> memory_plan.ModelSize:
    """Return the numbers of parameters by the sizes in bytes of a repository's files, by path. Pure.

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


def _files_of(source: str) -> tuple[str, dict[str, int]]:
    """Return the pipeline's class, and the sizes of its files by path."""
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise ModelUnavailable(f"{source} holds no pipeline: there is no model_index.json in it.")
        index = json.loads((folder / "model_index.json").read_text())
        files = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        return str(index.get("_class_name")), files
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        index = json.loads(Path(hf_hub_download(source, "model_index.json")).read_text())
        siblings = HfApi().model_info(source, files_metadata=True).siblings or []
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelUnavailable(f"{source} cannot be read: {str(error).splitlines()[0][:300]}") from error
    return str(index.get("_class_name")), {file.rfilename: file.size or 0 for file in siblings}


def main(sources: list[str]) -> int:
    for source in sources:
        try:
            sys.stdout.write(f"{describe(source)}\n")
        except ModelUnavailable as error:
            sys.stdout.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
