"""Encodes prompts of any length, in chunks of the text encoder's length.

A prompt of up to 75 tokens without weights gives exactly the embeddings of diffusers' own pipelines.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch

from guilds import prompt_weights

from .family import PromptEmbedding

MAX_CHUNKS = 8  # 600 tokens of CLIP. The rest is truncated, and the job's message says so.
CACHE_SIZE = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedTokens:
    """Token ids with a weight each."""

    ids: list[int]
    weights: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoder:
    """One tokenizer with its text encoder. `is_sdxl`: use the last layer but one, and a pooled projection."""

    tokenizer: Any
    model: Any
    is_sdxl: bool

    @property
    def max_tokens(self) -> int:
        """How many tokens of a prompt fit into one chunk, without the start and end tokens."""
        return min(int(self.tokenizer.model_max_length), int(self.model.config.max_position_embeddings)) - 2

    def tokens(self, prompt: str) -> WeightedTokens:
        """Return the prompt's tokens, each with the weight of its words."""
        ids: list[int] = []
        weights: list[float] = []
        for part in prompt_weights.parse(prompt):
            new = self.tokenizer(part.text, add_special_tokens=False, truncation=False, verbose=False).input_ids
            ids += new
            weights += [part.weight] * len(new)
        return WeightedTokens(ids=ids, weights=weights)

    def encode(self, tokens: WeightedTokens, chunks: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings (1, chunks * length, width) and the first chunk's pooled output."""
        tok = self.tokenizer
        rows, weights = [], []
        for chunk in range(chunks):
            inside = slice(chunk * self.max_tokens, (chunk + 1) * self.max_tokens)
            ids = tokens.ids[inside]
            padding = self.max_tokens - len(ids)
            rows.append([tok.bos_token_id, *ids, tok.eos_token_id, *[tok.pad_token_id] * padding])
            weights.append([1.0, *tokens.weights[inside], *[1.0] * (1 + padding)])
        batch = torch.tensor(rows, device=self.model.device)
        out = self.model(batch, output_hidden_states=self.is_sdxl)
        embeddings = out.hidden_states[-2] if self.is_sdxl else out[0]
        if any(weight != 1 for weight in tokens.weights):
            embeddings = _weigh(embeddings, torch.tensor(weights, device=embeddings.device))
        return embeddings.reshape(1, -1, embeddings.shape[-1]), out[0][:1]


def _weigh(embeddings: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return embeddings (chunks, length, width) scaled by weights (chunks, length), at the same norm as before.

    The model expects that norm. Other tools keep the mean, which is near zero and may even change its sign.
    """
    scaled = embeddings.float() * weights[..., None]
    norm = scaled.norm().clamp(min=1e-6)
    return (scaled * (embeddings.float().norm() / norm)).to(embeddings.dtype)


class PromptEncoder:
    """The text encoders of a pipeline, with a small cache: negative prompts and remixes repeat."""

    def __init__(self, pipe: Any) -> None:
        pairs = [(pipe.tokenizer, pipe.text_encoder)]
        self._is_sdxl = hasattr(pipe, "text_encoder_2")
        if self._is_sdxl:
            pairs.append((pipe.tokenizer_2, pipe.text_encoder_2))
        self._encoders = [
            TextEncoder(tokenizer=tokenizer, model=model, is_sdxl=self._is_sdxl)
            for tokenizer, model in pairs
            if model is not None
        ]
        self._zero_empty = self._is_sdxl and bool(pipe.config.get("force_zeros_for_empty_prompt", True))
        self._cache: OrderedDict[Hashable, PromptEmbedding] = OrderedDict()
        self.variant: Hashable = ()  # the adapters that are applied to the encoders

    def encode_pair(self, prompt: str, negative: str) -> tuple[PromptEmbedding, PromptEmbedding]:
        """Return the embeddings of both, of equal length. Call under torch.inference_mode()."""
        chunks = max(self._chunks(prompt), self._chunks(negative))
        zero = self._zero_empty and not negative
        return self._embed(prompt, chunks, False), self._embed(negative, chunks, zero)

    def encode(self, prompt: str) -> PromptEmbedding:
        """Return the embedding of a prompt without a negative prompt. Call under torch.inference_mode()."""
        return self._embed(prompt, self._chunks(prompt), False)

    def _chunks(self, prompt: str) -> int:
        longest = max(-(-len(encoder.tokens(prompt).ids) // encoder.max_tokens) for encoder in self._encoders)
        return min(max(1, longest), MAX_CHUNKS)

    def _embed(self, prompt: str, chunks: int, zero: bool) -> PromptEmbedding:
        key = (prompt, chunks, zero, self.variant)
        return _get_or_make(self._cache, key, lambda: self._encode(prompt, chunks, zero))

    def _encode(self, prompt: str, chunks: int, zero: bool) -> PromptEmbedding:
        parts, pooled, truncated_tokens = [], None, 0
        for encoder in self._encoders:
            read = encoder.tokens(prompt)
            truncated_tokens = max(truncated_tokens, len(read.ids) - chunks * encoder.max_tokens)
            embeddings, pooled = encoder.encode(read, chunks)
            parts.append(embeddings)
        tokens = torch.cat(parts, dim=-1)
        if zero:
            tokens = torch.zeros_like(tokens)
            pooled = None if pooled is None else torch.zeros_like(pooled)
        return PromptEmbedding(
            tokens=tokens, pooled=pooled if self._is_sdxl else None, truncated_tokens=truncated_tokens
        )


def _get_or_make(
    cache: OrderedDict[Hashable, PromptEmbedding],
    key: Hashable,
    make: Callable[[], PromptEmbedding],
) -> PromptEmbedding:
    if key not in cache:
        cache[key] = make()
        if len(cache) > CACHE_SIZE:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return cache[key]
