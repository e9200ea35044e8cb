"""Qwen-Image: prompts of different lengths are padded and masked, and the guided prediction keeps its norm."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch

from guilds.model_families import FAMILIES

from ..denoiser_arguments import DenoiserCall
from ..engine import GenerationRequest
from . import latent_codec
from .family import PromptEmbedding, RunningRequest, latent_rows, timestep_rows
from .flow import PackedFlowFamily, guide_keeping_norm, pack, unpack
from .prompt_tokens import truncated_tokens


class QwenImage(PackedFlowFamily):
    info = FAMILIES["qwen-image"]
    can_compile = False  # the shapes of images are Python lists

    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        tokens, _ = self.pipe.encode_prompt(prompt)
        longest = self.pipe.tokenizer_max_length + self.pipe.prompt_template_encode_start_idx
        text = self.pipe.prompt_template_encode.format(prompt)
        return PromptEmbedding(tokens=tokens, truncated_tokens=truncated_tokens(text, [(self.pipe.tokenizer, longest)]))

    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        return {"encoder_hidden_states": [prompt.tokens[0] for prompt in prompts for _ in request.seeds]}

    def key(self, run: RunningRequest) -> Hashable:
        return tuple(run.latents.shape[1:])

    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        tokens = pack(latent_rows(runs)).to(self.denoiser.dtype)
        prompts = [prompt for run in runs for prompt in run.inputs["encoder_hidden_states"]]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        inputs: dict[str, Any] = {
            "hidden_states": tokens,
            "timestep": timestep_rows(runs).to(self.device) / 1000,
            "encoder_hidden_states": torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True),
        }
        longest = inputs["encoder_hidden_states"].shape[1]
        if any(len(prompt) < longest for prompt in prompts):
            inputs["encoder_hidden_states_mask"] = torch.arange(longest, device=self.device) < lengths[:, None]
        _, _, height, width = runs[0].latents.shape
        shapes = [[(1, height // 2, width // 2)]] * len(tokens)
        return DenoiserCall(rows=len(tokens), inputs=inputs, shared={"img_shapes": shapes})

    def combine(self, run: RunningRequest, outputs: Sequence[Any]) -> torch.Tensor:
        predicted = outputs[0].float()
        if run.is_guided:
            predicted = guide_keeping_norm(predicted, run.request.guidance)
        _, _, height, width = run.latents.shape
        return unpack(predicted, height, width)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        # Its VAE is one for video: an image is one frame.
        return latent_codec.decode(self.pipe.vae, latents.unsqueeze(2))[:, :, 0]

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return latent_codec.encode(self.pipe.vae, pixels.unsqueeze(2))[:, :, 0]
