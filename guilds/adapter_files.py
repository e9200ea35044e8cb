"""The header of an adapter's file (LoRA, safetensors): what it holds, and why it cannot be used. Needs no torch.

A safetensors file is the header's length (8 bytes, little-endian), the header as JSON, and the tensors:
https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

MAX_FILE_BYTES = 2**30
MAX_HEADER_BYTES = 8 * 2**20
MAX_RANK = 256
_DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_INTEGER_BYTES = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1}
_DOWN = re.compile(r"(\.lora_A|\.lora\.down|\.lora_down|_lora\.down|\.lora_linear_layer\.down)(\.default)?\.weight$")
# Other kinds of adapter, by a part of their tensors' names.
_OTHER_KINDS = {
    "dora_scale": "DoRA", "lora_magnitude_vector": "DoRA", "hada_w1": "LoHa", "lokr_w": "LoKr",
    "lora_mid": "Tucker", "oft_": "OFT", "glora": "GLoRA", "ia3": "IA3",
}  # fmt: skip
# The families by the width of the text that a layer of their cross-attention reads.
_WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl", 192: "demo"}
_CROSS_ATTENTION = re.compile(r"attn2[._](processor[._])?to[._]k|add_k_proj")
_SHOWN = (
    "modelspec.title", "modelspec.author", "modelspec.license", "modelspec.description", "modelspec.trigger_phrase",
    "modelspec.architecture", "title", "license", "base", "ss_output_name", "ss_base_model_version", "ss_network_dim",
    "ss_network_alpha",
)  # fmt: skip


class InvalidAdapter(Exception):
    """The file cannot be used as an adapter. The message is a sentence for the person who chose it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterHeader:
    """`family` is a code of guilds.adapter_models.FAMILIES, "" if the names do not tell. `layers`: their number.

    `metadata` is what the file says of itself, as text. `rank` is the largest.
    """

    family: str
    rank: int
    layers: int
    bytes: int
    metadata: Mapping[str, str]

    def summary(self) -> dict[str, Any]:
        """Return what the admin shows."""
        shown = {key: self.metadata[key][:300] for key in _SHOWN if key in self.metadata}
        return {"family": self.family, "rank": self.rank, "layers": self.layers, "bytes": self.bytes, **shown}


def read_header(file: BinaryIO, *, size: int, max_bytes: int = MAX_FILE_BYTES) -> AdapterHeader:
    """Read and check the header of a file of `size` bytes. No tensor is read.

    1. The size, and that it is a safetensors file: other formats can run code when they are loaded.
    2. Each tensor: a number format, a place inside the file, a rank of at most MAX_RANK.
    3. The kind of adapter: LoRA on linear and convolution layers, nothing else.

    Raises:
        InvalidAdapter
    """
    if size > max_bytes:
        raise InvalidAdapter(f"The file has {size / 2**20:,.0f} MB; at most {max_bytes // 2**20:,} MB are allowed.")
    tensors, metadata, data_bytes = _parse(file, size)
    _check_tensors(tensors, data_bytes)
    for part, kind in _OTHER_KINDS.items():
        if any(part in name for name in tensors) or (kind == "DoRA" and '"use_dora": true' in _peft_config(metadata)):
            raise InvalidAdapter(f"This is a {kind} adapter, which Sparkle cannot apply. Choose a LoRA.")
    downs = {name: tensor["shape"] for name, tensor in tensors.items() if _DOWN.search(name)}
    if not downs:
        raise InvalidAdapter("The file holds no LoRA: none of its tensors is a low-rank layer.")
    rank = max(shape[0] for shape in downs.values())
    if rank > MAX_RANK:
        raise InvalidAdapter(f"The LoRA has rank {rank}; at most {MAX_RANK} is allowed. Resize it to a lower rank.")
    return AdapterHeader(family=_family(downs), rank=rank, layers=len(downs), bytes=size, metadata=metadata)


def _parse(file: BinaryIO, size: int) -> tuple[dict[str, Any], dict[str, str], int]:
    """Return the tensors' descriptions, the metadata, and how many bytes of tensors follow the header."""
    start = file.read(9)
    if start[8:] != b"{" and start.startswith((b"PK", b"\x80")):
        raise InvalidAdapter("This is a PyTorch file, which can run code. Choose a safetensors file.")
    (length,) = struct.unpack("<Q", start[:8]) if len(start) == 9 else (0,)
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise InvalidAdapter("This is not a safetensors file.")
    try:
        header = json.loads(start[8:] + file.read(length - 1))
        metadata = header.pop("__metadata__", None) or {}
    except (ValueError, AttributeError, RecursionError) as error:
        raise InvalidAdapter("This is not a safetensors file: its header cannot be read.") from error
    if not isinstance(metadata, dict):
        metadata = {}
    return header, {str(key): str(value) for key, value in metadata.items()}, size - 8 - length


def _check_tensors(tensors: Mapping[str, Any], data_bytes: int) -> None:
    for name, tensor in tensors.items():
        try:
            dtype, shape, (begin, end) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
            numbers = [begin, end, *shape]
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidAdapter("This is not a safetensors file: its header cannot be read.") from error
        item_bytes = _DTYPE_BYTES.get(dtype) or (_INTEGER_BYTES.get(dtype) if name.endswith(".alpha") else None)
        if item_bytes is None:
            raise InvalidAdapter(f"The number format {str(dtype)[:20]} is not supported. Save the LoRA as float16.")
        if not all(type(number) is int and 0 <= number <= MAX_FILE_BYTES for number in numbers) or len(shape) > 4:
            raise InvalidAdapter("The file is damaged: a tensor has an impossible shape.")
        count = 1
        for side in shape:
            count *= side
        if end - begin != count * item_bytes or end > data_bytes:
            raise InvalidAdapter("The file is damaged: a tensor does not lie inside it. Upload it again.")
        if _DOWN.search(name) and (len(shape) not in (2, 4) or not count):
            raise InvalidAdapter("The file is damaged: a low-rank layer has an impossible shape.")


def _peft_config(metadata: Mapping[str, str]) -> str:
    """Return what diffusers and peft write about the adapter, as JSON; "" if they wrote nothing."""
    return metadata.get("lora_adapter_metadata", "")


def _family(downs: Mapping[str, list[int]]) -> str:
    """Return the family that the layers' names and widths tell, or ""."""
    names = " ".join(downs)
    if "double_blocks" in names or "single_transformer_blocks" in names:
        return "flux"
    if "noise_refiner" in names or "context_refiner" in names:
        return "z-image"
    if "joint_blocks" in names or ("add_q_proj" in names and "img_mlp" not in names):
        return "sd3"
    if "img_mlp" in names or "txt_mlp" in names:
        return "qwen-image"
    widths = {shape[1] for name, shape in downs.items() if _CROSS_ATTENTION.search(name)}
    return next((family for width, family in _WIDTHS.items() if width in widths), "")
