"""Continuous batching by the step: requests share the UNet's call at each step and nothing else.

Each request keeps its own scheduler, timestep, guidance and noise, so requests with different prompts, steps, samplers
and guidance join and leave one running batch at any step. On the CPU in float32 the latents of a request in a batch
match those it has alone within 1e-4 (tests/worker/test_continuous_batching.py); finished images differ by at most one
level of 255. In fp16 the same seed gives an image that looks the same.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from guilds.samplers import SAMPLERS

from .batch_policy import slices
from .compilation import Call, Compiled
from .deepcache import EVERY, DeepCache
from .engine import Cancelled, Completed, EngineBroken, Event, Failed, GenerationRequest, StepDone
from .error_isolation import device_works, failure, isolated, raise_if_broken, require_finite
from .errors import NotFinite, is_out_of_memory
from .prompt_encoding import PromptEncoder

log = logging.getLogger(__name__)
PREVIEW_PX = 256


@dataclass(slots=True, kw_only=True, eq=False)
class RunningRequest:
    """A request inside the batch. `latents` (count, channels, height, width), float32, as its scheduler scales them."""

    request: GenerationRequest
    scheduler: Any
    timesteps: torch.Tensor
    latents: torch.Tensor
    embeddings: torch.Tensor  # (rows, length, width): the negative's first when guided
    added: dict[str, torch.Tensor]
    timestep_cond: torch.Tensor | None
    guided: bool
    extra: dict[str, Any]
    truncated_tokens: int
    done: int = 0
    gpu_s: float = 0.0
    original: torch.Tensor | None = None  # the picture as predicted at the last step, in latents
    deep: torch.Tensor | None = None  # a row for each of the last full call, where the profile caches steps

    @property
    def rows(self) -> int:
        return self.request.count * (2 if self.guided else 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """What must be equal for rows to stand in one tensor."""
        return (*self.latents.shape[1:], *self.embeddings.shape[1:], self.timestep_cond is not None, self.shallow)

    @property
    def shallow(self) -> bool:
        """Whether the next call needs the UNet's outermost blocks only."""
        return self.deep is not None and self.done % EVERY != 0


