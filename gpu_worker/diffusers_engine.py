"""Loads a Stable Diffusion pipeline on the device at hand, tuned for it, into the engine that serves it."""

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

# Read when torch is loaded. On a CPU that others use too, threads that spin for each other take eight times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import diffusers
import torch

from guilds.samplers import SAMPLERS

from .batch_policy import saturation_rows, worth_compiling
from .compilation import Call, Compiled
from .continuous_batching import ContinuousBatchEngine
from .engine import Engine, ModelTooLarge, ModelUnavailable
from .error_isolation import raise_if_broken
from .static_batching import StaticBatchEngine

log = logging.getLogger(__name__)

# A T4 has 16 GB: more rows than this gain nothing on any card measured, and would not fit there.
MOST_ROWS = 64
CPU_ROWS = 8
CPU_ROOM = 8.0
CALL_PICTURES = 4
# Choices of the solver that a model's author happened to use. The sampler names the solver here, and these would make
# another one of it, or none: UniPC's bh1 divides by an infinite step at its end, and every image is NaN.
_SOLVERS = frozenset(
    {"solver_type", "solver_order", "algorithm_type", "lower_order_final", "euler_at_final", "final_sigmas_type",
     "predict_x0", "disable_corrector", "solver_p", "variance_type", "use_flow_sigmas", "use_dynamic_shifting"}
)  # fmt: skip
_SPACINGS = frozenset({"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"})
STEPWISE = ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "LatentConsistencyModelPipeline")


def load(source: str, *, compiled: bool = False, step_cache: str = "") -> Engine:
    """Load the pipeline `source` (a Hugging Face id or a folder).

    `step_cache` is a ModelProfile's; pipelines that it does not apply to run without. `compiled` has the UNet go
    through torch.compile after the first pictures (gpu_worker.compilation).

    Raises:
        ModelUnavailable: the model cannot be loaded, for whatever reason; in words for an operator.
        EngineBroken: the card failed.
    """
    try:
        return _load(source, compiled=compiled, step_cache=step_cache)
    except ModelUnavailable:
        raise
    except Exception as exc:
        # A model's files decide what is raised here: classes that diffusers lacks, shapes that do not fit, anything.
        raise_if_broken(exc, device=torch.device(_device()[0]))
        raise ModelUnavailable(f"{source} cannot be loaded: {type(exc).__name__}: {str(exc)[:300]}") from exc


def _load(source: str, *, compiled: bool, step_cache: str) -> Engine:
    device, dtype = _device()
    pipe = _pipeline(source, dtype)
    try:
        pipe.to(device)
    except torch.OutOfMemoryError as exc:
        raise ModelTooLarge(f"{source} does not fit into the card's memory.") from exc
    pipe.set_progress_bar_config(disable=True)
    if not _stepwise(pipe):
        return StaticBatchEngine(pipe, model=source, most=CALL_PICTURES)
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
        if not any("Added" in type(each).__name__ for each in pipe.unet.attn_processors.values()):
            pipe.unet.fuse_qkv_projections()
    if dtype == torch.float16 and "XL" in type(pipe).__name__ and pipe.vae.config.get("force_upcast", False):
        # SDXL's own decoder overflows in fp16.
        pipe.vae.to(torch.float32)
    for part in (pipe.unet, pipe.vae):
        part.requires_grad_(False)
        part.eval()
    try:
        largest, room = _measured(pipe) if device == "cuda" else (CPU_ROWS, CPU_ROOM)
    except torch.OutOfMemoryError as exc:
        raise ModelTooLarge(f"{source} leaves no memory on the card to work with.") from exc
    cached = step_cache == "deepcache" and len(pipe.unet.up_blocks) > 1
    forms = None
    if compiled and not cached:
        side = pipe.unet.config.sample_size * pipe.vae_scale_factor
        # As many rows as the room holds, all guided: a call seldom has more.
        most = min(largest, max(8, round(2 * room * 512 * 512 / side**2)))
        forms = Compiled(
            pipe.unet, example=partial(_example, pipe), rows=worth_compiling(most=most), backend="inductor"
        )
    return ContinuousBatchEngine(
        pipe,
        model=source,
        scheduler_for=schedulers(pipe),
        largest=largest,
        room=float(os.environ.get("SPARKLE_ROOM", room)),
        compiled=forms,
        cached=cached,
    )


