"""Write the pipeline folder from the training's checkpoints: `python -m demo_model.export`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from . import architecture


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--work", type=Path, default=Path(".local/demo_model"))
    ask.add_argument("--to", type=Path, default=architecture.PIPELINE)
    asked = ask.parse_args()
    parts = architecture.components()
    drawing = torch.load(asked.work / "train.pt", weights_only=True)
    for name, weights in drawing["averaged"].items():
        parts[name].load_state_dict(weights)
    enlarging = torch.load(asked.work / "decoder.pt", weights_only=True)
    parts["vae"].load_state_dict(enlarging["vae"])
    architecture.save(parts, asked.to)
    size = sum(path.stat().st_size for path in asked.to.rglob("*.safetensors"))
    print(f"{asked.to}: {size / 1e6:.1f} MB, drawing step {drawing['step']}, decoder step {enlarging['step']}")


if __name__ == "__main__":
    main()
