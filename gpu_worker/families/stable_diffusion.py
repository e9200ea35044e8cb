"""Stable Diffusion 1 and 2, SDXL and LCM: a UNet that reads CLIP's embeddings, with chunks for long prompts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

from guilds.model_families import FAMILIES

from ..deepcache import FULL_CALL_INTERVAL, DeepCache
from ..denoiser_arguments import DenoiserCall
from ..engine import GenerationRequest
from .clip_prompts import PromptEncoder
from .family import Family, PromptEmbedding, RunningRequest, guide, join_inputs, repeat_prompts, timestep_rows


class StableDiffusion(Family):
    info = FAMILIES["stable-diffusion"]
    reads_weights = True

    def __init__(self, pipe: Any, *, use_deepcache: bool = False) -> None:
        """`use_deepcache` runs most steps by gpu_worker.deepcache; a UNet that cannot do that runs without."""
        super().__init__(pipe)
        self._prompts = PromptEncoder(pipe)
        self._is_lcm = self.denoiser.config.time_cond_proj_dim is not None
        self._use_deepcache = use_deepcache and len(self.denoiser.up_blocks) > 1
        if self._use_deepcache:
            self.forward = DeepCache(self.denoiser)
            self.can_compile = False

    @classmethod
    def serves(cls, pipe: Any) -> bool:
        # The UNet must take latents, text and nothing else: not the masks of inpainting checkpoints.
        return super().serves(pipe) and pipe.unet.config.in_channels == pipe.vae.config.latent_channels

    def _denoiser(self) -> Any:
        return self.pipe.unet

    @property
    def size_multiple(self) -> int:
        return int(self.pipe.vae_scale_factor)

    @property
    def native_side(self) -> int:
        return int(self.denoiser.config.sample_size * self.pipe.vae_scale_factor)

    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        return self._prompts.encode(prompt)

    def encode(self, prompt: str, negative: str | None) -> tuple[PromptEmbedding, ...]:
        if negative is None:
            # A negative prompt that is not used must not make the prompt's embedding longer.
            return (self._prompts.encode(prompt),)
        positive, other = self._prompts.encode_pair(prompt, negative)
        return other, positive

    def is_guided(self, request: GenerationRequest) -> bool:
        return super().is_guided(request) and not self._is_lcm

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        scale = self.pipe.vae_scale_factor
        return self.denoiser.config.in_channels, height // scale, width // scale

    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        rows = request.count * len(prompts)
        inputs: dict[str, Any] = {
            "encoder_hidden_states": repeat_prompts([prompt.tokens for prompt in prompts], request.count)
        }
        if prompts[0].pooled is not None:
            height, width = float(request.height), float(request.width)
            ids = torch.tensor([[height, width, 0.0, 0.0, height, width]], device=self.device)
            inputs["added_cond_kwargs"] = {
                "text_embeds": repeat_prompts([prompt.pooled for prompt in prompts], request.count),
                "time_ids": ids.expand(rows, -1).to(self.denoiser.dtype),
            }
        if self._is_lcm:
            scale = torch.tensor([request.guidance - 1.0]).repeat(rows)
            embedding = self.pipe.get_guidance_scale_embedding(
                scale, embedding_dim=self.denoiser.config.time_cond_proj_dim
            )
            inputs["timestep_cond"] = embedding.to(self.device, self.denoiser.dtype)
        return inputs

    def key(self, run: RunningRequest) -> Hashable:
        return super().key(run), _is_shallow(run)

    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        scaled = [run.scheduler.scale_model_input(run.latents, run.timestep) for run in runs]
        sample = torch.cat(
            [latents.repeat(len(run.prompts), 1, 1, 1) for latents, run in zip(scaled, runs, strict=True)]
        ).to(self.denoiser.dtype)
        if self.device.type == "cuda":
            sample = sample.to(memory_format=torch.channels_last)
        inputs = {"sample": sample, "timestep": timestep_rows(runs).to(self.device), **join_inputs(runs)}
        if _is_shallow(runs[0]):
            inputs["deep_features"] = torch.cat([run.carried["deep_features"] for run in runs])
        return DenoiserCall(rows=len(sample), inputs=inputs)

    def combine(self, run: RunningRequest, outputs: Sequence[Any]) -> torch.Tensor:
        predicted, *deep_features = outputs
        if deep_features:
            run.carried["deep_features"] = deep_features[0]
        predicted = predicted.float()
        return guide(predicted, run.request.guidance) if run.is_guided else predicted

    def forward_of(self, denoiser: Any) -> Callable[..., Any]:
        return DeepCache(denoiser) if self._use_deepcache else super().forward_of(denoiser)

    def use_text_variant(self, variant: Hashable) -> None:
        self._prompts.variant = variant

    def prepare(self) -> None:
        super().prepare()
        if self.device.type != "cuda":
            return
        self.denoiser.to(memory_format=torch.channels_last)
        if not any("Added" in type(processor).__name__ for processor in self.denoiser.attn_processors.values()):
            self.denoiser.fuse_qkv_projections()
        if (
            self.denoiser.dtype == torch.float16
            and "XL" in type(self.pipe).__name__
            and self.pipe.vae.config.get("force_upcast", False)
        ):
            # SDXL's own decoder overflows in fp16.
            self.pipe.vae.to(torch.float32)


def _is_shallow(run: RunningRequest) -> bool:
    """Whether the next call needs the UNet's outermost blocks only."""
    return "deep_features" in run.carried and run.steps_done % FULL_CALL_INTERVAL != 0
