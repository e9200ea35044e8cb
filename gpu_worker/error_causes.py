"""Tells the cause of an exception: the device, its memory, or the request. Imports no torch, only knows its names."""

from __future__ import annotations

from collections.abc import Iterator

# RuntimeErrors of a GPU name the library that reports them. torch.AcceleratorError is known by its class.
_LIBRARIES = ("CUDA", "cuBLAS", "CUBLAS", "cuDNN", "CUDNN", "cuSOLVER", "CUSOLVER", "cuFFT", "CUFFT", "NVRTC", "HIP")
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
# These come from a healthy GPU, or without one.
_HARMLESS = ("compiled with CUDA", "NOT_SUPPORTED", "no kernel image", "invalid configuration argument")


class NotFinite(Exception):
    """The model's numbers became NaN or infinite; the message says where. Such an image must never be shown."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory. Less work may fit."""
    return any(
        isinstance(cause, MemoryError)
        or "OutOfMemoryError" in _class_names(cause)
        or (isinstance(cause, RuntimeError) and any(words in str(cause) for words in _OUT_OF_MEMORY))
        for cause in _causes(error)
    )


def is_device_fault(error: BaseException) -> bool:
    """Whether the device itself failed: after that every call on it fails."""
    if is_out_of_memory(error):
        return False
    return any(
        isinstance(cause, RuntimeError)
        and ("AcceleratorError" in _class_names(cause) or any(name in str(cause) for name in _LIBRARIES))
        and not any(words in str(cause) for words in _HARMLESS)
        for cause in _causes(error)
    )


def _class_names(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__
