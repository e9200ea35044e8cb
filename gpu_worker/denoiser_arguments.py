"""The arguments of one call of a denoiser, which can be split and padded by rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

# What a denoiser takes or returns for its rows: a tensor whose first dimension is rows, a list of one tensor a row
# (Z-Image), or named ones of these (SDXL's added_cond_kwargs).
RowValue = torch.Tensor | Sequence[torch.Tensor] | Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiserCall:
    """`inputs`: by argument name, a value for each row. `shared`: arguments that all rows have in common."""

    rows: int
    inputs: Mapping[str, RowValue]
    shared: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[object, ...]:
        """What a compiled call is specific to, beside the number of rows."""
        return tuple((name, _shape(value)) for name, value in sorted(self.inputs.items()))

    def part(self, rows: slice) -> DenoiserCall:
        """Return the call of these rows only."""
        inputs = {name: _each(value, lambda tensors: tensors[rows]) for name, value in self.inputs.items()}
        return DenoiserCall(rows=len(range(self.rows)[rows]), inputs=inputs, shared=self.shared)

    def padded_to(self, rows: int) -> DenoiserCall:
        """Return the call with its first row repeated until it has `rows` rows. Not for lists."""
        more = rows - self.rows

        def pad(tensor: Any) -> Any:
            padded = torch.cat([tensor, tensor[:1].expand(more, *tensor.shape[1:])]) if more else tensor
            channels_last = padded.device.type == "cuda" and padded.dim() == 4
            return padded.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

        inputs = {name: _each(value, pad) for name, value in self.inputs.items()}
        return DenoiserCall(rows=rows, inputs=inputs, shared=self.shared)

    def run(self, forward: Callable[..., Any]) -> tuple[Any, ...]:
        """Return what `forward` returns: the prediction, and for some denoisers more, a value for each row."""
        outputs: tuple[Any, ...] = forward(**self.inputs, **self.shared, return_dict=False)
        return outputs


def join(parts: Sequence[Any]) -> Any:
    """Return one value for all rows of several calls."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], torch.Tensor):
        return torch.cat(list(parts))
    return [tensor for part in parts for tensor in part]


def _each(value: RowValue, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: change(tensor) for name, tensor in value.items()}
    return change(value)


def _shape(value: RowValue) -> object:
    if isinstance(value, torch.Tensor):
        return value.shape[1:]
    if isinstance(value, Mapping):
        return tuple((name, tensor.shape[1:]) for name, tensor in sorted(value.items()))
    return tuple(tensor.shape for tensor in value)
