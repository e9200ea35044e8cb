"""Loads a diffusers pipeline onto the device, configures it, and returns the engine that serves it."""

from __future__ import annotations

import copy
import inspect
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# Read when torch is imported. On a shared CPU, threads that spin while they wait take eight times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import diffusers
import torch

from guilds.samplers import SAMPLERS

from .batch_policy import rows_to_compile, saturation_rows
from .compilation import CompiledUNet, UNetCall
from .continuous_batching import ContinuousBatchEngine
from .engine import Engine, ModelTooLarge, ModelUnavailable
from .error_isolation import raise_if_device_broken
from .static_batching import StaticBatchEngine

log = logging.getLogger(__name__)

# A T4 has 16 GB: more rows than this would not fit there.
MAX_ROWS = 64
CPU_ROWS = 8
CPU_CAPACITY = 8.0
IMAGES_PER_CALL = 4
# Options of the solver that the model's author used. Here the sampler names the solver, and these options would change
# or break it: UniPC's bh1 divides by an infinite last step, and every image is NaN.
_SOLVER_OPTIONS = frozenset(
    {"solver_type", "solver_order", "algorithm_type", "lower_order_final", "euler_at_final", "final_sigmas_type",
     "predict_x0", "disable_corrector", "solver_p", "variance_type", "use_flow_sigmas", "use_dynamic_shifting"}
)  # fmt: skip
_SPACING_OPTIONS = frozenset({"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"})
CONTINUOUS_PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "LatentConsistencyModelPipeline")


def load(source: str, *, compiled: bool = False, step_cache: str = "") -> Engine:
    """Load the pipeline `source` (a Hugging Face id or a folder).

    `step_cache` is a ModelProfile's; pipelines that cannot use it run without. `compiled`: compile the UNet by
    torch.compile after the first images (gpu_worker.compilation).

    Raises:
        ModelUnavailable: the model cannot be loaded; the message tells an operator why.
        EngineBroken: the GPU failed.
    """
    try:
        return _load(source, compiled=compiled, step_cache=step_cache)
    except ModelUnavailable:
        raise
    except Exception as exc:
        # What is raised depends on the model's files: classes that diffusers lacks, shapes that do not fit, anything.
        raise_if_device_broken(exc, device=torch.device(_device()[0]))
        raise ModelUnavailable(f"{source} cannot be loaded: {type(exc).__name__}: {str(exc)[:300]}") from exc


def _load(source: str, *, compiled: bool, step_cache: str) -> Engine:
    device, dtype = _device()
    pipe = _pipeline(source, dtype)
    try:
        pipe.to(device)
    except torch.OutOfMemoryError as exc:
        raise ModelTooLarge(f"{source} does not fit into the GPU's memory.") from exc
    pipe.set_progress_bar_config(disable=True)
    if not _can_share_steps(pipe):
        return StaticBatchEngine(pipe, model=source, max_images=IMAGES_PER_CALL)
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
        if not any("Added" in type(processor).__name__ for processor in pipe.unet.attn_processors.values()):
            pipe.unet.fuse_qkv_projections()
    if dtype == torch.float16 and "XL" in type(pipe).__name__ and pipe.vae.config.get("force_upcast", False):
        # SDXL's own decoder overflows in fp16.
        pipe.vae.to(torch.float32)
    for part in (pipe.unet, pipe.vae):
        part.requires_grad_(False)
        part.eval()
    try:
        largest, capacity = _measure(pipe) if device == "cuda" else (CPU_ROWS, CPU_CAPACITY)
    except torch.OutOfMemoryError as exc:
        raise ModelTooLarge(f"{source} leaves no GPU memory for a batch.") from exc
    use_deepcache = step_cache == "deepcache" and len(pipe.unet.up_blocks) > 1
    compiled_unet = None
    if compiled and not use_deepcache:
        side = pipe.unet.config.sample_size * pipe.vae_scale_factor
        # As many rows as the capacity holds, all guided: a call rarely has more.
        max_rows = min(largest, max(8, round(2 * capacity * 512 * 512 / side**2)))
        compiled_unet = CompiledUNet(
            pipe.unet, example=partial(_example_call, pipe), rows=rows_to_compile(max_rows=max_rows), backend="inductor"
        )
    return ContinuousBatchEngine(
        pipe,
        model=source,
        scheduler_for=scheduler_factory(pipe),
        max_rows=largest,
        capacity=float(os.environ.get("SPARKLE_BATCH_CAPACITY", capacity)),
        compiled=compiled_unet,
        use_deepcache=use_deepcache,
    )


