"""FLUX.1 (dev, schnell, Krea): the guidance is an input of the model, and it reads no negative prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from guilds.model_families import FAMILIES

from ..denoiser_arguments import DenoiserCall
from ..engine import GenerationRequest
from .family import PromptEmbedding, RunningRequest, join_inputs, latent_rows, repeat_prompts, timestep_rows
from .flow import PackedFlowFamily, pack, position_ids
from .prompt_tokens import truncated_tokens


class Flux(PackedFlowFamily):
    info = FAMILIES["flux"]

    def __init__(self, pipe: Any) -> None:
        super().__init__(pipe)
        # schnell has no guidance and was trained with half the prompt's length.
        self._t5_tokens = 512 if self.denoiser.config.guidance_embeds else 256

    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        tokens, pooled, _ = self.pipe.encode_prompt(prompt, max_sequence_length=self._t5_tokens)
        # CLIP only sums the prompt up: what it does not read, T5 may.
        unread = truncated_tokens(prompt, [(self.pipe.tokenizer_2, self._t5_tokens)])
        return PromptEmbedding(tokens=tokens, pooled=pooled, truncated_tokens=unread)

    def is_guided(self, request: GenerationRequest) -> bool:
        return False

    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        inputs: dict[str, Any] = {
            "encoder_hidden_states": repeat_prompts([prompt.tokens for prompt in prompts], request.count),
            "pooled_projections": repeat_prompts([prompt.pooled for prompt in prompts], request.count),
        }
        if self.denoiser.config.guidance_embeds:
            inputs["guidance"] = torch.full((request.count,), float(request.guidance), device=self.device)
        return inputs

    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        tokens = pack(latent_rows(runs)).to(self.denoiser.dtype)
        inputs = {
            "hidden_states": tokens,
            "timestep": timestep_rows(runs).to(self.device) / 1000,
            **join_inputs(runs),
        }
        _, _, height, width = runs[0].latents.shape
        length = inputs["encoder_hidden_states"].shape[1]
        shared = {
            "txt_ids": torch.zeros(length, 3, device=self.device),
            "img_ids": position_ids(height // 2, width // 2, device=self.device),
        }
        return DenoiserCall(rows=len(tokens), inputs=inputs, shared=shared)
