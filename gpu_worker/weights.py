"""`python gpu_worker/weights.py FOLDER MODEL_ID ...`: downloads models while a container image is built.

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
    try:
        pipe = diffusers.DiffusionPipeline.from_pretrained(
            source, variant="fp16", dtype=torch.float16, use_safetensors=True, **options
        )
    except (OSError, ValueError):
        # This model has no half-precision variant.
        pipe = diffusers.DiffusionPipeline.from_pretrained(source, dtype=torch.float16, **options)
    path = folder / source.strip("/")
    pipe.save_pretrained(path, safe_serialization=True)
    return path


if __name__ == "__main__":
    for model in sys.argv[2:]:
        export_weights(model, Path(sys.argv[1]))
