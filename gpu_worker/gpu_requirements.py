"""`python -m gpu_worker.gpu_requirements MODEL_ID ...`: which cards can run a model, without downloading its weights.

Reads the sizes of the weight files in a folder, or from the Hugging Face Hub's list of a repository's files.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from guilds import hugging_face, model_inspection
from guilds.model_inspection import NotServed, Repository


def describe(source: str) -> str:
    """Return in an operator's words which cards can run the model. Raise NotServed."""
    found = model_inspection.inspect(_read(source))
    family = found.family
    cards = ", ".join(f"{name} {verdict}" for name, verdict in found.cards)
    return (
        f"{source}: needs {found.needed_gb:.1f} GB; {cards}\n"
        f"  family: {family.slug}; samplers: {', '.join(family.samplers)}; sizes: {family.size_multiple}\n"
        f"  licence: {found.licence or 'not named'}{'; gated' if found.is_gated else ''}"
    )


def _read(source: str) -> Repository:
    folder = Path(source)
    if not folder.is_dir():
        hub = os.environ.get("HF_ENDPOINT", hugging_face.PUBLIC_HUB)
        return hugging_face.read(source, hub=hub, token=os.environ.get("HF_TOKEN", ""))
    index = folder / "model_index.json"
    return Repository(
        source=source,
        pipeline=str(json.loads(index.read_text()).get("_class_name")) if index.is_file() else "",
        files={str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()},
    )


def main(sources: list[str]) -> int:
    for source in sources:
        try:
            sys.stdout.write(f"{describe(source)}\n")
        except NotServed as error:
            sys.stdout.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
