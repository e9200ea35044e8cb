"""Sana: a VAE of 32 x 32 pixels a latent, Gemma's embeddings with a mask."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from guilds.model_families import FAMILIES

from ..denoiser_arguments import DenoiserCall
from ..engine import GenerationRequest
from .family import PromptEmbedding, RunningRequest, join_inputs, latent_rows, masked_inputs, timestep_rows
from .flow import FlowFamily
from .prompt_tokens import truncated_tokens

MAX_TOKENS = 300


class Sana(FlowFamily):
    info = FAMILIES["sana"]

    def __init__(self, pipe: Any) -> None:
        super().__init__(pipe)
        # What the model's authors put before each prompt. It was trained with it.
        self._instruction = inspect.signature(pipe.__call__).parameters["complex_human_instruction"].default

    @property
    def size_multiple(self) -> int:
        return int(self.pipe.vae_scale_factor * self.denoiser.config.patch_size)

    @property
    def native_side(self) -> int:
        return int(self.denoiser.config.sample_size * self.pipe.vae_scale_factor)

    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        tokens, mask, _, _ = self.pipe.encode_prompt(
            prompt,
            do_classifier_free_guidance=False,
            max_sequence_length=MAX_TOKENS,
            complex_human_instruction=None if is_negative else self._instruction,
        )
        return PromptEmbedding(
            tokens=tokens, mask=mask, truncated_tokens=truncated_tokens(prompt, [(self.pipe.tokenizer, MAX_TOKENS)])
        )

    def sigmas(self, steps: int) -> Any:
        return None

    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        return masked_inputs(prompts, request.count)

    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        latents = latent_rows(runs).to(self.denoiser.dtype)
        times = timestep_rows(runs).to(self.device) * self.denoiser.config.timestep_scale
        inputs = {"hidden_states": latents, "timestep": times, **join_inputs(runs)}
        return DenoiserCall(rows=len(latents), inputs=inputs)
