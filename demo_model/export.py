"""Write the pipeline folder from the training's checkpoints: `python -m demo_model.export`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from . import architecture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".local/demo_model"))
    parser.add_argument("--to", type=Path, default=architecture.PIPELINE)
    options = parser.parse_args()
    parts = architecture.make_components()
    unet_state = torch.load(options.work / "train.pt", weights_only=True)
    for name, weights in unet_state["averaged"].items():
        parts[name].load_state_dict(weights)
    decoder_state = torch.load(options.work / "decoder.pt", weights_only=True)
    parts["vae"].load_state_dict(decoder_state["vae"])
    architecture.save(parts, options.to)
    size = sum(path.stat().st_size for path in options.to.rglob("*.safetensors"))
    print(f"{options.to}: {size / 1e6:.1f} MB, drawing step {unet_state['step']}, decoder step {decoder_state['step']}")


if __name__ == "__main__":
    main()
