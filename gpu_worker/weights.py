"""`python gpu_worker/weights.py FOLDER MODEL_ID ...`: while an image is built, fetch models, write what workers load.

In half precision and as safetensors, under FOLDER/MODEL_ID: neither the single-file checkpoints that stand beside many
pipelines, nor a checker that the worker does not use, nor full precision. It needs nothing else of the project.
"""

from __future__ import annotations

import sys
from pathlib import Path

import diffusers
import torch


def export_weights(source: str, folder: Path) -> Path:
    """Write the pipeline `source` (a Hugging Face id, or a folder) to `folder`/`source`, and return where."""
    config = diffusers.DiffusionPipeline.load_config(source)
    options = {"safety_checker": None, "requires_safety_checker": False} if "safety_checker" in config else {}
    try:
        pipe = diffusers.DiffusionPipeline.from_pretrained(
            source, variant="fp16", dtype=torch.float16, use_safetensors=True, **options
        )
    except (OSError, ValueError):
        # Its makers publish no half precision of their own.
        pipe = diffusers.DiffusionPipeline.from_pretrained(source, dtype=torch.float16, **options)
    place = folder / source.strip("/")
    pipe.save_pretrained(place, safe_serialization=True)
    return place


if __name__ == "__main__":
    for model in sys.argv[2:]:
        export_weights(model, Path(sys.argv[1]))
