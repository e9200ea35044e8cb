"""Lumina-Image 2.0: time runs backwards, the guided prediction keeps its norm, Gemma's embeddings with a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from guilds.model_families import FAMILIES

from ..denoiser_arguments import DenoiserCall
from ..engine import GenerationRequest
from .family import PromptEmbedding, RunningRequest, join_inputs, latent_rows, masked_inputs, timestep_rows
from .flow import FlowFamily, guide_keeping_norm
from .prompt_tokens import truncated_tokens

MAX_TOKENS = 256


class Lumina2(FlowFamily):
    info = FAMILIES["lumina2"]

    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        if is_negative:
            # Without the system prompt, as diffusers' pipeline has it.
            text = prompt
            tokens, mask = self.pipe._get_gemma_prompt_embeds(prompt=prompt, max_sequence_length=MAX_TOKENS)
        else:
            text = f"{self.pipe.system_prompt} <Prompt Start> {prompt}"
            tokens, mask, _, _ = self.pipe.encode_prompt(
                prompt, do_classifier_free_guidance=False, max_sequence_length=MAX_TOKENS
            )
        return PromptEmbedding(
            tokens=tokens, mask=mask, truncated_tokens=truncated_tokens(text, [(self.pipe.tokenizer, MAX_TOKENS)])
        )

    def sequence_length(self, request: GenerationRequest) -> int:
        # diffusers' pipeline takes the number of channels here, and the published images were made with that.
        return int(self.denoiser.config.in_channels)

    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        return masked_inputs(prompts, request.count)

    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        latents = latent_rows(runs).to(self.denoiser.dtype)
        times = 1 - timestep_rows(runs).to(self.device) / self.pipe.scheduler.config.num_train_timesteps
        inputs = {"hidden_states": latents, "timestep": times, **join_inputs(runs)}
        return DenoiserCall(rows=len(latents), inputs=inputs)

    def combine(self, run: RunningRequest, outputs: Sequence[Any]) -> torch.Tensor:
        predicted = outputs[0].float()
        return -(guide_keeping_norm(predicted, run.request.guidance) if run.is_guided else predicted)
