"""`python gpu_worker/download_weights.py FOLDER MODEL_ID ...`: downloads models while a container image is built.

Writes what workers load, in half precision and as safetensors, to FOLDER/MODEL_ID. Leaves out single-file checkpoints,
the safety checker and full precision. Imports nothing else of the project.
"""

from __future__ import annotations

import sys
from pathlib import Path

import diffusers
import torch


def export_weights(source: str, folder: Path) -> Path:
    """Write the pipeline `source` (a Hugging Face id or a folder) to `folder`/`source`, and return that path."""
    config = diffusers.DiffusionPipeline.load_config(source)
    options = {"safety_checker": None, "requires_safety_checker": False} if "safety_checker" in config else {}
    kind = str(config.get("_class_name"))
    # The others are published in bf16, and some of their numbers are beyond fp16's.
    dtype = torch.float16 if kind.startswith(("StableDiffusion", "LatentConsistency")) else torch.bfloat16
    try:
        variant = "fp16" if dtype == torch.float16 else None
        pipe = diffusers.DiffusionPipeline.from_pretrained(
            source, variant=variant, dtype=dtype, use_safetensors=True, **options
        )
    except (OSError, ValueError):
        # This model has no half-precision variant, or no safetensors.
        pipe = diffusers.DiffusionPipeline.from_pretrained(source, dtype=dtype, **options)
    path = folder / source.strip("/")
    pipe.save_pretrained(path, safe_serialization=True)
    return path


if __name__ == "__main__":
    for model in sys.argv[2:]:
        export_weights(model, Path(sys.argv[1]))
