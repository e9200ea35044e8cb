"""The build of a container image writes what a worker loads, without network access and without unused files."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from gpu_worker.engine import Completed, GenerationRequest

from . import tiny_models

torch = pytest.importorskip("torch")


def _published(folder: Path) -> Path:
    """Return a model repository that names a safety checker without its files, and has a single-file checkpoint."""
    shutil.copytree(tiny_models.folder(), folder)
    index = folder / "model_index.json"
    known = json.loads(index.read_text())
    known |= {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "requires_safety_checker": True,
    }
    index.write_text(json.dumps(known))
    (folder / "v1-pruned.safetensors").write_bytes(b"0" * 10_000_000)
    return folder


def _image(engine: Any) -> bytes:
    engine.admit(
        GenerationRequest(
            id=1,
            prompt="a cat",
            seed=1,
            count=1,
            steps=3,
            sampler="DDIM",
            guidance=3.0,
            width=tiny_models.SIZE,
            height=tiny_models.SIZE,
        )
    )
    made: list[Completed] = []
    while engine.used_capacity:
        engine.advance(lambda event: made.append(event) if isinstance(event, Completed) else None)
    return made[0].images[0].tobytes()


def test_exported_weights_are_found_by_the_models_id_and_are_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpu_worker import diffusers_engine, download_weights

    monkeypatch.chdir(tmp_path)
    _published(tmp_path / "maker" / "model")
    place = download_weights.export_weights("maker/model", tmp_path / "weights")
    files = {file.relative_to(place).as_posix(): file.stat().st_size for file in place.rglob("*") if file.is_file()}
    assert {name for name in files if name.endswith((".bin", ".ckpt", ".pt"))} == set()
    assert sum(files.values()) < 3_000_000
    full = (tiny_models.folder() / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size
    assert files["unet/diffusion_pytorch_model.safetensors"] < 0.6 * full

    monkeypatch.setenv("SPARKLE_WEIGHTS_DIR", str(tmp_path / "weights"))
    shutil.rmtree(tmp_path / "maker")
    engine: Any = diffusers_engine.load("maker/model")
    assert engine.model == "maker/model"
    original = diffusers_engine.load(str(tiny_models.folder()))
    near = zip(_image(engine), _image(original), strict=True)
    assert max(abs(left - right) for left, right in near) < 16


def test_a_pipeline_whose_safety_checker_is_missing_loads_without_it(tmp_path: Path) -> None:
    from gpu_worker import diffusers_engine

    assert _image(diffusers_engine.load(str(_published(tmp_path / "model"))))


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path) -> None:
    from gpu_worker import diffusers_engine
    from gpu_worker.engine import ModelUnavailable

    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (ran,)

    folder = tmp_path / "pipeline"
    shutil.copytree(tiny_models.folder(), folder)
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"weight": Evil()}))
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        diffusers_engine.load(str(folder))
    assert not ran.exists()


def test_the_layers_of_t5_that_overflow_in_fp16_stay_in_fp32(tmp_path: Path) -> None:
    from transformers import T5EncoderModel

    from benchmarks import tiny_families

    tiny_families.PIPELINES["pixart-sigma"]().text_encoder.save_pretrained(tmp_path / "text_encoder")
    encoder = T5EncoderModel.from_pretrained(tmp_path / "text_encoder", dtype=torch.float16)
    layers = {name: weight.dtype for name, weight in encoder.named_parameters()}
    assert {dtype for name, dtype in layers.items() if ".wo." in name} == {torch.float32}
    assert torch.float16 in layers.values()
