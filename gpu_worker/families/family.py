"""What the engine must know about a family of models, and what most families have in common.

The engine (gpu_worker.continuous_batching) owns the loop: who joins, which calls are shared and split, who fails, when
images are decoded. A family owns everything that differs between models: how prompts become tensors, the noise and the
schedule that a request begins with, the arguments of its denoiser, and how predictions and latents are read.

All latents are float32, as an image (count, channels, height, width), in every family: a family that packs them for its
denoiser does so in `call` and undoes it in `combine`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from guilds import prompt_weights
from guilds.model_families import ModelFamily

from ..adapters.low_rank import Mix
from ..denoiser_arguments import DenoiserCall, join
from ..engine import GenerationRequest
from ..inpainting import KeptArea, add_noise, latent_mask
from . import latent_codec
from .schedulers import SchedulerFactory


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEmbedding:
    """One prompt as its family's denoiser reads it. `truncated_tokens` of it were left out.

    `tokens` (1, length, width); `pooled` (1, width) and `mask` (1, length; true where there is text) where the family
    has them.
    """

    tokens: torch.Tensor
    pooled: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    truncated_tokens: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class RunningRequest:
    """A request inside the batch. Its rows are those of the negative prompt, then those of the prompt."""

    request: GenerationRequest
    scheduler: Any
    timesteps: torch.Tensor
    latents: torch.Tensor  # (count, channels, height, width), float32, as its scheduler scales them
    prompts: tuple[PromptEmbedding, ...]  # with guidance the negative one first
    inputs: Mapping[str, Any]  # the denoiser's arguments that stay the same at each step, a value for each row
    step_kwargs: Mapping[str, Any]
    steps_done: int = 0
    gpu_s: float = 0.0
    predicted_original: torch.Tensor | None = None  # the finished latents, as predicted at the last step
    carried: dict[str, torch.Tensor] = field(default_factory=dict)  # what a family keeps from step to step, by row
    mix: Mix = ()  # the adapters of its rows
    kept: KeptArea | None = None  # what stays of its source, of a request with a mask

    @property
    def is_guided(self) -> bool:
        return len(self.prompts) > 1

    @property
    def rows(self) -> int:
        return self.request.count * len(self.prompts)

    @property
    def timestep(self) -> torch.Tensor:
        return self.timesteps[self.steps_done]

    @property
    def truncated_tokens(self) -> int:
        return sum(prompt.truncated_tokens for prompt in self.prompts)


class Family(ABC):
    """One loaded pipeline of a family. All methods belong to the engine's thread, under torch.inference_mode()."""

    info: ClassVar[ModelFamily]
    reads_weights: ClassVar[bool] = False  # whether `encode` reads weights of words (guilds.prompt_weights)
    can_compile: bool = True  # whether all inputs of a call are tensors of one shape a row

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.denoiser: Any = self._denoiser()
        self.forward: Callable[..., Any] = self.denoiser
        self.schedulers = SchedulerFactory(pipe.scheduler, predicts=self.info.predicts)

    @classmethod
    def serves(cls, pipe: Any) -> bool:
        """Whether requests can share this pipeline's steps."""
        return type(pipe).__name__ in cls.info.pipelines

    def _denoiser(self) -> Any:
        return self.pipe.transformer

    @property
    def device(self) -> torch.device:
        device: torch.device = self.denoiser.device
        return device

    @property
    def size_multiple(self) -> int:
        """Width and height in pixels must be multiples of this."""
        return int(self.pipe.vae_scale_factor) * 2

    @property
    def native_side(self) -> int:
        """The side of the model's own square images, in pixels."""
        return int(self.pipe.default_sample_size * self.pipe.vae_scale_factor)

    # -- a request begins

    @abstractmethod
    def encode_prompt(self, prompt: str, *, is_negative: bool) -> PromptEmbedding:
        """Return one prompt's embedding."""

    def encode(self, prompt: str, negative: str | None) -> tuple[PromptEmbedding, ...]:
        """Return the embeddings of a request: the negative prompt's first, where there is guidance."""
        positive = self.encode_prompt(prompt, is_negative=False)
        return (positive,) if negative is None else (self.encode_prompt(negative, is_negative=True), positive)

    def is_guided(self, request: GenerationRequest) -> bool:
        """Whether the request needs rows for a negative prompt."""
        return request.guidance > 1

    @abstractmethod
    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the latents of an image of this size in pixels."""

    @abstractmethod
    def prompt_inputs(self, request: GenerationRequest, prompts: Sequence[PromptEmbedding]) -> dict[str, Any]:
        """Return the denoiser's arguments that stay the same at each step, a value for each of the request's rows."""

    def schedule(self, scheduler: Any, request: GenerationRequest) -> None:
        """Set the scheduler's timesteps for the request, on the CPU: indexing them there never waits for the GPU."""
        scheduler.set_timesteps(request.steps, device="cpu")

    def begin(self, request: GenerationRequest) -> RunningRequest:
        """Return the request as it enters the batch, with its own noise and scheduler. Raise KeyError (sampler)."""
        scheduler = self.schedulers.make(request.sampler)
        self.schedule(scheduler, request)
        start = 0
        if request.source is not None:
            skipped = request.steps - max(1, min(int(request.steps * request.strength), request.steps))
            start = skipped * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start)
        timesteps = scheduler.timesteps[start:]
        # Seeded on the CPU, so that a seed gives the same noise on every GPU.
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in request.seeds]
        shape = (1, *self.latent_shape(request.width, request.height))
        noise = torch.cat([torch.randn(shape, generator=generator) for generator in generators]).to(self.device)
        latents, kept = self._first_latents(request, scheduler, timesteps, noise)
        read = str if self.reads_weights else prompt_weights.plain
        negative = read(request.negative_prompt) if self.is_guided(request) else None
        prompts = self.encode(read(request.prompt), negative)
        accepted = inspect.signature(scheduler.step).parameters
        step_kwargs: dict[str, Any] = {"eta": 0.0, "generator": generators}
        return RunningRequest(
            request=request,
            scheduler=scheduler,
            timesteps=timesteps,
            latents=latents,
            prompts=prompts,
            inputs=self.prompt_inputs(request, prompts),
            step_kwargs={name: value for name, value in step_kwargs.items() if name in accepted},
            kept=kept,
        )

    def _first_latents(
        self, request: GenerationRequest, scheduler: Any, timesteps: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, KeptArea | None]:
        """Return the latents that the request begins with, and what stays of its source, None without a mask."""
        only_noise = noise * getattr(scheduler, "init_noise_sigma", 1.0)
        if request.source is None:
            return only_noise, None
        encoded = self._encode_source(request)
        begin = timesteps[:1]
        latents = add_noise(scheduler, encoded, noise, begin)
        if request.mask is None:
            return latents, None
        if request.strength >= 1:
            # Even the highest level of noise shows something of what is below it.
            latents = only_noise
        painted = latent_mask(request.mask, *noise.shape[2:]).to(self.device)
        kept = KeptArea(latents=encoded, noise=noise, painted=painted)
        return kept.put_back(latents, scheduler, begin), kept

    def _encode_source(self, request: GenerationRequest) -> torch.Tensor:
        assert request.source is not None  # noqa: S101  # the caller checked it
        source = request.source
        if source.size != (request.width, request.height):
            source = source.resize((request.width, request.height), Image.Resampling.LANCZOS)
        pixels = torch.from_numpy(np.asarray(source.convert("RGB")).copy()).permute(2, 0, 1)[None]
        return self.encode_image(pixels.to(self.device) / 127.5 - 1)

    # -- a step

    def key(self, run: RunningRequest) -> Hashable:
        """Return what must be equal for requests to share a call."""
        inputs = tuple(_shapes(value) for value in run.inputs.values())
        return (tuple(run.latents.shape[1:]), inputs)

    @abstractmethod
    def call(self, runs: Sequence[RunningRequest]) -> DenoiserCall:
        """Return the arguments of the denoiser for all rows of the requests, which have equal keys."""

    @abstractmethod
    def combine(self, run: RunningRequest, outputs: Sequence[Any]) -> torch.Tensor:
        """Return the prediction for the request's latents, in float32, from what the denoiser returned for its rows."""

    # -- the end

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pixels (n, 3, height, width), -1 to 1, of finished latents."""
        return latent_codec.decode(self.pipe.vae, latents)

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return latents (1, channels, height, width) of pixels (1, 3, height, width), -1 to 1."""
        return latent_codec.encode(self.pipe.vae, pixels)

    # -- for adapters (gpu_worker.adapters)

    def forward_of(self, denoiser: Any) -> Callable[..., Any]:
        """Return what `forward` is, for a twin of the denoiser."""
        forward: Callable[..., Any] = denoiser
        return forward

    def use_text_variant(self, variant: Hashable) -> None:  # noqa: B027  # nothing to note where none are kept
        """Note what embeddings depend on beside the prompt, where a family keeps embeddings."""

    # -- for the engine's start

    def prepare(self) -> None:
        """Change the modules' memory layout for their device, where they compute faster so."""
        # Also on a CPU: the demo's decoder takes half the time.
        self.pipe.vae.to(memory_format=torch.channels_last)

    def example_call(self, rows: int) -> DenoiserCall:
        """Return a call of `rows` rows of the model's own size, as requests have it."""
        request = GenerationRequest(
            id=0,
            prompt="a house",
            seed=0,
            count=rows,
            steps=2,
            sampler=next(iter(self.info.samplers)),
            guidance=0.0,
            width=self.native_side,
            height=self.native_side,
        )
        with torch.inference_mode():
            return self.call([self.begin(request)])


