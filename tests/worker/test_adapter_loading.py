"""Adapters' files: the formats that people share, and files that must be refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file, save_file

from gpu_worker.adapters.loading import load
from gpu_worker.adapters.low_rank import AdapterUnusable, LoadedAdapter
from guilds.adapter_files import MAX_RANK, InvalidAdapter, read_header

from . import adapter_files, tiny_models

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q"


@pytest.fixture(scope="module")
def pipe() -> Any:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(tiny_models.folder())


@pytest.fixture
def rewritten(pipe: Any, tmp_path: Path) -> Callable[[Callable[[str], str]], Path]:
    """Write an adapter whose tensors have other names."""

    def write(rename: Callable[[str], str], metadata: dict[str, str] | None = None) -> Path:
        path = adapter_files.save_diffusers(tmp_path / "plain.safetensors", pipe.unet, seed=1, rank=4)
        other = tmp_path / "other.safetensors"
        save_file({rename(name): tensor for name, tensor in load_file(path).items()}, other, metadata)
        return other

    return write


def _same(one: LoadedAdapter, other: LoadedAdapter) -> bool:
    ours, theirs = one.pairs["unet"], other.pairs["unet"]
    return ours.keys() == theirs.keys() and all(
        torch.equal(pair.down, theirs[name].down)
        and torch.equal(pair.up, theirs[name].up)
        and pair.scale == theirs[name].scale
        for name, pair in ours.items()
    )


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("lora_A", "lora.down").replace("lora_B", "lora.up"),
        lambda name: name.replace("lora_A", "lora_A.default").replace("lora_B", "lora_B.default"),
        lambda name: name.replace("unet.", "base_model.model."),
        lambda name: name.removeprefix("unet."),
        lambda name: (
            name.replace("attn1.", "attn1.processor.")
            .replace("attn2.", "attn2.processor.")
            .replace("to_out.0", "to_out")
            .replace(".lora_A.", "_lora.down.")
            .replace(".lora_B.", "_lora.up.")
        ),
    ],
    ids=["diffusers", "peft", "peft's own", "without a prefix", "diffusers before 0.17"],
)
def test_every_spelling_names_the_same_layers(
    pipe: Any, rewritten: Callable[[Callable[[str], str]], Path], rename: Callable[[str], str]
) -> None:
    path = rewritten(rename)
    assert _same(load(path, pipe, key="other"), load(path.with_name("plain.safetensors"), pipe, key="plain"))


def test_kohyas_file_has_its_alpha_and_its_text_encoder(pipe: Any, tmp_path: Path) -> None:
    unet = adapter_files.save_kohya(tmp_path / "u.safetensors", pipe.unet, seed=2, rank=8, alpha=2.0)
    text = adapter_files.save_kohya(
        tmp_path / "t.safetensors", pipe.text_encoder, seed=3, rank=4, alpha=4.0, prefix="lora_te_text_model",
        targets=("q_proj", "fc1"),
    )  # fmt: skip
    both = tmp_path / "both.safetensors"
    save_file(load_file(unet) | load_file(text), both)
    loaded = load(both, pipe, key="both")
    assert {pair.scale for pair in loaded.pairs["unet"].values()} == {0.25}
    assert loaded.pairs["text_encoder"].keys() == {
        f"encoder.layers.{number}.{layer}" for number in (0, 1) for layer in ("self_attn.q_proj", "mlp.fc1")
    }


def test_the_scale_of_pefts_configuration_counts(pipe: Any, rewritten: Callable[..., Path]) -> None:
    config = {"unet.r": 4, "unet.lora_alpha": 8, "unet.alpha_pattern": {QUERY: 2}, "unet.use_rslora": False}
    path = rewritten(lambda name: name, {"lora_adapter_metadata": json.dumps(config)})
    pairs = load(path, pipe, key="scaled").pairs["unet"]
    assert pairs[QUERY].scale == 0.5
    assert pairs["conv_in"].scale == 2.0


def _refusal(path: Path, pipe: Any) -> str:
    with pytest.raises(AdapterUnusable) as caught:
        load(path, pipe, key="bad")
    return str(caught.value)


def test_an_adapter_of_another_family_is_refused(pipe: Any, tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    config = dict(UNet2DConditionModel.load_config(tiny_models.folder() / "unet"))
    wider = UNet2DConditionModel.from_config(config | {"cross_attention_dim": 48})
    path = adapter_files.save_diffusers(tmp_path / "wider.safetensors", wider, seed=1, rank=4)
    assert "for another model" in _refusal(path, pipe)
    deeper = UNet2DConditionModel.from_config(config | {"layers_per_block": 2})
    path = adapter_files.save_diffusers(tmp_path / "deeper.safetensors", deeper, seed=1, rank=4)
    assert "for another family" in _refusal(path, pipe)


def _change(path: Path, name: str, tensor: Any) -> Path:
    save_file(safetensors.torch.load(path.read_bytes()) | {name: tensor}, path)
    return path


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        (f"unet.{QUERY}.lora_A.weight", float("nan"), "not finite"),
        (f"unet.{QUERY}.lora_B.weight", float("inf"), "not finite"),
    ],
)
def test_numbers_that_are_not_finite_are_refused(pipe: Any, tmp_path: Path, name: str, value: float, why: str) -> None:
    path = adapter_files.save_diffusers(tmp_path / "nan.safetensors", pipe.unet, seed=1, rank=4)
    shape = load_file(path)[name].shape
    assert why in _refusal(_change(path, name, torch.full(shape, value)), pipe)


def test_kinds_and_sizes_that_cannot_be_applied_are_refused(pipe: Any, tmp_path: Path) -> None:
    path = adapter_files.save_diffusers(tmp_path / "a.safetensors", pipe.unet, seed=1, rank=4)
    dora = _change(path, f"unet.{QUERY}.lora_magnitude_vector", torch.ones(32))
    assert "DoRA" in _refusal(dora, pipe)
    save_file({"lora_unet_x.hada_w1_a": torch.ones(2, 2)}, path)
    assert "LoHa" in _refusal(path, pipe)
    save_file(
        {f"unet.{QUERY}.lora_A.weight": torch.ones(4096, 32), f"unet.{QUERY}.lora_B.weight": torch.ones(32, 4096)}, path
    )
    assert f"rank 4096; at most {MAX_RANK}" in _refusal(path, pipe)
    save_file({f"unet.{QUERY}.lora_A.weight": torch.ones(4, 32)}, path)
    assert "half of a pair" in _refusal(path, pipe)
    save_file({"model.weight": torch.ones(4, 32)}, path)
    assert "holds no LoRA" in _refusal(path, pipe)


def test_files_that_could_run_code_or_are_none_are_refused(pipe: Any, tmp_path: Path) -> None:
    path = tmp_path / "pickled.safetensors"
    torch.save({"unet.x.lora_A.weight": torch.ones(2, 2)}, path)
    assert "can run code" in _refusal(path, pipe)
    path.write_bytes(b"GIF89a" + bytes(100))
    assert "not a safetensors file" in _refusal(path, pipe)
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}")
    assert "not a safetensors file" in _refusal(path, pipe)
    path.write_bytes(b"")
    assert "not a safetensors file" in _refusal(path, pipe)


def test_a_file_of_two_gigabytes_is_refused_by_its_size(tmp_path: Path, pipe: Any) -> None:
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        # A hole: it takes no space on the disk.
        file.truncate(2 * 2**30)
    assert "2,048 MB" in _refusal(path, pipe)


def test_tensors_outside_the_file_are_refused(tmp_path: Path) -> None:
    name = "unet.x.lora_A.weight"
    header = json.dumps({name: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    path = tmp_path / "short.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(15))
    with path.open("rb") as file, pytest.raises(InvalidAdapter, match="does not lie inside"):
        read_header(file, size=path.stat().st_size)
