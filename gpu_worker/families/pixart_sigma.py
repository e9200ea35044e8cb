"""PixArt-Sigma: a transformer that predicts the noise, with the samplers of Stable Diffusion and T5's embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from guilds.model_families import FAMILIES

from ..denoiser_arguments import DenoiserCall
from ..engine import GenerationRequest
from .family import Family, PromptEmbedding, RunningRequest, guide, join_inputs, masked_inputs, timestep_rows
from .prompt_tokens import truncated_tokens

MAX_TOKENS = 300


class PixArtSigma(Family):
    info = FAMILIES["pixart-sigma"]

    @property
    def size_multiple(self) -> int:
        return int(self.pipe.vae_scale_factor * self.denoiser.config.patch_size)

    @property
    def native_side(self) -> int:
        return int(self.denoiser.config.sample_size * self.pipe.vae_scale_factor)

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        scale = int(self.pipe.vae_scale_factor)
        return int(self.denoiser.config.in_channels), height // scale, width // scale

    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        tokens, mask, _, _ = self.pipe.encode_prompt(
            prompt, do_classifier_free_guidance=False, max_sequence_length=MAX_TOKENS
        )
        return PromptEmbedding(
            tokens=tokens, mask=mask, truncated_tokens=truncated_tokens(prompt, [(self.pipe.tokenizer, MAX_TOKENS)])
        )

    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        return masked_inputs(prompts, request.count)

    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        scaled = [
            run.scheduler.scale_model_input(run.latents, run.timestep).repeat(len(run.prompts), 1, 1, 1) for run in runs
        ]
        latents = torch.cat(scaled).to(self.denoiser.dtype)
        inputs = {"hidden_states": latents, "timestep": timestep_rows(runs).to(self.device), **join_inputs(runs)}
        shared = {"added_cond_kwargs": {"resolution": None, "aspect_ratio": None}}
        return DenoiserCall(rows=len(latents), inputs=inputs, shared=shared)

    def combine(self, run: RunningRequest, outputs: Sequence[Any]) -> torch.Tensor:
        # The second half of the channels is a variance, which no sampler here uses.
        predicted = outputs[0].float()[:, : run.latents.shape[1]]
        return guide(predicted, run.request.guidance) if run.is_guided else predicted
