"""Loads a diffusers pipeline onto the device, configures it, and returns the engine that serves it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

# Read when torch is imported. On a shared CPU, threads that spin while they wait take eight times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import diffusers
import torch

from guilds.memory_plan import choose_dtype
from guilds.model_families import ModelFamily

from .batch_policy import rows_to_compile, saturation_rows
from .compilation import CompiledDenoiser
from .continuous_batching import ContinuousBatchEngine
from .engine import Engine, ModelTooLarge, ModelUnavailable
from .error_isolation import raise_if_device_broken
from .families.family import Family
from .families.registry import BY_STEP_PIPELINES, family_for, info_of
from .int8_weights import quantize
from .static_batching import StaticBatchEngine
from .whole_call_pipelines import WHOLE_CALL_PIPELINES

log = logging.getLogger(__name__)
# diffusers' warnings quote the part of a prompt that was truncated.
diffusers.utils.logging.set_verbosity_error()

# A T4 has 16 GB: more rows than this would not fit there.
MAX_ROWS = 64
# On a CPU a row of the demo's UNet takes a tenth less time in a call of 16 than of 8.
CPU_ROWS = 16
CPU_CAPACITY = 8.0
IMAGES_PER_CALL = 4


def load(source: str, *, compiled: bool = False, options: Collection[str] = ()) -> Engine:
    """Load the pipeline `source` (a Hugging Face id or a folder).

    `options` are a ModelProfile's `step_cache` and `quantization`; a pipeline that cannot use the first runs without.
    `compiled`: compile the denoiser by torch.compile after the first images (gpu_worker.compilation).

    Raises:
        ModelUnavailable: the model cannot be loaded; the message tells an operator why.
        EngineBroken: the GPU failed.
    """
    try:
        return _load(source, compiled=compiled, options=options)
    except ModelUnavailable:
        raise
    except Exception as exc:
        # What is raised depends on the model's files: classes that diffusers lacks, shapes that do not fit, anything.
        raise_if_device_broken(exc, device=torch.device(_device()[0]))
        raise ModelUnavailable(f"{source} cannot be loaded: {type(exc).__name__}: {str(exc)[:300]}") from exc


def _load(source: str, *, compiled: bool, options: Collection[str]) -> Engine:
    device, capability = _device()
    pipe = _pipeline(source, capability)
    _quantize(pipe, options)
    try:
        pipe.to(device)
    except torch.OutOfMemoryError as exc:
        raise ModelTooLarge(f"{source} does not fit into the GPU's memory.") from exc
    pipe.set_progress_bar_config(disable=True)
    family = family_for(pipe, use_deepcache="deepcache" in options)
    if family is None:
        if type(pipe).__name__ not in WHOLE_CALL_PIPELINES:
            raise ModelUnavailable(f"{source} needs more than text: its UNet reads a mask or an image, too.")
        return StaticBatchEngine(pipe, model=source, max_images=IMAGES_PER_CALL)
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    family.prepare()
    for part in (family.denoiser, pipe.vae):
        part.requires_grad_(False)
        part.eval()
    try:
        largest, capacity = _measure(family) if device == "cuda" else (CPU_ROWS, CPU_CAPACITY)
    except torch.OutOfMemoryError as exc:
        raise ModelTooLarge(f"{source} leaves no GPU memory for a batch.") from exc
    return ContinuousBatchEngine(
        family,
        model=source,
        max_rows=largest,
        capacity=float(os.environ.get("SPARKLE_BATCH_CAPACITY", capacity)),
        compiled=_compiled(family, largest=largest, capacity=capacity) if compiled else None,
    )


def _compiled(family: Family, *, largest: int, capacity: float) -> CompiledDenoiser | None:
    if not family.can_compile:
        return None
    # As many rows as the capacity holds, all guided: a call rarely has more.
    max_rows = min(largest, max(8, round(2 * capacity * 512 * 512 / family.native_side**2)))
    return CompiledDenoiser(
        family.denoiser, example=family.example_call, rows=rows_to_compile(max_rows=max_rows), backend="inductor"
    )


def free_bytes() -> int:
    """Return the free GPU memory in bytes; 0 without a GPU, where memory is not limited."""
    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else 0


def _device() -> tuple[str, tuple[int, int] | None]:
    """Return the device and its compute capability, None for a CPU."""
    return ("cuda", torch.cuda.get_device_capability()) if torch.cuda.is_available() else ("cpu", None)


def _quantize(pipe: Any, options: Collection[str]) -> None:
    """Round weights to int8, as the profile says. On the CPU, before they go to a card that could not hold them all."""
    prefixes: tuple[str, ...] = ()
    if "int8" in options:
        prefixes = ("text_encoder", "transformer", "unet")
    elif "int8-encoders" in options:
        prefixes = ("text_encoder",)
    saved = sum(
        quantize(part)
        for name, part in pipe.components.items()
        if prefixes and name.startswith(prefixes) and isinstance(part, torch.nn.Module)
    )
    if prefixes:
        log.info("weights_quantized", extra={"saved_bytes": saved})


def family_of(source: str) -> ModelFamily:
    """Return the family of a model that was loaded, from its repository."""
    return info_of(diffusers.DiffusionPipeline.load_config(_exported(source)).get("_class_name"))


def _pipeline(source: str, capability: tuple[int, int] | None) -> Any:
    location = _exported(source)
    path = Path(location)
    if (path.is_absolute() or location.startswith(".") or path.exists()) and not (path / "model_index.json").is_file():
        raise ModelUnavailable(f"{source} holds no pipeline: there is no model_index.json in it.")
    config = diffusers.DiffusionPipeline.load_config(location)
    kind = config.get("_class_name")
    # Before the weights are downloaded.
    if kind not in BY_STEP_PIPELINES | WHOLE_CALL_PIPELINES:
        raise ModelUnavailable(f"{source} is a {kind}, which this worker does not serve (docs/how-to/add-a-model.md).")
    family = info_of(kind)
    dtype = choose_dtype(family, capability)
    if dtype is None:
        raise ModelUnavailable(f"{source}: {family.label} needs bf16, which this GPU lacks. Use a g5 or g6 instance.")
    options: dict[str, Any] = {}
    if "safety_checker" in config:
        # gpu_worker.nsfw_check checks instead, as the guild's setting says.
        options = {"safety_checker": None, "requires_safety_checker": False}
    return diffusers.DiffusionPipeline.from_pretrained(location, dtype=getattr(torch, dtype), **options)


def _exported(source: str) -> str:
    """Return the folder that gpu_worker/download_weights.py wrote into the container image, else `source`."""
    folder = Path(os.environ.get("SPARKLE_WEIGHTS_DIR", "/opt/weights")) / source
    return str(folder) if (folder / "model_index.json").is_file() else source


def _measure(family: Family) -> tuple[int, float]:
    """Return how many rows fit into the GPU's memory in one call, and the capacity that saturates the GPU.

    Beyond that capacity another request slows all the others down and ends no sooner than if it had waited.
    """

    def run_rows(rows: int) -> None:
        with torch.inference_mode():
            family.example_call(rows).run(family.forward)

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
    side = family.native_side
    capacity = max(4.0, saturating / 2 * side * side / (512 * 512))
    log.info("gpu_measured", extra={"largest_rows": largest, "saturation_rows": saturating, "capacity": capacity})
    return largest, capacity
