"""FLUX.2 klein, base and distilled: latents of 2 x 2 patches normalised by the VAE's batch norm, Qwen3 as encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from guilds.model_families import FAMILIES

from ..denoiser_arguments import DenoiserCall
from ..engine import GenerationRequest
from .family import PromptEmbedding, RunningRequest, join_inputs, latent_rows, repeat_prompts, timestep_rows
from .flow import FlowFamily, position_ids
from .prompt_tokens import chat, truncated_tokens

MAX_TOKENS = 512


class Flux2Klein(FlowFamily):
    info = FAMILIES["flux2-klein"]

    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        # The model was guided away from an empty prompt only, and diffusers' pipeline takes no other.
        prompt = "" if is_negative else prompt
        tokens, _ = self.pipe.encode_prompt(prompt, max_sequence_length=MAX_TOKENS)
        text = chat(self.pipe.tokenizer, prompt, enable_thinking=False)
        return PromptEmbedding(
            tokens=tokens, truncated_tokens=truncated_tokens(text, [(self.pipe.tokenizer, MAX_TOKENS)])
        )

    def is_guided(self, request: GenerationRequest) -> bool:
        return super().is_guided(request) and not self.pipe.config.is_distilled

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        side = self.size_multiple
        return int(self.denoiser.config.in_channels), height // side, width // side

    def mu(self, request: GenerationRequest) -> float:
        # Here, because this module takes a second to import and is not needed for other families.
        from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu

        _, height, width = self.latent_shape(request.width, request.height)
        return float(compute_empirical_mu(image_seq_len=height * width, num_steps=request.steps))

    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        return {"encoder_hidden_states": repeat_prompts([prompt.tokens for prompt in prompts], request.count)}

    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        tokens = latent_rows(runs).flatten(2).mT.to(self.denoiser.dtype)
        inputs = {"hidden_states": tokens, "timestep": timestep_rows(runs).to(self.device) / 1000, **join_inputs(runs)}
        _, _, height, width = runs[0].latents.shape
        length = inputs["encoder_hidden_states"].shape[1]
        # Four axes: time, row, column, and the position in the text.
        text_ids = torch.zeros(length, 4, device=self.device)
        text_ids[:, 3] = torch.arange(length, device=self.device)
        image_ids = torch.nn.functional.pad(position_ids(height, width, device=self.device), (0, 1))
        shared = {"guidance": None, "txt_ids": text_ids, "img_ids": image_ids}
        return DenoiserCall(rows=len(tokens), inputs=inputs, shared=shared)

    def combine(self, run: RunningRequest, outputs: Sequence[Any]) -> torch.Tensor:
        _, _, height, width = run.latents.shape
        return super().combine(run, outputs).mT.unflatten(2, (height, width))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self.pipe.vae
        mean = vae.bn.running_mean.view(1, -1, 1, 1).to(latents)
        std = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1).to(latents) + vae.config.batch_norm_eps)
        patches = latents * std + mean
        rows, channels, height, width = patches.shape
        whole = patches.view(rows, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
        pixels: torch.Tensor = vae.decode(
            whole.reshape(rows, channels // 4, 2 * height, 2 * width).to(vae.dtype), return_dict=False
        )[0]
        return pixels
