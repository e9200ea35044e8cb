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


def chat(tokenizer: Any, prompt: str, **options: Any) -> str:
    """Return the prompt inside the chat template of a language model that serves as text encoder."""
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, **options
    )
    return text