class ContinuousBatchEngine:
    """Implements gpu_worker.engine.Engine. All methods but `cancel` belong to one thread."""

    def __init__(
        self,
        pipe: Any,
        *,
        model: str,
        scheduler_for: Callable[[str], Any],
        largest: int,
        room: float,
        compiled: Compiled | None = None,
        cached: bool = False,
    ) -> None:
        """`scheduler_for` makes a fresh scheduler for a sampler's name, or raises KeyError; `largest` rows a call.

        `compiled` is used as soon as it is ready. `cached` runs most steps by gpu_worker.deepcache instead.
        """
        self._pipe = pipe
        self._unet = pipe.unet
        self._forward: Callable[..., Any] = pipe.unet
        self._compiled = None if cached else compiled
        self._cache = DeepCache(pipe.unet) if cached else None
        self._prompts = PromptEncoder(pipe)
        self._scheduler_for = scheduler_for
        self._largest = largest
        self._decode_largest = 4
        self._device = pipe.unet.device
        self._inside: list[RunningRequest] = []
        self._arriving: list[GenerationRequest] = []
        self._leaving: set[int] = set()
        self._paced: Any = None
        self.model = model
        self.device = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else self._device.type
        self.memory_bytes = parameter_bytes(pipe)
        self.room = room

    @property
    def load(self) -> float:
        return sum(run.request.weight for run in self._inside) + sum(each.weight for each in self._arriving)

    def admit(self, request: GenerationRequest) -> None:
        self._arriving.append(request)

    def cancel(self, request_id: int) -> None:
        self._leaving.add(request_id)

    def probe(self) -> None:
        with torch.inference_mode():
            if not device_works(self._device):
                raise EngineBroken("the card does not compute")
        self._begin_compiling()

    def close(self) -> None:
        if self._compiled is not None:
            self._compiled.stop()
        self._inside.clear()
        self._arriving.clear()
        del self._pipe, self._unet, self._forward, self._prompts, self._cache, self._compiled
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def advance(self, emit: Callable[[Event], None]) -> None:
        with torch.inference_mode():
            self._drop_cancelled(emit)
            self._admit_pending(emit)
            began = time.perf_counter()
            for group in _groups(self._inside):
                self._step(group, emit)
            try:
                self._sync_previous_step()
            except RuntimeError as error:
                # A kernel of an earlier step failed; whose it was cannot be told any more.
                raise_if_broken(error, device=self._device)
                raise
            self._attribute_gpu_time(time.perf_counter() - began)
            for run in self._inside:
                emit(self._stepped(run))
            for run in [run for run in self._inside if run.done >= len(run.timesteps)]:
                made = isolated(run.request, partial(self._made, run), device=self._device)
                self._inside.remove(run)
                emit(made)
                self._begin_compiling()

    def compiled_within(self, seconds: float) -> bool:
        """Wait until calls are compiled, or never will be; False when that took longer."""
        self._begin_compiling()
        return self._compiled is None or self._compiled.finished.wait(seconds)

    def _begin_compiling(self) -> None:
        """Not before the first pictures, or ten idle seconds: who waits for a cold worker waits for no compiler."""
        if self._compiled is not None:
            self._compiled.begin()

    # -- joining and leaving

    def _drop_cancelled(self, emit: Callable[[Event], None]) -> None:
        leaving = set()
        while self._leaving:
            leaving.add(self._leaving.pop())
        for run in [run for run in self._inside if run.request.id in leaving]:
            self._inside.remove(run)
            emit(Cancelled(id=run.request.id, gpu_ms=round(1000 * run.gpu_s)))
        for request in [request for request in self._arriving if request.id in leaving]:
            self._arriving.remove(request)
            emit(Cancelled(id=request.id, gpu_ms=0))

    def _admit_pending(self, emit: Callable[[Event], None]) -> None:
        arriving, self._arriving = self._arriving, []
        for request in arriving:
            if wrong := self._wrong(request):
                emit(wrong)
                continue
            run = isolated(request, partial(self._begin, request), device=self._device)
            if isinstance(run, Failed):
                emit(run)
            else:
                self._inside.append(run)

    def _wrong(self, request: GenerationRequest) -> Failed | None:
        scale = self._pipe.vae_scale_factor
        if request.width % scale or request.height % scale:
            detail = f"{request.width}x{request.height} is not in steps of {scale}"
            return Failed(id=request.id, reason="size_not_possible", detail=detail)
        if request.sampler not in SAMPLERS:
            return Failed(id=request.id, reason="sampler_unknown", detail=request.sampler)
        return None

    def _begin(self, request: GenerationRequest) -> RunningRequest:
        scheduler = self._scheduler_for(request.sampler)
        # On the CPU: indexing schedules there never waits for the card.
        scheduler.set_timesteps(request.steps, device="cpu")
        start = 0
        if request.source is not None:
            kept = request.steps - max(1, min(int(request.steps * request.strength), request.steps))
            start = kept * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start)
        timesteps = scheduler.timesteps[start:]
        # Seeded on the CPU, so that a seed means the same on every card.
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in request.seeds]
        latents = self._latents(request, scheduler, timesteps, generators)

        lcm = self._unet.config.time_cond_proj_dim is not None
        guided = request.guidance > 1 and not lcm
        if guided:
            positive, negative = self._prompts.pair(request.prompt, request.negative_prompt)
            parts = [negative, positive]
        else:
            # A negative prompt that is not read must not make the prompt's embedding longer.
            positive = self._prompts.single(request.prompt)
            parts = [positive]
        count = request.count
        added: dict[str, torch.Tensor] = {}
        if positive.pooled is not None:
            height, width = float(request.height), float(request.width)
            ids = torch.tensor([[height, width, 0.0, 0.0, height, width]], device=self._device)
            added = {
                "text_embeds": torch.cat([part.pooled.expand(count, -1) for part in parts if part.pooled is not None]),
                "time_ids": ids.expand(count * len(parts), -1).to(self._unet.dtype),
            }
        accepts = inspect.signature(scheduler.step).parameters
        extra: dict[str, Any] = {}
        if "eta" in accepts:
            extra["eta"] = 0.0
        if "generator" in accepts:
            extra["generator"] = generators
        return RunningRequest(
            request=request,
            scheduler=scheduler,
            timesteps=timesteps,
            latents=latents,
            embeddings=torch.cat([part.tokens.expand(count, -1, -1) for part in parts]),
            added=added,
            timestep_cond=self._guidance_embedding(request) if lcm else None,
            guided=guided,
            extra=extra,
            truncated_tokens=sum(part.cut for part in parts),
        )

    def _latents(
        self, request: GenerationRequest, scheduler: Any, timesteps: torch.Tensor, generators: list[torch.Generator]
    ) -> torch.Tensor:
        scale = self._pipe.vae_scale_factor
        shape = (1, self._unet.config.in_channels, request.height // scale, request.width // scale)
        noise = torch.cat([torch.randn(shape, generator=generator) for generator in generators]).to(self._device)
        if request.source is None:
            return noise * scheduler.init_noise_sigma
        source = request.source
        if source.size != (request.width, request.height):
            source = source.resize((request.width, request.height), Image.Resampling.LANCZOS)
        begin = timesteps[:1].repeat(request.count)
        latents: torch.Tensor = scheduler.add_noise(self._encode(source).expand_as(noise), noise, begin)
        return latents

    def _encode(self, source: Image.Image) -> torch.Tensor:
        """Return the picture as latents (1, channels, height, width), in float32."""
        vae = self._pipe.vae
        picture = source.convert("RGB")
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].to(self._device, vae.dtype)
        out = vae.encode(pixels / 127.5 - 1)
        latents = out.latent_dist.mode() if hasattr(out, "latent_dist") else out.latents
        mean, std = _latent_stats(vae, latents)
        latents = latents.float()
        factor = vae.config.scaling_factor
        return (latents - mean) * factor / std if std is not None else latents * factor

    def _guidance_embedding(self, request: GenerationRequest) -> torch.Tensor:
        scale = torch.tensor([request.guidance - 1.0]).repeat(request.count)
        width = self._unet.config.time_cond_proj_dim
        embedding: torch.Tensor = self._pipe.get_guidance_scale_embedding(scale, embedding_dim=width)
        return embedding.to(self._device, self._unet.dtype)

    # -- one step

    def _step(self, group: list[RunningRequest], emit: Callable[[Event], None]) -> None:
        inputs = {}
        for run in group:
            scaled = isolated(run.request, partial(self._input, run), device=self._device)
            if isinstance(scaled, Failed):
                self._fail(run, scaled, emit)
            else:
                inputs[run] = scaled
        group = list(inputs)
        if not group:
            return
        try:
            rows = torch.cat(list(inputs.values())).to(self._unet.dtype)
            if self._device.type == "cuda":
                rows = rows.to(memory_format=torch.channels_last)
            times = torch.cat([run.timesteps[run.done].float().repeat(run.rows) for run in group])
            noise, deep = self._predict(rows, times.to(self._device), group)
        except Exception as error:
            raise_if_broken(error, device=self._device)
            # Of memory not even one row fits: the heaviest request goes, the others get its room.
            heaviest = max(group, key=lambda run: run.request.weight)
            cause = heaviest if is_out_of_memory(error) else group[0] if len(group) == 1 else None
            failed = None if cause is None else failure(cause.request, error, device=self._device)
        else:
            rows_of = [run.rows for run in group]
            deeps = [None] * len(group) if deep is None else deep.split(rows_of)
            for run, part, kept in zip(group, noise.float().split(rows_of), deeps, strict=True):
                done = isolated(run.request, partial(self._move, run, part, kept), device=self._device)
                if isinstance(done, Failed):
                    self._fail(run, done, emit)
            return
        # Outside of the handler: the exception's frames hold the tensors that did not fit.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if cause is not None and failed is not None:
            self._fail(cause, failed, emit)
            return
        # One of them broke the call for all: each gets a call of its own, and the culprit fails alone.
        for run in group:
            self._step([run], emit)

    def _input(self, run: RunningRequest) -> torch.Tensor:
        """Return the run's rows as its scheduler scales them for the UNet."""
        scaled = run.scheduler.scale_model_input(run.latents, run.timesteps[run.done])
        rows: torch.Tensor = scaled.repeat(run.rows // run.request.count, 1, 1, 1)
        return rows

    def _move(self, run: RunningRequest, predicted: torch.Tensor, deep: torch.Tensor | None) -> None:
        """Take one step with the UNet's prediction for the run's rows. Raise NotFinite."""
        if deep is not None:
            run.deep = deep
        if run.guided:
            without, towards = predicted.chunk(2)
            predicted = without + run.request.guidance * (towards - without)
        out = run.scheduler.step(predicted, run.timesteps[run.done], run.latents, **run.extra)
        run.latents = out.prev_sample
        run.original = _predicted_original(run.scheduler, out)
        run.done += 1
        # Not at every step, since it waits for the card. What is not finite stays so: it is found at the end too.
        if run.done in (1, len(run.timesteps) // 2):
            require_finite(run.latents, f"the latents after step {run.done}")

    def _fail(self, run: RunningRequest, failed: Failed, emit: Callable[[Event], None]) -> None:
        self._inside.remove(run)
        emit(failed)

    def _predict(
        self, rows: torch.Tensor, times: torch.Tensor, group: list[RunningRequest]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the UNet's prediction for all rows, in as few calls as memory allows; halves them when it runs out.

        Second come the deep features to keep, where steps are cached and this one was full.
        """
        embeddings = torch.cat([run.embeddings for run in group])
        added = {name: torch.cat([run.added[name] for run in group]) for name in group[0].added}
        conds = [run.timestep_cond for run in group if run.timestep_cond is not None]
        cond = torch.cat(conds) if conds else None
        kept = torch.cat([run.deep for run in group if run.deep is not None]) if group[0].shallow else None
        largest = self._largest
        while True:
            try:
                made = [
                    self._call(
                        Call(
                            sample=rows[part],
                            times=times[part],
                            states=embeddings[part],
                            cond=None if cond is None else cond[part],
                            added={name: tensor[part] for name, tensor in added.items()},
                        ),
                        kept=None if kept is None else kept[part],
                    )
                    for part in slices(len(rows), largest=largest)
                ]
                deep = [each for _, each in made if each is not None]
                return torch.cat([noise for noise, _ in made]), torch.cat(deep) if deep else None
            except torch.OutOfMemoryError:
                if largest <= 1:
                    raise
                largest = max(1, min(largest, len(rows)) // 2)
                if self._compiled is None or not self._compiled.busy:
                    # Memory that the compiler used is free again later; otherwise this is the GPU's limit from now on.
                    self._largest = largest
                    self.room = max(1.0, self.room / 2)
                log.warning("out_of_memory", extra={"rows": len(rows), "largest_now": largest})
            # Outside of the handler: the exception's frames hold the tensors that did not fit.
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _call(self, call: Call, *, kept: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self._cache is not None:
            given: dict[str, Any] = {
                "encoder_hidden_states": call.states,
                "timestep_cond": call.cond,
                "added_cond_kwargs": call.added or None,
            }
            if kept is not None:
                return self._cache.shallow(call.sample, call.times, kept, **given), None
            return self._cache.full(call.sample, call.times, **given)
        noise = self._compiled.call(call) if self._compiled is not None else None
        return call.by(self._forward) if noise is None else noise, None

    def _sync_previous_step(self) -> None:
        """Wait for the step before this one: the card always has work queued, and cancelling is late by one step."""
        if self._device.type != "cuda":
            return
        before, self._paced = self._paced, torch.cuda.Event()
        self._paced.record()
        if before is not None:
            before.synchronize()

    def _attribute_gpu_time(self, seconds: float) -> None:
        total = sum(run.request.weight for run in self._inside)
        for run in self._inside:
            run.gpu_s += seconds * run.request.weight / total

    # -- what comes out

    def _stepped(self, run: RunningRequest) -> StepDone:
        total = len(run.timesteps)
        preview = None
        if run.request.preview and run.done == total // 2 and run.original is not None:
            decoded = isolated(run.request, partial(self._decode, run.original[:1]), device=self._device)
            # An unfinished image that cannot be decoded says nothing about the finished one.
            if not isinstance(decoded, Failed):
                preview = decoded[0]
                preview.thumbnail((PREVIEW_PX, PREVIEW_PX))
        return StepDone(id=run.request.id, step=run.done, total=total, preview=preview)

    def _made(self, run: RunningRequest) -> Event:
        began = time.perf_counter()
        require_finite(run.latents, "the finished latents")
        images = self._decode(run.latents)
        run.gpu_s += time.perf_counter() - began
        return Completed(
            id=run.request.id,
            images=tuple(images),
            gpu_ms=round(1000 * run.gpu_s),
            truncated_tokens=run.truncated_tokens,
        )

    def _decode(self, latents: torch.Tensor) -> list[Image.Image]:
        """Return RGB images for latents (n, channels, height, width). Raise NotFinite."""
        vae = self._pipe.vae
        mean, std = _latent_stats(vae, latents)
        factor = vae.config.scaling_factor
        latents = latents * std / factor + mean if std is not None else latents / factor
        while True:
            try:
                pictures: list[Image.Image] = []
                for part in slices(len(latents), largest=self._decode_largest):
                    pixels = vae.decode(latents[part].to(vae.dtype), return_dict=False)[0]
                    require_finite(pixels, "the decoded pixels")
                    pixels = (pixels.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
                    pictures += [Image.fromarray(each) for each in pixels.permute(0, 2, 3, 1).cpu().numpy()]
                return pictures
            except torch.OutOfMemoryError:
                if self._decode_largest > 1:
                    self._decode_largest //= 2
                elif not getattr(vae, "use_tiling", True):
                    vae.enable_tiling()
                else:
                    raise
                log.warning("out_of_memory", extra={"decoding": self._decode_largest})
            except NotFinite:
                if vae.dtype != torch.float16:
                    raise
                # Some decoders overflow in fp16; from here on this one decodes in fp32.
                vae.to(torch.float32)
                log.warning("decoder_overflowed", extra={"model": self.model})
            if self._device.type == "cuda":
                torch.cuda.empty_cache()


def parameter_bytes(pipe: Any) -> int:
    """Return what the weights of all parts take."""
    return sum(
        tensor.numel() * tensor.element_size()
        for part in pipe.components.values()
        if isinstance(part, torch.nn.Module)
        for tensor in part.parameters()
    )


def _groups(runs: Iterable[RunningRequest]) -> list[list[RunningRequest]]:
    groups: dict[tuple[int, ...], list[RunningRequest]] = {}
    for run in runs:
        groups.setdefault(run.shape, []).append(run)
    return list(groups.values())


def _predicted_original(scheduler: Any, out: Any) -> torch.Tensor:
    """Return the sampler's guess of the finished latents, for a preview; the noisy ones where it has none."""
    original = getattr(out, "pred_original_sample", None)
    if original is None and getattr(scheduler.config, "algorithm_type", "") == "dpmsolver++":
        original = scheduler.model_outputs[-1]
    if original is None and getattr(scheduler.config, "predict_x0", False):
        original = scheduler.model_outputs[-1]
    return out.prev_sample if original is None else original


def _latent_stats(vae: Any, like: torch.Tensor) -> tuple[Any, Any]:
    mean, std = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is None or std is None:
        return None, None
    shape = (1, -1, 1, 1)
    return (torch.tensor(mean, device=like.device).view(shape), torch.tensor(std, device=like.device).view(shape))
