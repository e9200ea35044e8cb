"""Runs one request's part of the work, so that an error in it fails that request and no other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from .adapters.low_rank import AdapterUnusable
from .engine import EngineBroken, Failed, GenerationRequest
from .error_causes import NotFinite, is_device_fault, is_out_of_memory

log = logging.getLogger(__name__)
T = TypeVar("T")


def run_isolated(request: GenerationRequest, action: Callable[[], T], *, device: torch.device) -> T | Failed:
    """Return what `action` returns, or Failed for this request if it raises. Raise EngineBroken."""
    try:
        return action()
    except Exception as error:
        # Third-party models, schedulers and codecs: there is no list of what they raise.
        failed = failed_event(request, error, device=device)
    if failed.reason == "out_of_memory" and device.type == "cuda":
        # Outside the handler: the exception's frames hold the tensors that did not fit.
        torch.cuda.empty_cache()
    return failed


def failed_event(request: GenerationRequest, error: Exception, *, device: torch.device) -> Failed:
    """Return the event that ends the request that caused `error`. Raise EngineBroken where the GPU caused it."""
    raise_if_device_broken(error, device=device)
    kind = type(error).__name__
    log.warning("request_failed", extra={"job_id": request.id, "error": kind})
    if is_out_of_memory(error):
        return Failed(id=request.id, reason="out_of_memory", permanent=False)
    if isinstance(error, AdapterUnusable):
        return Failed(id=request.id, reason="lora_unusable", detail=str(error))
    detail = str(error) if isinstance(error, NotFinite) else kind
    return Failed(id=request.id, reason="not_possible", detail=f"{request.sampler}: {detail}")


def raise_if_device_broken(error: Exception, *, device: torch.device) -> None:
    """Raise EngineBroken if the GPU no longer computes.

    A GPU that still computes is not broken, whatever the error says. Without a GPU the error decides.
    """
    if isinstance(error, EngineBroken):
        raise error
    broken = not device_works(device) if device.type == "cuda" else is_device_fault(error)
    if broken:
        raise EngineBroken(type(error).__name__) from error


def device_works(device: torch.device) -> bool:
    """Whether the device computes something small."""
    try:
        return bool(torch.ones(8, device=device).sum().item() == 8)
    except RuntimeError as error:
        return is_out_of_memory(error)


def require_finite(tensor: torch.Tensor, where: str) -> None:
    """Raise NotFinite unless every number is finite. Waits for the device."""
    if not bool(torch.isfinite(tensor).all()):
        raise NotFinite(f"not finite in {where}")
