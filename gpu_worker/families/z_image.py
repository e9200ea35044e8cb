"""Z-Image: its transformer takes lists, so that even requests of different sizes and prompt lengths share a call."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch

from guilds.model_families import FAMILIES

from ..denoiser_arguments import DenoiserCall
from ..engine import GenerationRequest
from .family import PromptEmbedding, RunningRequest, latent_rows, timestep_rows
from .flow import FlowFamily
from .prompt_tokens import chat, truncated_tokens

MAX_TOKENS = 512


class ZImage(FlowFamily):
    info = FAMILIES["z-image"]
    can_compile = False  # inputs are lists

    @property
    def native_side(self) -> int:
        return 1024

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        scale = int(self.pipe.vae_scale_factor)
        return int(self.denoiser.in_channels), height // scale, width // scale

    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        (tokens,), _ = self.pipe.encode_prompt(
            prompt, do_classifier_free_guidance=False, max_sequence_length=MAX_TOKENS
        )
        text = chat(self.pipe.tokenizer, prompt, enable_thinking=True)
        return PromptEmbedding(
            tokens=tokens[None], truncated_tokens=truncated_tokens(text, [(self.pipe.tokenizer, MAX_TOKENS)])
        )

    def is_guided(self, request: GenerationRequest) -> bool:
        # Its guidance is what is added to the prompt's prediction: none is 0, not 1.
        return request.guidance > 0

    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        return {"cap_feats": [prompt.tokens[0] for prompt in prompts for _ in request.seeds]}

    def key(self, run: RunningRequest) -> Hashable:
        return None

    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        images = [image for run in runs for image in latent_rows([run]).to(self.denoiser.dtype).unsqueeze(2)]
        inputs: dict[str, Any] = {
            "x": images,
            "t": ((1000 - timestep_rows(runs)) / 1000).to(self.device),
            "cap_feats": [tokens for run in runs for tokens in run.inputs["cap_feats"]],
        }
        return DenoiserCall(rows=len(images), inputs=inputs)

    def combine(self, run: RunningRequest, outputs: Sequence[Any]) -> torch.Tensor:
        predicted = torch.stack(list(outputs[0])).float().squeeze(2)
        if run.is_guided:
            negative, positive = predicted.chunk(2)
            predicted = positive + run.request.guidance * (positive - negative)
        return -predicted
