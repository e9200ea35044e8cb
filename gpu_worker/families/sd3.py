"""Stable Diffusion 3 and 3.5: two CLIP encoders and, where it is loaded, T5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guilds.model_families import FAMILIES

from ..denoiser_arguments import DenoiserCall
from ..engine import GenerationRequest
from .family import PromptEmbedding, RunningRequest, join_inputs, latent_rows, repeat_prompts, timestep_rows
from .flow import FlowFamily
from .prompt_tokens import truncated_tokens

T5_TOKENS = 256


class StableDiffusion3(FlowFamily):
    info = FAMILIES["sd3"]
    largest_shift = 1.16

    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        tokens, _, pooled, _ = self.pipe.encode_prompt(
            prompt, None, None, do_classifier_free_guidance=False, max_sequence_length=T5_TOKENS
        )
        clip = self.pipe.tokenizer_max_length
        encoders = [(self.pipe.tokenizer, clip), (self.pipe.tokenizer_2, clip)]
        if self.pipe.text_encoder_3 is not None:
            encoders.append((self.pipe.tokenizer_3, T5_TOKENS))
        return PromptEmbedding(tokens=tokens, pooled=pooled, truncated_tokens=truncated_tokens(prompt, encoders))

    @property
    def size_multiple(self) -> int:
        return int(self.pipe.vae_scale_factor * self.pipe.patch_size)

    def sigmas(self, steps: int) -> Any:
        return None

    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        return {
            "encoder_hidden_states": repeat_prompts([prompt.tokens for prompt in prompts], request.count),
            "pooled_projections": repeat_prompts([prompt.pooled for prompt in prompts], request.count),
        }

    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        latents = latent_rows(runs).to(self.denoiser.dtype)
        inputs = {"hidden_states": latents, "timestep": timestep_rows(runs).to(self.device), **join_inputs(runs)}
        return DenoiserCall(rows=len(latents), inputs=inputs)
