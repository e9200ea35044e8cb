"""Finds the layers of a model that an adapter's tensors belong to, for the formats of diffusers, peft and kohya.

kohya's names are layers' names with "_" for "."; diffusers and peft write the names with a prefix. What neither rule
resolves (SDXL's and Flux's original names) is converted by diffusers' own `lora_state_dict`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .low_rank import AdapterUnusable

DENOISERS = ("unet", "transformer")
TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_HALF = re.compile(
    r"(?P<layer>.+?)(?:\.lora_(?P<peft>A|B)|\.lora[._](?P<kohya>down|up)|_lora\.(?P<old>down|up)"
    r"|\.lora_linear_layer\.(?P<text>down|up))(?:\.default)?\.weight"
)
_PREFIXES = {
    "lora_unet_": "denoiser", "lora_transformer_": "denoiser", "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder", "lora_te2_": "text_encoder_2", "lora_te3_": "text_encoder_3", "unet.": "denoiser",
    "transformer.": "denoiser", "base_model.model.": "denoiser", "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2", "text_encoder_3.": "text_encoder_3",
}  # fmt: skip
# diffusers' older names of layers, and the present ones.
_RENAMED = {".processor": "", "to_out": "to_out.0"}
_TEXT_RENAMED = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


@dataclass(slots=True, kw_only=True)
class PairTensors:
    """The tensors of one layer, as the file has them."""

    down: torch.Tensor | None = None
    up: torch.Tensor | None = None
    alpha: float | None = None


@dataclass(slots=True, kw_only=True)
class Resolved:
    """`pairs` by part and layer; `unknown`: names of the denoiser that no layer has."""

    pairs: dict[str, dict[str, PairTensors]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def pair(self, part: str, layer: str) -> PairTensors:
        return self.pairs.setdefault(part, {}).setdefault(layer, PairTensors())


def resolve(pipe: Any, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> Resolved:
    """Return the tensors by part and layer of `pipe`. Layers of text encoders that it lacks are left out.

    Raises:
        AdapterUnusable: the denoiser lacks layers that the adapter changes.
    """
    parts = _Parts(pipe)
    resolved = parts.resolve(tensors, {})
    if resolved.unknown:
        resolved = parts.resolve(*_converted(pipe, tensors))
    if resolved.unknown or not any(part in resolved.pairs for part in (*DENOISERS, *TEXT_ENCODERS)):
        example = next(iter(sorted(resolved.unknown)), "")
        raise AdapterUnusable(f"the model has no layer {example[:100]!r}: it is for another family of models")
    _apply_peft_config(resolved, metadata)
    return resolved


class _Parts:
    """The layers of the parts of a pipeline, by their names in each format."""

    def __init__(self, pipe: Any) -> None:
        denoisers = [name for name in DENOISERS if isinstance(getattr(pipe, name, None), nn.Module)]
        if not denoisers:
            raise AdapterUnusable(f"{type(pipe).__name__} takes no LoRA")
        self.denoiser = denoisers[0]
        self._names: dict[str, dict[str, str]] = {}
        for part in (self.denoiser, *TEXT_ENCODERS):
            model = getattr(pipe, part, None)
            if isinstance(model, nn.Module):
                self._names[part] = {}
                for name, layer in model.named_modules():
                    if isinstance(layer, nn.Linear | nn.Conv2d):
                        self._names[part][name] = self._names[part][name.replace(".", "_")] = name

    def resolve(self, tensors: Mapping[str, torch.Tensor], alphas: Mapping[str, float]) -> Resolved:
        resolved = Resolved()
        for key, tensor in tensors.items():
            match = _HALF.fullmatch(key)
            name = match["layer"] if match else key.removesuffix(".alpha")
            part, layer = self._find(name)
            if layer is None:
                if part == self.denoiser:
                    resolved.unknown.add(name)
                continue
            pair = resolved.pair(part, layer)
            if match is None:
                pair.alpha = float(tensor)
            elif (match["peft"] or match["kohya"] or match["old"] or match["text"]) in ("A", "down"):
                pair.down = tensor
            else:
                pair.up = tensor
        for key, alpha in alphas.items():
            part, layer = self._find(re.sub(r"[._]lora\..+|\.alpha$", "", key))
            if layer is not None:
                resolved.pair(part, layer).alpha = float(alpha)
        return resolved

    def _find(self, name: str) -> tuple[str, str | None]:
        """Return the part and the layer of a name in a file; None for a layer that the part does not have."""
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        part = _PREFIXES.get(prefix, "denoiser")
        if part == "denoiser":
            part = self.denoiser
        names = self._names.get(part, {})
        name = name.removeprefix(prefix)
        candidates = [name, *(name.replace(old, new) for old, new in _RENAMED.items())]
        candidates.append(name.replace(".processor", "").replace("to_out", "to_out.0"))
        if part in TEXT_ENCODERS:
            candidates += [re.sub(r"to_\w+$", lambda match: _TEXT_RENAMED.get(match[0], match[0]), name)]
            candidates += [re.sub(r"^text_model[._]", "", candidate) for candidate in candidates]
        return part, next((names[candidate] for candidate in candidates if candidate in names), None)


def _converted(pipe: Any, tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Return the tensors under diffusers' names, and the alphas that are not among them."""
    convert = getattr(type(pipe), "lora_state_dict", None)
    if convert is None:
        raise AdapterUnusable(f"{type(pipe).__name__} takes no LoRA")
    options = {"unet_config": pipe.unet.config} if getattr(pipe, "unet", None) is not None else {}
    try:
        converted = convert(dict(tensors), **options)
    except Exception as error:
        # diffusers' converters raise many errors for names that they do not know.
        raise AdapterUnusable(f"its layers cannot be found: {type(error).__name__}") from error
    if isinstance(converted, tuple):
        return converted[0], converted[1] or {}
    return converted, {}


def _apply_peft_config(resolved: Resolved, metadata: Mapping[str, str]) -> None:
    """Set the alphas that peft's configuration names, for the layers whose tensors name none."""
    try:
        config = json.loads(metadata.get("lora_adapter_metadata") or "{}")
    except ValueError:
        return
    for part, pairs in resolved.pairs.items():
        patterns = config.get(f"{part}.alpha_pattern") or {}
        for layer, pair in pairs.items():
            alpha = patterns.get(layer, config.get(f"{part}.lora_alpha"))
            if pair.alpha is None and alpha is not None and pair.down is not None:
                # rsLoRA divides by the root of the rank, not by the rank.
                root = math.sqrt(len(pair.down)) if config.get(f"{part}.use_rslora") else 1.0
                pair.alpha = float(alpha) * root
