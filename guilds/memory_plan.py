"""Which number format a model runs in on a card, and what fits into the card's memory. Pure.

`verdicts` tells an operator before anything is downloaded: g4dn no, g6 with int8 encoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .model_families import ModelFamily

DType = Literal["float32", "float16", "bfloat16"]
Quantization = Literal["", "int8-encoders", "int8"]
BF16_FROM = (8, 0)  # compute capability; older cards only emulate it
BATCH_GB = 2.5  # what a batch of latents and its attention need beside the weights
# Linear layers hold nearly all of a transformer; the rest stays in 16 bits.
_INT8_SHARE = 0.55
_WORDS: dict[Quantization, str] = {"": "yes", "int8-encoders": "with int8 encoders", "int8": "with int8 weights"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A GPU: its name for operators (of the instances that have it), memory in GB, and compute capability."""

    name: str
    memory_gb: float
    capability: tuple[int, int]


# The instances that the Terraform module offers: T4, A10G, L4, L40S.
CARDS = (
    Card(name="g4dn", memory_gb=15.6, capability=(7, 5)),
    Card(name="g5", memory_gb=23.6, capability=(8, 6)),
    Card(name="g6", memory_gb=23.6, capability=(8, 9)),
    Card(name="g6e", memory_gb=47.6, capability=(8, 9)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """Numbers of parameters: of the denoiser, of the text encoders, and of everything else."""

    denoiser: int
    encoders: int
    other: int


def choose_dtype(family: ModelFamily, capability: tuple[int, int] | None) -> DType | None:
    """Return the number format for the family on a card, or None: the card has none that the family supports.

    `capability` is None for a CPU. In fp16 some families overflow, and their images are black.
    """
    if capability is None:
        return "float32"
    if capability >= BF16_FROM:
        return "bfloat16"
    return "float16" if family.supports_fp16 else None


def needed_gb(size: ModelSize, *, quantization: Quantization = "", bytes_per_number: int = 2) -> float:
    """Return the GB of the weights and a batch on the card."""
    encoders = size.encoders * (_INT8_SHARE if quantization else 1.0)
    denoiser = size.denoiser * (_INT8_SHARE if quantization == "int8" else 1.0)
    return (encoders + denoiser + size.other) * bytes_per_number / 1e9 + BATCH_GB


def smallest_change(family: ModelFamily, size: ModelSize, card: Card) -> Quantization | None:
    """Return the quantization that makes the model fit with the least change to its images, None where none does."""
    if choose_dtype(family, card.capability) is None:
        return None
    options: tuple[Quantization, ...] = ("", "int8-encoders", "int8")
    return next((option for option in options if needed_gb(size, quantization=option) <= card.memory_gb), None)


def verdicts(family: ModelFamily, size: ModelSize, *, cards: Sequence[Card] = CARDS) -> tuple[tuple[str, str], ...]:
    """Return for each card its name and, in an operator's words, whether it can run the model."""
    return tuple((card.name, _verdict(family, size, card)) for card in cards)


def _verdict(family: ModelFamily, size: ModelSize, card: Card) -> str:
    change = smallest_change(family, size, card)
    if change is not None:
        return _WORDS[change]
    return "no (needs bf16)" if choose_dtype(family, card.capability) is None else "no"
