"""Prompts to embeddings, of any length: chunks of what the text encoder takes, one after another.

A prompt of up to 75 tokens gives exactly what diffusers' own pipelines give.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

MAX_CHUNKS = 8  # 600 tokens of CLIP; what lies beyond is cut, and the job notes it.
CACHED = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """`tokens` (1, chunks * length, width), `pooled` (1, width) where it is wanted; `cut` tokens were left out."""

    tokens: torch.Tensor
    pooled: torch.Tensor | None
    cut: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoder:
    """One tokenizer with its text encoder. `pooled`: SDXL's way (the last layer but one, and a pooled projection)."""

    tokenizer: Any
    model: Any
    sdxl: bool

    @property
    def room(self) -> int:
        """Tokens of a prompt that fit into one chunk, beside the beginning and the end."""
        return min(int(self.tokenizer.model_max_length), int(self.model.config.max_position_embeddings)) - 2

    def tokens(self, prompt: str) -> list[int]:
        ids: list[int] = self.tokenizer(prompt, add_special_tokens=False, truncation=False, verbose=False).input_ids
        return ids

    def encode(self, ids: list[int], chunks: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings (1, chunks * length, width) and the first chunk's pooled output."""
        tok = self.tokenizer
        rows = []
        for chunk in range(chunks):
            part = ids[chunk * self.room : (chunk + 1) * self.room]
            padding = [tok.pad_token_id] * (self.room - len(part))
            rows.append([tok.bos_token_id, *part, tok.eos_token_id, *padding])
        batch = torch.tensor(rows, device=self.model.device)
        out = self.model(batch, output_hidden_states=self.sdxl)
        embeddings = out.hidden_states[-2] if self.sdxl else out[0]
        return embeddings.reshape(1, -1, embeddings.shape[-1]), out[0][:1]


class PromptEncoder:
    """The text side of a pipeline, with a small memory: negative prompts and remixes repeat."""

    def __init__(self, pipe: Any) -> None:
        pairs = [(pipe.tokenizer, pipe.text_encoder)]
        self._sdxl = hasattr(pipe, "text_encoder_2")
        if self._sdxl:
            pairs.append((pipe.tokenizer_2, pipe.text_encoder_2))
        self._encoders = [
            TextEncoder(tokenizer=tokenizer, model=model, sdxl=self._sdxl)
            for tokenizer, model in pairs
            if model is not None
        ]
        self._zero_empty = self._sdxl and bool(pipe.config.get("force_zeros_for_empty_prompt", True))
        self._memory: OrderedDict[tuple[str, int, bool], Embedding] = OrderedDict()

    def pair(self, prompt: str, negative: str) -> tuple[Embedding, Embedding]:
        """Return the embeddings of both, equally long. Call under torch.inference_mode()."""
        chunks = max(self._chunks(prompt), self._chunks(negative))
        zero = self._zero_empty and not negative
        return self._embed(prompt, chunks, False), self._embed(negative, chunks, zero)

    def single(self, prompt: str) -> Embedding:
        """Return the prompt's embedding where no other one stands beside it. Call under torch.inference_mode()."""
        return self._embed(prompt, self._chunks(prompt), False)

    def _chunks(self, prompt: str) -> int:
        longest = max(-(-len(encoder.tokens(prompt)) // encoder.room) for encoder in self._encoders)
        return min(max(1, longest), MAX_CHUNKS)

    def _embed(self, prompt: str, chunks: int, zero: bool) -> Embedding:
        key = (prompt, chunks, zero)
        return _remember(self._memory, key, lambda: self._encode(prompt, chunks, zero))

    def _encode(self, prompt: str, chunks: int, zero: bool) -> Embedding:
        parts, pooled, cut = [], None, 0
        for encoder in self._encoders:
            ids = encoder.tokens(prompt)
            cut = max(cut, len(ids) - chunks * encoder.room)
            embeddings, pooled = encoder.encode(ids, chunks)
            parts.append(embeddings)
        tokens = torch.cat(parts, dim=-1)
        if zero:
            tokens = torch.zeros_like(tokens)
            pooled = None if pooled is None else torch.zeros_like(pooled)
        return Embedding(tokens=tokens, pooled=pooled if self._sdxl else None, cut=cut)


def _remember(
    memory: OrderedDict[tuple[str, int, bool], Embedding],
    key: tuple[str, int, bool],
    make: Callable[[], Embedding],
) -> Embedding:
    if key not in memory:
        memory[key] = make()
        if len(memory) > CACHED:
            memory.popitem(last=False)
    memory.move_to_end(key)
    return memory[key]
