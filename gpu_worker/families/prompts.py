"""How many tokens of a prompt a text encoder does not read, for pipelines that truncate without saying so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def truncated_tokens(text: str, encoders: Iterable[tuple[Any, int]]) -> int:
    """Return how many tokens of `text` no encoder reads. `encoders`: tokenizers, each with its longest sequence."""
    beyond = [
        max(0, len(tokenizer(text, truncation=False, verbose=False).input_ids) - longest)
        for tokenizer, longest in encoders
        if tokenizer is not None
    ]
    return min(beyond, default=0)
