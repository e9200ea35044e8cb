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

from .batch_policy import split_rows
from .compilation import CompiledUNet, UNetCall
from .deepcache import FULL_CALL_INTERVAL, DeepCache
from .engine import Cancelled, Completed, EngineBroken, Event, Failed, GenerationRequest, StepDone
from .error_isolation import device_works, failed_event, raise_if_device_broken, require_finite, run_isolated
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
    embeddings: torch.Tensor  # (rows, length, width); with guidance the negative ones first
    added_cond_kwargs: dict[str, torch.Tensor]
    timestep_cond: torch.Tensor | None
    is_guided: bool
    step_kwargs: dict[str, Any]
    truncated_tokens: int
    steps_done: int = 0
    gpu_s: float = 0.0
    predicted_original: torch.Tensor | None = None  # the finished latents, as predicted at the last step
    deep_features: torch.Tensor | None = None  # of the last full call, a row each, with DeepCache

    @property
    def rows(self) -> int:
        return self.request.count * (2 if self.is_guided else 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """What must be equal for rows to share one tensor."""
        return (*self.latents.shape[1:], *self.embeddings.shape[1:], self.timestep_cond is not None, self.is_shallow)

    @property
    def is_shallow(self) -> bool:
        """Whether the next call needs the UNet's outermost blocks only."""
        return self.deep_features is not None and self.steps_done % FULL_CALL_INTERVAL != 0


class ContinuousBatchEngine:
    """Implements gpu_worker.engine.Engine. All methods but `cancel` belong to one thread."""

    def __init__(
        self,
        pipe: Any,
        *,
        model: str,
        scheduler_for: Callable[[str], Any],
        max_rows: int,
        capacity: float,
        compiled: CompiledUNet | None = None,
        use_deepcache: bool = False,
    ) -> None:
        """`scheduler_for` makes a scheduler for a sampler's name, or raises KeyError. A call has at most `max_rows`.

        `compiled` is used as soon as it is ready. `use_deepcache` runs most steps by gpu_worker.deepcache instead.
        """
        self._pipe = pipe
        self._unet = pipe.unet
        self._forward: Callable[..., Any] = pipe.unet
        self._compiled = None if use_deepcache else compiled
        self._deepcache = DeepCache(pipe.unet) if use_deepcache else None
        self._prompts = PromptEncoder(pipe)
        self._scheduler_for = scheduler_for
        self._max_rows = max_rows
        self._max_decoded = 4
        self._device = pipe.unet.device
        self._inside: list[RunningRequest] = []
        self._pending: list[GenerationRequest] = []
        self._cancelled: set[int] = set()
        self._previous_step: Any = None
        self.model = model
        self.device = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else self._device.type
        self.memory_bytes = parameter_bytes(pipe)
        self.capacity = capacity

    @property
    def used_capacity(self) -> float:
        return sum(run.request.cost for run in self._inside) + sum(request.cost for request in self._pending)

    def admit(self, request: GenerationRequest) -> None:
        self._pending.append(request)

    def cancel(self, request_id: int) -> None:
        self._cancelled.add(request_id)

    def probe(self) -> None:
        with torch.inference_mode():
            if not device_works(self._device):
                raise EngineBroken("the GPU does not compute")
        self._start_compiling()

    def close(self) -> None:
        if self._compiled is not None:
            self._compiled.stop()
        self._inside.clear()
        self._pending.clear()
        del self._pipe, self._unet, self._forward, self._prompts, self._deepcache, self._compiled
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def advance(self, emit: Callable[[Event], None]) -> None:
        with torch.inference_mode():
            self._drop_cancelled(emit)
            self._admit_pending(emit)
            began = time.perf_counter()
            for group in _group_by_shape(self._inside):
                self._step(group, emit)
            try:
                self._sync_previous_step()
            except RuntimeError as error:
                # A kernel of an earlier step failed; which request it belonged to is unknown.
                raise_if_device_broken(error, device=self._device)
                raise
            self._attribute_gpu_time(time.perf_counter() - began)
            for run in self._inside:
                emit(self._step_done(run))
            for run in [run for run in self._inside if run.steps_done >= len(run.timesteps)]:
                event = run_isolated(run.request, partial(self._complete, run), device=self._device)
                self._inside.remove(run)
                emit(event)
                self._start_compiling()

    def wait_until_compiled(self, timeout_s: float) -> bool:
        """Wait until compilation has finished or failed. Return False when that takes longer than `timeout_s`."""
        self._start_compiling()
        return self._compiled is None or self._compiled.finished.wait(timeout_s)

    def _start_compiling(self) -> None:
        """Compile after the first images or ten idle seconds: the first request must not wait for the compiler."""
        if self._compiled is not None:
            self._compiled.start()

    # -- joining and leaving

    def _drop_cancelled(self, emit: Callable[[Event], None]) -> None:
        cancelled = set()
        while self._cancelled:
            cancelled.add(self._cancelled.pop())
        for run in [run for run in self._inside if run.request.id in cancelled]:
            self._inside.remove(run)
            emit(Cancelled(id=run.request.id, gpu_ms=round(1000 * run.gpu_s)))
        for request in [request for request in self._pending if request.id in cancelled]:
            self._pending.remove(request)
            emit(Cancelled(id=request.id, gpu_ms=0))

    def _admit_pending(self, emit: Callable[[Event], None]) -> None:
        pending, self._pending = self._pending, []
        for request in pending:
            if failed := self._check(request):
                emit(failed)
                continue
            run = run_isolated(request, partial(self._start, request), device=self._device)
            if isinstance(run, Failed):
                emit(run)
            else:
                self._inside.append(run)

    def _check(self, request: GenerationRequest) -> Failed | None:
        scale = self._pipe.vae_scale_factor
        if request.width % scale or request.height % scale:
            detail = f"{request.width}x{request.height} is not a multiple of {scale}"
            return Failed(id=request.id, reason="size_not_possible", detail=detail)
        if request.sampler not in SAMPLERS:
            return Failed(id=request.id, reason="sampler_unknown", detail=request.sampler)
        return None

    def _start(self, request: GenerationRequest) -> RunningRequest:
        scheduler = self._scheduler_for(request.sampler)
        # On the CPU: indexing the timesteps there never waits for the GPU.
        scheduler.set_timesteps(request.steps, device="cpu")
        start = 0
        if request.source is not None:
            skipped = request.steps - max(1, min(int(request.steps * request.strength), request.steps))
            start = skipped * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start)
        timesteps = scheduler.timesteps[start:]
        # Seeded on the CPU, so that a seed gives the same noise on every GPU.
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in request.seeds]
        latents = self._latents(request, scheduler, timesteps, generators)

        lcm = self._unet.config.time_cond_proj_dim is not None
        is_guided = request.guidance > 1 and not lcm
        if is_guided:
            positive, negative = self._prompts.encode_pair(request.prompt, request.negative_prompt)
            parts = [negative, positive]
        else:
            # A negative prompt that is not used must not make the prompt's embedding longer.
            positive = self._prompts.encode(request.prompt)
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
        step_kwargs: dict[str, Any] = {}
        if "eta" in accepts:
            step_kwargs["eta"] = 0.0
        if "generator" in accepts:
            step_kwargs["generator"] = generators
        return RunningRequest(
            request=request,
            scheduler=scheduler,
            timesteps=timesteps,
            latents=latents,
            embeddings=torch.cat([part.tokens.expand(count, -1, -1) for part in parts]),
            added_cond_kwargs=added,
            timestep_cond=self._guidance_embedding(request) if lcm else None,
            is_guided=is_guided,
            step_kwargs=step_kwargs,
            truncated_tokens=sum(part.truncated_tokens for part in parts),
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
        """Return the image as latents (1, channels, height, width), in float32."""
        vae = self._pipe.vae
        pixels = (
            torch.from_numpy(np.asarray(source.convert("RGB")).copy())
            .permute(2, 0, 1)[None]
            .to(self._device, vae.dtype)
        )
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
            scaled = run_isolated(run.request, partial(self._scaled_input, run), device=self._device)
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
            times = torch.cat([run.timesteps[run.steps_done].float().repeat(run.rows) for run in group])
            noise, deep = self._predict(rows, times.to(self._device), group)
        except Exception as error:
            raise_if_device_broken(error, device=self._device)
            # Out of memory with one row: the request of the highest cost fails, so that the others fit.
            costliest = max(group, key=lambda run: run.request.cost)
            cause = costliest if is_out_of_memory(error) else group[0] if len(group) == 1 else None
            failed = None if cause is None else failed_event(cause.request, error, device=self._device)
        else:
            rows_of = [run.rows for run in group]
            deeps = [None] * len(group) if deep is None else deep.split(rows_of)
            for run, part, run_deep in zip(group, noise.float().split(rows_of), deeps, strict=True):
                result = run_isolated(
                    run.request, partial(self._apply_prediction, run, part, run_deep), device=self._device
                )
                if isinstance(result, Failed):
                    self._fail(run, result, emit)
            return
        # Outside the handler: the exception's frames hold the tensors that did not fit.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if cause is not None and failed is not None:
            self._fail(cause, failed, emit)
            return
        # One of them made the shared call fail: each gets its own call, and only that one fails.
        for run in group:
            self._step([run], emit)

    def _scaled_input(self, run: RunningRequest) -> torch.Tensor:
        """Return the request's rows as its scheduler scales them for the UNet."""
        scaled = run.scheduler.scale_model_input(run.latents, run.timesteps[run.steps_done])
        rows: torch.Tensor = scaled.repeat(run.rows // run.request.count, 1, 1, 1)
        return rows

    def _apply_prediction(self, run: RunningRequest, predicted: torch.Tensor, deep: torch.Tensor | None) -> None:
        """Take one step with the UNet's prediction for the request's rows. Raise NotFinite."""
        if deep is not None:
            run.deep_features = deep
        if run.is_guided:
            uncond, text = predicted.chunk(2)
            predicted = uncond + run.request.guidance * (text - uncond)
        out = run.scheduler.step(predicted, run.timesteps[run.steps_done], run.latents, **run.step_kwargs)
        run.latents = out.prev_sample
        run.predicted_original = _predicted_original(run.scheduler, out)
        run.steps_done += 1
        # Not at every step, because it waits for the GPU. What is not finite stays so, and is also found at the end.
        if run.steps_done in (1, len(run.timesteps) // 2):
            require_finite(run.latents, f"the latents after step {run.steps_done}")

    def _fail(self, run: RunningRequest, failed: Failed, emit: Callable[[Event], None]) -> None:
        self._inside.remove(run)
        emit(failed)

    def _predict(
        self, rows: torch.Tensor, times: torch.Tensor, group: list[RunningRequest]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the UNet's prediction for all rows, in as few calls as memory allows: halve them when it runs out.

        Also return the deep features of a full call, where DeepCache is used.
        """
        embeddings = torch.cat([run.embeddings for run in group])
        added = {name: torch.cat([run.added_cond_kwargs[name] for run in group]) for name in group[0].added_cond_kwargs}
        conds = [run.timestep_cond for run in group if run.timestep_cond is not None]
        cond = torch.cat(conds) if conds else None
        deep_features = (
            torch.cat([run.deep_features for run in group if run.deep_features is not None])
            if group[0].is_shallow
            else None
        )
        largest = self._max_rows
        while True:
            try:
                results = [
                    self._call(
                        UNetCall(
                            sample=rows[part],
                            timesteps=times[part],
                            encoder_hidden_states=embeddings[part],
                            timestep_cond=None if cond is None else cond[part],
                            added_cond_kwargs={name: tensor[part] for name, tensor in added.items()},
                        ),
                        deep_features=None if deep_features is None else deep_features[part],
                    )
                    for part in split_rows(len(rows), largest=largest)
                ]
                deep = [features for _, features in results if features is not None]
                return torch.cat([noise for noise, _ in results]), torch.cat(deep) if deep else None
            except torch.OutOfMemoryError:
                if largest <= 1:
                    raise
                largest = max(1, min(largest, len(rows)) // 2)
                if self._compiled is None or not self._compiled.is_compiling:
                    # The compiler's memory will be free again; without it the GPU holds no more than this.
                    self._max_rows = largest
                    self.capacity = max(1.0, self.capacity / 2)
                log.warning("out_of_memory", extra={"rows": len(rows), "largest_now": largest})
            # Outside the handler: the exception's frames hold the tensors that did not fit.
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _call(self, call: UNetCall, *, deep_features: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self._deepcache is not None:
            given: dict[str, Any] = {
                "encoder_hidden_states": call.encoder_hidden_states,
                "timestep_cond": call.timestep_cond,
                "added_cond_kwargs": call.added_cond_kwargs or None,
            }
            if deep_features is not None:
                return self._deepcache.shallow(call.sample, call.timesteps, deep_features, **given), None
            return self._deepcache.full(call.sample, call.timesteps, **given)
        noise = self._compiled.call(call) if self._compiled is not None else None
        return call.run(self._forward) if noise is None else noise, None

    def _sync_previous_step(self) -> None:
        """Wait for the step before this one. The GPU always has work queued, and a cancel is late by one step."""
        if self._device.type != "cuda":
            return
        before, self._previous_step = self._previous_step, torch.cuda.Event()
        self._previous_step.record()
        if before is not None:
            before.synchronize()

    def _attribute_gpu_time(self, seconds: float) -> None:
        total = sum(run.request.cost for run in self._inside)
        for run in self._inside:
            run.gpu_s += seconds * run.request.cost / total

    # -- what comes out

    def _step_done(self, run: RunningRequest) -> StepDone:
        total = len(run.timesteps)
        preview = None
        if run.request.preview and run.steps_done == total // 2 and run.predicted_original is not None:
            decoded = run_isolated(run.request, partial(self._decode, run.predicted_original[:1]), device=self._device)
            # A preview that cannot be decoded must not fail the request.
            if not isinstance(decoded, Failed):
                preview = decoded[0]
                preview.thumbnail((PREVIEW_PX, PREVIEW_PX))
        return StepDone(id=run.request.id, step=run.steps_done, total=total, preview=preview)

    def _complete(self, run: RunningRequest) -> Event:
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
                images: list[Image.Image] = []
                for part in split_rows(len(latents), largest=self._max_decoded):
                    pixels = vae.decode(latents[part].to(vae.dtype), return_dict=False)[0]
                    require_finite(pixels, "the decoded pixels")
                    pixels = (pixels.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
                    images += [Image.fromarray(array) for array in pixels.permute(0, 2, 3, 1).cpu().numpy()]
                return images
            except torch.OutOfMemoryError:
                if self._max_decoded > 1:
                    self._max_decoded //= 2
                elif not getattr(vae, "use_tiling", True):
                    vae.enable_tiling()
                else:
                    raise
                log.warning("out_of_memory", extra={"decoding": self._max_decoded})
            except NotFinite:
                if vae.dtype != torch.float16:
                    raise
                # Some decoders overflow in fp16: this one decodes in fp32 from now on.
                vae.to(torch.float32)
                log.warning("decoder_overflowed", extra={"model": self.model})
            if self._device.type == "cuda":
                torch.cuda.empty_cache()


def parameter_bytes(pipe: Any) -> int:
    """Return the size of all weights of the pipeline, in bytes."""
    return sum(
        tensor.numel() * tensor.element_size()
        for part in pipe.components.values()
        if isinstance(part, torch.nn.Module)
        for tensor in part.parameters()
    )


def _group_by_shape(runs: Iterable[RunningRequest]) -> list[list[RunningRequest]]:
    groups: dict[tuple[int, ...], list[RunningRequest]] = {}
    for run in runs:
        groups.setdefault(run.shape, []).append(run)
    return list(groups.values())


def _predicted_original(scheduler: Any, out: Any) -> torch.Tensor:
    """Return the scheduler's prediction of the finished latents, or the noisy latents where it has none."""
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
