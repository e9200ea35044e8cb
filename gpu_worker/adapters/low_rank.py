"""What an adapter is inside an engine: low-rank pairs for layers of a model, and how requests combine adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


class AdapterUnusable(Exception):
    """The adapter cannot be used with this model. The message tells a moderator why. Trying again will not help."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LowRankPair:
    """What an adapter adds to a layer's output: `scale` * up(down(input)).

    `down` (rank, in) or (rank, in, height, width) for a convolution; `up` (out, rank).
    """

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    @property
    def rank(self) -> int:
        return len(self.down)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedAdapter:
    """An adapter on the device: its pairs by part of the pipeline ("unet", "text_encoder") and layer. `bytes`: all."""

    key: str
    pairs: Mapping[str, Mapping[str, LowRankPair]]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedAdapter:
    adapter: LoadedAdapter
    weight: float


# The adapters of one row or request, () for none.
Mix = tuple[WeightedAdapter, ...]
