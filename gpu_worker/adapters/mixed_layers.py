"""Applies different adapters to the rows of one call of a model.

At each layer that one of them changes, the pairs of all adapters in the batch are concatenated: one product with all
`down` halves, a mask that keeps of each row the ranks of its own adapters, times their weights, and one product with
all `up` halves. That was the fastest of the ways tried (docs/decisions). Rows without adapters get exactly 0.

A denoiser gets them on a twin that shares its weights. So rows without adapters can use the denoiser itself, also
compiled or with fused projections: torch.compile ignores hooks that are added later, and a fused query, key and value
projection would leave out adapters of the three.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .low_rank import LoadedAdapter, LowRankPair, Mix

MAX_CACHED_MASKS = 64


class RowsNotFirst(Exception):
    """A layer's input has no row for each row of the call, so different rows cannot have different adapters."""


def twin_of(model: nn.Module) -> Any:
    """Return a copy of the model that shares its weights and has no fused projections."""
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin: Any = copy.deepcopy(model, shared)
    if hasattr(twin, "original_attn_processors"):
        twin.set_attn_processor(twin.original_attn_processors)
    return twin


class MixedLayers:
    """Makes the layers of `model` apply the adapters that `use` names. Belongs to one thread."""

    def __init__(self, model: nn.Module, *, part: str) -> None:
        """`part`: the model's name in LoadedAdapter.pairs."""
        self.model = model
        self._part = part
        self._rows: tuple[Mix, ...] = ()
        self._adapters: tuple[LoadedAdapter, ...] = ()
        self._stacks: dict[str, _Stack | None] = {}
        self._masks: dict[tuple[object, ...], tuple[torch.Tensor, torch.Tensor]] = {}
        for name, layer in self.model.named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.register_forward_hook(partial(self._add, name))

    def use(self, rows: Sequence[Mix]) -> None:
        """Apply `rows[i]` to row `i` of the next calls."""
        self._rows = tuple(rows)
        adapters = tuple({weighted.adapter.key: weighted.adapter for mix in rows for weighted in mix}.values())
        if adapters != self._adapters:
            self._adapters = adapters
            self._stacks.clear()
            self._masks.clear()
        elif len(self._masks) > MAX_CACHED_MASKS:
            self._masks.clear()

    def _add(self, name: str, layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        """A forward hook: return the layer's output with what the rows' adapters add to it."""
        if name not in self._stacks:
            pairs = [(adapter.key, adapter.pairs.get(self._part, {}).get(name)) for adapter in self._adapters]
            found = {key: pair for key, pair in pairs if pair is not None}
            self._stacks[name] = _Stack(found) if found else None
        stack = self._stacks[name]
        if stack is None:
            return output
        given = inputs[0]
        weights, is_off = self._mask(stack, rows=len(given), like=given)
        if isinstance(layer, nn.Conv2d):
            hidden = functional.conv2d(given, stack.down, None, layer.stride, layer.padding, layer.dilation)
            hidden = _masked(hidden, weights[:, :, None, None], is_off[:, :, None, None])
            return output + functional.conv2d(hidden, stack.up[:, :, None, None])
        middle = (1,) * (given.ndim - 2)
        hidden = functional.linear(given, stack.down)
        hidden = _masked(
            hidden, weights.view(-1, *middle, weights.shape[1]), is_off.view(-1, *middle, weights.shape[1])
        )
        flat = output.reshape(-1, output.shape[-1])
        return torch.addmm(flat, hidden.reshape(-1, hidden.shape[-1]), stack.up.T).view(output.shape)

    def _mask(self, stack: _Stack, *, rows: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weight of each rank for each row (rows, ranks), and where it is none."""
        mixes = self._rows
        if rows != len(mixes):
            if any(mix != mixes[0] for mix in mixes):
                raise RowsNotFirst(f"{rows} rows of input for {len(mixes)} rows of the call")
            mixes = mixes[:1]
        key = (mixes, stack.layout, like.dtype, like.device)
        if key not in self._masks:
            weights = [{weighted.adapter.key: weighted.weight for weighted in mix} for mix in mixes]
            of_ranks = [
                [row.get(adapter, 0.0) * scale for adapter, rank, scale in stack.layout for _ in range(rank)]
                for row in weights
            ]
            mask = torch.tensor(of_ranks, dtype=like.dtype, device=like.device)
            self._masks[key] = mask, mask == 0
        return self._masks[key]


class _Stack:
    """The concatenated pairs of one layer: `down` (ranks, in, ...), `up` (out, ranks).

    `layout`: of each adapter its key, its rank and its scale.
    """

    def __init__(self, pairs: Mapping[str, LowRankPair]) -> None:
        """`pairs` by the adapters' keys."""
        self.down = torch.cat([pair.down for pair in pairs.values()])
        self.up = torch.cat([pair.up for pair in pairs.values()], dim=1)
        self.layout = tuple((key, pair.rank, pair.scale) for key, pair in pairs.items())


def _masked(hidden: torch.Tensor, weights: torch.Tensor, is_off: torch.Tensor) -> torch.Tensor:
    # Filled, not only multiplied: another row's adapter may overflow here, and infinity times 0 is no number.
    return hidden.mul_(weights).masked_fill_(is_off, 0.0)
