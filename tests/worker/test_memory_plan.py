"""What fits where is said before anything is downloaded, and no family runs in a format that it does not support."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guilds.memory_plan import CARDS, Card, ModelSize, choose_dtype, needed_gb, smallest_change, verdicts
from guilds.model_families import FAMILIES

BILLION = 1_000_000_000
Z_IMAGE = ModelSize(denoiser=6_150_000_000, encoders=4_000_000_000, other=84_000_000)
SD15 = ModelSize(denoiser=860_000_000, encoders=123_000_000, other=84_000_000)


@pytest.mark.parametrize(
    ("family", "capability", "dtype"),
    [
        ("stable-diffusion", None, "float32"),
        ("z-image", None, "float32"),
        ("stable-diffusion", (7, 5), "float16"),
        ("sd3", (7, 5), "float16"),
        ("flux", (7, 5), "float16"),
        ("pixart-sigma", (7, 5), "float16"),
        ("z-image", (7, 5), None),
        ("qwen-image", (7, 5), None),
        ("sana", (7, 5), None),
        ("whole-call", (7, 5), None),
        ("z-image", (8, 0), "bfloat16"),
        ("stable-diffusion", (8, 9), "bfloat16"),
        ("flux", (9, 0), "bfloat16"),
    ],
)
def test_the_number_format_follows_from_family_and_card(
    family: str, capability: tuple[int, int] | None, dtype: str | None
) -> None:
    assert choose_dtype(FAMILIES[family], capability) == dtype


def test_the_report_says_which_card_runs_the_model_and_how() -> None:
    z_image = verdicts(FAMILIES["z-image"], Z_IMAGE)
    assert z_image == (("g4dn", "no (needs bf16)"), ("g5", "yes"), ("g6", "yes"), ("g6e", "yes"))
    flux = ModelSize(denoiser=11_900_000_000, encoders=4_900_000_000, other=84_000_000)
    assert verdicts(FAMILIES["flux"], flux) == (
        ("g4dn", "no"), ("g5", "with int8 weights"), ("g6", "with int8 weights"), ("g6e", "yes")
    )  # fmt: skip
    assert {verdict for _, verdict in verdicts(FAMILIES["stable-diffusion"], SD15)} == {"yes"}
    assert (round(needed_gb(Z_IMAGE), 1), round(needed_gb(flux), 1)) == (23.0, 36.3)


def test_the_smallest_change_that_fits_is_chosen() -> None:
    size = ModelSize(denoiser=6 * BILLION, encoders=5 * BILLION, other=0)
    needs = [needed_gb(size), needed_gb(size, quantization="int8-encoders"), needed_gb(size, quantization="int8")]
    assert needs == sorted(needs, reverse=True)
    for memory, change in zip([*needs, needs[-1] - 0.1], ["", "int8-encoders", "int8", None], strict=True):
        card = Card(name="some", memory_gb=memory, capability=(8, 9))
        assert smallest_change(FAMILIES["z-image"], size, card) == change
    assert {card.name for card in CARDS} == {"g4dn", "g5", "g6", "g6e"}


def test_of_several_files_of_a_component_one_is_counted() -> None:
    from guilds.model_inspection import model_size

    files = {
        "unet/diffusion_pytorch_model.safetensors": 2000,
        "unet/diffusion_pytorch_model.fp16.safetensors": 1000,
        "unet/diffusion_pytorch_model.bin": 2000,
        "text_encoder/model-00001-of-00002.safetensors": 300,
        "text_encoder/model-00002-of-00002.safetensors": 100,
        "text_encoder_2/pytorch_model.bin": 50,
        "vae/diffusion_pytorch_model.safetensors": 20,
        "safety_checker/model.safetensors": 900,
        "v1-5-pruned.safetensors": 7000,
        "unet/config.json": 5,
    }
    assert model_size(files) == ModelSize(denoiser=1000, encoders=225, other=10)


def test_a_folder_is_reported_without_loading_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gpu_worker import gpu_requirements

    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(b"0" * 4000)
    assert gpu_requirements.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "needs 2.5 GB; g4dn yes" in out
    assert "family: flux; samplers: flow_euler" in out
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    assert gpu_requirements.main([str(tmp_path)]) == 1
    assert "is a WanPipeline, which workers do not serve" in capsys.readouterr().out


def test_a_card_without_the_familys_format_is_refused_before_loading(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    assert torch
    from gpu_worker import diffusers_engine
    from gpu_worker.engine import ModelUnavailable

    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "ZImagePipeline"}))
    with pytest.raises(ModelUnavailable, match="Z-Image needs bf16, which this GPU lacks"):
        diffusers_engine._pipeline(str(tmp_path), (7, 5))


@pytest.mark.parametrize("options", [{"int8-encoders"}, {"int8"}])
def test_int8_weights_make_nearly_the_same_images(tmp_path: Path, options: set[str]) -> None:
    torch = pytest.importorskip("torch")
    import numpy as np

    from benchmarks import families
    from gpu_worker import diffusers_engine
    from gpu_worker.int8_weights import Int8Linear

    torch.set_num_threads(1)
    family = families.load("z-image")
    # Layers wide enough to be rounded.
    wide = torch.nn.Linear(96, 64)
    states = torch.randn(3, 96)
    rounded = Int8Linear(wide)
    assert rounded.weight.dtype == torch.int8
    with torch.inference_mode():
        assert float((rounded(states) - wide(states)).abs().max()) < 0.02
    request = families.requests(family)[0]
    exact, _, _ = families.together(family, [request], arrivals=[0])
    module: Any = __import__("gpu_worker.int8_weights", fromlist=["SMALLEST_WEIGHT"])
    kept, module.SMALLEST_WEIGHT = module.SMALLEST_WEIGHT, 64
    try:
        diffusers_engine._quantize(family.pipe, options)
    finally:
        module.SMALLEST_WEIGHT = kept
    count = sum(isinstance(part, Int8Linear) for part in family.denoiser.modules())
    assert (count > 0) == (options == {"int8"})
    assert any(isinstance(part, Int8Linear) for part in family.pipe.text_encoder.modules())
    near, _, _ = families.together(family, [request], arrivals=[0])
    other, _, _ = families.together(family, [families.requests(family)[3]], arrivals=[0])
    apart = np.abs(np.asarray(exact[0][0], dtype=int) - np.asarray(near[0][0], dtype=int)).mean()
    unrelated = np.abs(np.asarray(exact[0][0], dtype=int) - np.asarray(other[3][0], dtype=int)).mean()
    assert 0 < apart < unrelated / 3
