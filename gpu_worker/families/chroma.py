"""Chroma: FLUX.1's layers with classifier-free guidance and a mask over the prompt's padding."""

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

MAX_TOKENS = 512


class Chroma(PackedFlowFamily):
    info = FAMILIES["chroma"]

    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        tokens, _, mask, *_ = self.pipe.encode_prompt(
            prompt, do_classifier_free_guidance=False, max_sequence_length=MAX_TOKENS
        )
        return PromptEmbedding(
            tokens=tokens, mask=mask, truncated_tokens=truncated_tokens(prompt, [(self.pipe.tokenizer, MAX_TOKENS)])
        )

    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        masks = repeat_prompts([prompt.mask for prompt in prompts], request.count)
        image = torch.ones(len(masks), self.sequence_length(request), device=masks.device)
        return {
            "encoder_hidden_states": repeat_prompts([prompt.tokens for prompt in prompts], request.count),
            "attention_mask": torch.cat([masks, image], dim=1).to(self.denoiser.dtype),
        }

    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        tokens = pack(latent_rows(runs)).to(self.denoiser.dtype)
        inputs = {"hidden_states": tokens, "timestep": timestep_rows(runs).to(self.device) / 1000, **join_inputs(runs)}
        _, _, height, width = runs[0].latents.shape
        shared = {
            "txt_ids": torch.zeros(inputs["encoder_hidden_states"].shape[1], 3, device=self.device),
            "img_ids": position_ids(height // 2, width // 2, device=self.device),
        }
        return DenoiserCall(rows=len(tokens), inputs=inputs, shared=shared)