def schedulers(pipe: Any) -> Callable[[str], Any]:
    """Return a maker of fresh schedulers by sampler name, trained as this pipeline's own was. It raises KeyError."""
    trained = {name: value for name, value in pipe.scheduler.config.items() if name not in _SOLVERS}
    fresh: dict[str, Any] = {}
    coefficients: dict[tuple[str, int, int, int, int], float] = {}

    def make(name: str) -> Any:
        if name not in fresh:
            sampler = SAMPLERS[name]
            # A sampler that names its spacing of sigmas excludes the others.
            spaced = any(option in _SPACINGS for option in sampler.options)
            config = {key: value for key, value in trained.items() if not (spaced and key in _SPACINGS)}
            fresh[name] = getattr(diffusers, sampler.scheduler).from_config(config, **sampler.options)
        # A copy: making some of them takes 80 ms, and everyone's next step waits for it.
        scheduler = copy.deepcopy(fresh[name])
        if hasattr(scheduler, "get_lms_coefficient"):
            _remember(scheduler, name)
        return scheduler

    def _remember(scheduler: Any, name: str) -> None:
        """Cache each coefficient, an integral of 2 ms a step, for each number of steps."""
        calculate = scheduler.get_lms_coefficient

        def coefficient(order: int, at: int, current: int) -> float:
            key = (name, int(scheduler.num_inference_steps), order, int(at), current)
            if key not in coefficients:
                coefficients[key] = calculate(order, at, current)
            return coefficients[key]

        scheduler.get_lms_coefficient = coefficient

    return make


def free_bytes() -> int:
    """Memory of the card that no process holds; 0 where there is no card, for then nothing is rationed."""
    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else 0


def _device() -> tuple[str, torch.dtype]:
    if torch.cuda.is_available():
        return "cuda", torch.float16
    return "cpu", torch.float32


def _pipeline(source: str, dtype: torch.dtype) -> Any:
    place = _baked(source)
    path = Path(place)
    if (path.is_absolute() or place.startswith(".") or path.exists()) and not (path / "model_index.json").is_file():
        raise ModelUnavailable(f"{source} holds no pipeline: there is no model_index.json in it.")
    options: dict[str, Any] = {}
    if "safety_checker" in diffusers.DiffusionPipeline.load_config(place):
        # gpu_worker.nsfw_check checks instead, as the guild wants it.
        options = {"safety_checker": None, "requires_safety_checker": False}
    pipe = diffusers.DiffusionPipeline.from_pretrained(place, dtype=dtype, **options)
    wanted = inspect.signature(pipe.__call__).parameters
    if "prompt" not in wanted or wanted.get("image") is not None:
        raise ModelUnavailable(f"{source} is a {type(pipe).__name__}, which does not make pictures from text alone.")
    return pipe


def _baked(source: str) -> str:
    """Return the folder that gpu_worker/weights.py wrote for this model into the image, else `source` itself."""
    folder = Path(os.environ.get("SPARKLE_WEIGHTS_DIR", "/opt/weights")) / source
    return str(folder) if (folder / "model_index.json").is_file() else source


def _stepwise(pipe: Any) -> bool:
    """Whether the pipeline's steps can be shared: a UNet that wants latents, text and nothing else."""
    return type(pipe).__name__ in STEPWISE and pipe.unet.config.in_channels == pipe.vae.config.latent_channels


def _measured(pipe: Any) -> tuple[int, float]:
    """Return how many rows fit the GPU's memory in one call, and the pictures at which it is busy enough.

    Beyond that point company makes everyone slower and nobody sooner done: the line is the better place to wait.
    """

    def rows_of(rows: int) -> None:
        with torch.inference_mode():
            _example(pipe, rows).by(pipe.unet)

    rows_of(2)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    rows_of(4)
    torch.cuda.synchronize()
    per_row = max(1, (torch.cuda.max_memory_allocated() - before) // 4)
    free, _ = torch.cuda.mem_get_info()
    largest = max(2, min(MOST_ROWS, int(free * 0.7) // per_row))

    def seconds_a_row(rows: int) -> float:
        try:
            rows_of(rows)
        except torch.OutOfMemoryError:
            # A kernel that was tried first wanted more than the estimate.
            torch.cuda.empty_cache()
            return float("inf")
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(3):
            rows_of(rows)
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / 3 / rows

    busy = saturation_rows(seconds_a_row, most=largest)
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    room = max(4.0, busy / 2 * side * side / (512 * 512))
    log.info("card_measured", extra={"largest_rows": largest, "busy_rows": busy, "room": room})
    return largest, room


def _example(pipe: Any, rows: int) -> Call:
    """Return a call of the UNet with so many rows of the model's own size and a prompt of one chunk."""
    unet = pipe.unet
    side = unet.config.sample_size
    make: dict[str, Any] = {"device": unet.device, "dtype": unet.dtype}
    added: dict[str, torch.Tensor] = {}
    if hasattr(pipe, "text_encoder_2"):
        added["text_embeds"] = torch.randn(rows, pipe.text_encoder_2.config.projection_dim, **make)
        added["time_ids"] = torch.zeros(rows, 6, **make)
    cond = unet.config.time_cond_proj_dim
    sample = torch.randn(rows, unet.config.in_channels, side, side, **make)
    return Call(
        sample=sample.to(memory_format=torch.channels_last) if unet.device.type == "cuda" else sample,
        times=torch.full((rows,), 500.0, device=unet.device),
        states=torch.randn(rows, pipe.tokenizer.model_max_length, unet.config.cross_attention_dim, **make),
        cond=None if cond is None else torch.randn(rows, cond, **make),
        added=added,
    )