def latent_rows(runs: Sequence[RunningRequest]) -> torch.Tensor:
    """Return the latents of all rows (rows, channels, height, width): a request's once for each of its prompts."""
    return torch.cat([run.latents.repeat(len(run.prompts), 1, 1, 1) for run in runs])


def timestep_rows(runs: Sequence[RunningRequest]) -> torch.Tensor:
    """Return the timestep of each row, in float32 on the CPU."""
    return torch.cat([run.timestep.float().repeat(run.rows) for run in runs])


def join_inputs(runs: Sequence[RunningRequest]) -> dict[str, Any]:
    """Return the constant arguments of all rows, by name."""
    return {name: _join([run.inputs[name] for run in runs]) for name in runs[0].inputs}


def repeat_prompts(prompts: Sequence[torch.Tensor | None], count: int) -> torch.Tensor:
    """Return one tensor of all prompts, each `count` times: a row for each image."""
    rows = [prompt.expand(count, *prompt.shape[1:]) for prompt in prompts if prompt is not None]
    return torch.cat(rows)


def masked_inputs(prompts: Sequence[PromptEmbedding], count: int) -> dict[str, Any]:
    """Return the prompts and their masks as denoisers name them that read both, a row for each image."""
    return {
        "encoder_hidden_states": repeat_prompts([prompt.tokens for prompt in prompts], count),
        "encoder_attention_mask": repeat_prompts([prompt.mask for prompt in prompts], count),
    }


def guide(predicted: torch.Tensor, guidance: float) -> torch.Tensor:
    """Return the classifier-free guidance of predictions whose first half belongs to the negative prompt."""
    negative, positive = predicted.chunk(2)
    return negative + guidance * (positive - negative)


def _join(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Mapping):
        return {name: join([value[name] for value in values]) for name in values[0]}
    return join(values)


def _shapes(value: Any) -> object:
    if isinstance(value, Mapping):
        return tuple(_shapes(tensor) for tensor in value.values())
    return tuple(value.shape[1:])