def scheduler_factory(pipe: Any) -> Callable[[str], Any]:
    """Return a function that makes a scheduler by a sampler's name, with the training options of this pipeline's own.

    The function raises KeyError.
    """
    training_options = {name: value for name, value in pipe.scheduler.config.items() if name not in _SOLVER_OPTIONS}
    prototypes: dict[str, Any] = {}
    coefficients: dict[tuple[str, int, int, int, int], float] = {}

    def make(name: str) -> Any:
        if name not in prototypes:
            sampler = SAMPLERS[name]
            # A sampler that names its spacing of sigmas excludes the model's own.
            has_spacing = any(option in _SPACING_OPTIONS for option in sampler.options)
            config = {
                key: value for key, value in training_options.items() if not (has_spacing and key in _SPACING_OPTIONS)
            }
            prototypes[name] = getattr(diffusers, sampler.scheduler).from_config(config, **sampler.options)
        # A copy: making some of them takes 80 ms, which would delay the next step of every request.
        scheduler = copy.deepcopy(prototypes[name])
        if hasattr(scheduler, "get_lms_coefficient"):
            _cache_coefficients(scheduler, name)
        return scheduler

    def _cache_coefficients(scheduler: Any, name: str) -> None:
        """Compute each coefficient, an integral that takes 2 ms a step, once for each number of steps."""
        compute = scheduler.get_lms_coefficient

        def coefficient(order: int, at: int, current: int) -> float:
            key = (name, int(scheduler.num_inference_steps), order, int(at), current)
            if key not in coefficients:
                coefficients[key] = compute(order, at, current)
            return coefficients[key]

        scheduler.get_lms_coefficient = coefficient

    return make


def free_bytes() -> int:
    """Return the free GPU memory in bytes; 0 without a GPU, where memory is not limited."""
    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else 0


def _device() -> tuple[str, torch.dtype]:
    if torch.cuda.is_available():
        return "cuda", torch.float16
    return "cpu", torch.float32


def _pipeline(source: str, dtype: torch.dtype) -> Any:
    location = _exported(source)
    path = Path(location)
    if (path.is_absolute() or location.startswith(".") or path.exists()) and not (path / "model_index.json").is_file():
        raise ModelUnavailable(f"{source} holds no pipeline: there is no model_index.json in it.")
    options: dict[str, Any] = {}
    if "safety_checker" in diffusers.DiffusionPipeline.load_config(location):
        # gpu_worker.nsfw_check checks instead, as the guild's setting says.
        options = {"safety_checker": None, "requires_safety_checker": False}
    pipe = diffusers.DiffusionPipeline.from_pretrained(location, dtype=dtype, **options)
    parameters = inspect.signature(pipe.__call__).parameters
    if "prompt" not in parameters or parameters.get("image") is not None:
        raise ModelUnavailable(f"{source} is a {type(pipe).__name__}, which does not make images from text alone.")
    return pipe


def _exported(source: str) -> str:
    """Return the folder that gpu_worker/weights.py wrote into the container image for this model, else `source`."""
    folder = Path(os.environ.get("SPARKLE_WEIGHTS_DIR", "/opt/weights")) / source
    return str(folder) if (folder / "model_index.json").is_file() else source


def _can_share_steps(pipe: Any) -> bool:
    """Whether requests can share the pipeline's steps: its UNet takes latents, text and nothing else."""
    return (
        type(pipe).__name__ in CONTINUOUS_PIPELINES and pipe.unet.config.in_channels == pipe.vae.config.latent_channels
    )


def _measure(pipe: Any) -> tuple[int, float]:
    """Return how many rows fit into the GPU's memory in one call, and the capacity that saturates the GPU.

    Beyond that capacity another request slows all the others down and ends no sooner than if it had waited.
    """

    def run_rows(rows: int) -> None:
        with torch.inference_mode():
            _example_call(pipe, rows).run(pipe.unet)

    run_rows(2)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run_rows(4)
    torch.cuda.synchronize()
    bytes_per_row = max(1, (torch.cuda.max_memory_allocated() - before) // 4)
    free, _ = torch.cuda.mem_get_info()
    largest = max(2, min(MAX_ROWS, int(free * 0.7) // bytes_per_row))

    def seconds_per_row(rows: int) -> float:
        try:
            run_rows(rows)
        except torch.OutOfMemoryError:
            # A kernel that was tried first needed more than the estimate.
            torch.cuda.empty_cache()
            return float("inf")
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(3):
            run_rows(rows)
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / 3 / rows

    saturating = saturation_rows(seconds_per_row, max_rows=largest)
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    capacity = max(4.0, saturating / 2 * side * side / (512 * 512))
    log.info("gpu_measured", extra={"largest_rows": largest, "saturation_rows": saturating, "capacity": capacity})
    return largest, capacity


def _example_call(pipe: Any, rows: int) -> UNetCall:
    """Return a call of the UNet with `rows` rows of the model's own size and a prompt of one chunk."""
    unet = pipe.unet
    side = unet.config.sample_size
    make: dict[str, Any] = {"device": unet.device, "dtype": unet.dtype}
    added: dict[str, torch.Tensor] = {}
    if hasattr(pipe, "text_encoder_2"):
        added["text_embeds"] = torch.randn(rows, pipe.text_encoder_2.config.projection_dim, **make)
        added["time_ids"] = torch.zeros(rows, 6, **make)
    cond = unet.config.time_cond_proj_dim
    sample = torch.randn(rows, unet.config.in_channels, side, side, **make)
    return UNetCall(
        sample=sample.to(memory_format=torch.channels_last) if unet.device.type == "cuda" else sample,
        timesteps=torch.full((rows,), 500.0, device=unet.device),
        encoder_hidden_states=torch.randn(
            rows, pipe.tokenizer.model_max_length, unet.config.cross_attention_dim, **make
        ),
        timestep_cond=None if cond is None else torch.randn(rows, cond, **make),
        added_cond_kwargs=added,
    )
