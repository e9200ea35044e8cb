"""Applies different adapters to the rows of one call of a model.

Each row has its own low-rank product at the layers that its adapters change: one batched product of all rows with their
`down` halves, and one with their `up` halves. The adapters of one row are concatenated, and rows of a lower rank are
filled with zeros. For convolutions the first product is one grouped convolution, with a group for each row. A layer's
output of a row without adapters is not touched, or gets exactly 0. The ways that were tried: docs/decisions.

A denoiser gets them on a twin that shares its weights. So rows without adapters can use the denoiser itself, also
compiled or with fused projections: torch.compile ignores hooks that are added later, and a fused query, key and value
projection would leave out adapters of the three.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .low_rank import LowRankPair, Mix

# Groups of requests that cannot share a call take turns at each step, so the weights of several batches are kept.
MAX_STACKED_BYTES = 2**30
MAX_STACKED_BATCHES = 16


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
        self._span = slice(0, 0)
        self._row_stacks: torch.Tensor | None = None
        self._stacks = _Stacks(())
        self._kept: OrderedDict[tuple[Mix, ...], _Stacks] = OrderedDict()
        for name, layer in self.model.named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.register_forward_hook(partial(self._add, name))

    def use(self, rows: Sequence[Mix]) -> None:
        """Apply `rows[i]` to row `i` of the next calls."""
        rows = tuple(rows)
        if rows == self._rows:
            return
        self._rows = rows
        changed = [row for row, mix in enumerate(rows) if mix]
        # Rows without adapters before and after the others cost nothing.
        self._span = slice(changed[0], changed[-1] + 1) if changed else slice(0, 0)
        mixes = tuple(dict.fromkeys(rows[self._span]))
        self._stacks = self._kept.setdefault(mixes, _Stacks(mixes))
        self._kept.move_to_end(mixes)
        self._drop_oldest()
        order = [mixes.index(mix) for mix in rows[self._span]]
        self._row_stacks = None if order == list(range(len(mixes))) else torch.tensor(order)

    def _drop_oldest(self) -> None:
        while len(self._kept) > 1 and (
            len(self._kept) > MAX_STACKED_BATCHES
            or sum(stacks.bytes for stacks in self._kept.values()) > MAX_STACKED_BYTES
        ):
            self._kept.popitem(last=False)

    def _add(self, name: str, layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        """A forward hook: add to the layer's output what the rows' adapters change."""
        stack = self._stacks.of_layer(self._part, name)
        if stack is None:
            return
        span = self._span
        if len(inputs[0]) != len(self._rows):
            if any(mix != self._rows[0] for mix in self._rows):
                raise RowsNotFirst(f"{len(inputs[0])} rows of input for {len(self._rows)} rows of the call")
            span = slice(None)
        given, changed = inputs[0][span], output[span]
        if len(stack.down) == 1:
            changed.add_(_of_all_rows(stack, layer, given).view(changed.shape))
            return
        down, up = stack.down, stack.up
        if self._row_stacks is not None:
            self._row_stacks = self._row_stacks.to(down.device)
            down, up = down[self._row_stacks], up[self._row_stacks]
        changed.add_(_of_each_row(down, up, layer, given).view(changed.shape))


class _Stacks:
    """The stacked pairs of these mixes for each layer, made when a layer is first called. `bytes`: all of them."""

    def __init__(self, mixes: tuple[Mix, ...]) -> None:
        self.bytes = 0
        self._mixes = mixes
        self._of_layers: dict[str, _Stack | None] = {}

    def of_layer(self, part: str, layer: str) -> _Stack | None:
        """Return the layer's pairs, None where no adapter changes it."""
        if layer not in self._of_layers:
            pairs = [_pairs_of(mix, part, layer) for mix in self._mixes]
            stack = _Stack(pairs) if any(pairs) else None
            self._of_layers[layer] = stack
            self.bytes += stack.bytes if stack is not None else 0
        return self._of_layers[layer]


def _pairs_of(mix: Mix, part: str, layer: str) -> list[tuple[LowRankPair, float]]:
    """Return the layer's pairs in a mix, each with what it is multiplied by."""
    found = [(weighted.adapter.pairs.get(part, {}).get(layer), weighted.weight) for weighted in mix]
    return [(pair, weight * pair.scale) for pair, weight in found if pair is not None]


class _Stack:
    """The pairs of one layer by mix: `down` (mixes, rank, in, ...), `up` (mixes, out, rank), multiplied by weights.

    `rank` is the largest sum of ranks in one mix.
    """

    def __init__(self, mixes: Sequence[Sequence[tuple[LowRankPair, float]]]) -> None:
        """`mixes`: the pairs of each mix with what they are multiplied by."""
        like = next(pair for pairs in mixes for pair, _ in pairs)
        rank = max(sum(pair.rank for pair, _ in pairs) for pairs in mixes)
        self.down = like.down.new_zeros(len(mixes), rank, *like.down.shape[1:])
        self.up = like.up.new_zeros(len(mixes), len(like.up), rank)
        for mix, pairs in enumerate(mixes):
            start = 0
            for pair, factor in pairs:
                ranks = slice(start, start + pair.rank)
                self.down[mix, ranks] = pair.down
                self.up[mix, :, ranks] = pair.up * factor
                start += pair.rank
        self.bytes = self.down.nbytes + self.up.nbytes


def _of_all_rows(stack: _Stack, layer: Any, given: torch.Tensor) -> torch.Tensor:
    """Return what a single mix adds to the layer's output for any number of rows."""
    down, up = stack.down[0], stack.up[0]
    if isinstance(layer, nn.Conv2d):
        hidden = functional.conv2d(given, down, None, layer.stride, layer.padding, layer.dilation)
        return functional.conv2d(hidden, up[:, :, None, None])
    return functional.linear(functional.linear(given, down), up)


def _of_each_row(down: torch.Tensor, up: torch.Tensor, layer: Any, given: torch.Tensor) -> torch.Tensor:
    """Return what `down[i]` and `up[i]` add to row `i` of the layer's output: (rows, out, pixels) or (rows, n, out)."""
    rows, rank = down.shape[:2]
    if isinstance(layer, nn.Conv2d):
        groups = given.reshape(1, -1, *given.shape[2:])
        hidden = functional.conv2d(
            groups, down.flatten(0, 1), None, layer.stride, layer.padding, layer.dilation, groups=rows
        )
        return torch.bmm(up, hidden.view(rows, rank, -1))
    tokens = given.reshape(rows, -1, given.shape[-1])
    return torch.bmm(torch.bmm(tokens, down.transpose(1, 2)), up.transpose(1, 2))
