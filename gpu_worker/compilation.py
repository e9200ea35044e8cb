"""Compiles the denoiser by torch.compile in the background, so that no request waits for it.

Compiling takes minutes on a machine without a cache. So requests first run uncompiled. After the first images, or when
the GPU is idle, a thread compiles the few shapes that most calls have. When all of them are compiled, calls of these
shapes use them. Every other shape runs uncompiled for ever. The cache is in TORCHINDUCTOR_CACHE_DIR.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import torch

from .batch_policy import padded_rows
from .denoiser_arguments import DenoiserCall

log = logging.getLogger(__name__)


class CompiledDenoiser:
    """One denoiser and its compiled form. `call` belongs to the engines' thread, `start` and `stop` are thread-safe."""

    def __init__(
        self,
        denoiser: Any,
        *,
        example: Callable[[int], DenoiserCall],
        rows: Collection[int],
        backend: str | Callable[..., Any],
    ) -> None:
        """`example` returns a call of so many rows in the commonest shape; `backend` is torch.compile's."""
        self._forward = torch.compile(denoiser, dynamic=False, backend=backend)
        self._example_call = example
        self._rows = rows
        self._shape = example(1).shape
        self._ready: frozenset[int] = frozenset()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._compile, name="compile", daemon=True)
        self.finished = threading.Event()  # compilation has ended, also by an error

    @property
    def is_compiling(self) -> bool:
        """Whether it compiles now, which uses GPU memory for one more call."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start to compile, unless that was started before."""
        if self._thread.ident is None and not self._stopping.is_set():
            self._thread.start()

    def stop(self) -> None:
        """Compile no further shape. The current one is finished."""
        self._stopping.set()
        self.finished.set()

    def call(self, call: DenoiserCall) -> tuple[Any, ...] | None:
        """Return the outputs of a compiled call, or None where this call must run uncompiled."""
        if not self._ready or call.shape != self._shape:
            return None
        rows = padded_rows(call.rows, ready=self._ready)
        if rows is None:
            return None
        return tuple(output[: call.rows] for output in call.padded_to(rows).run(self._forward))

    def _compile(self) -> None:
        began = time.perf_counter()
        ready = set()
        try:
            with _compile_lock, torch.inference_mode():
                # Each number of rows recompiles the same code, and the default limit is eight.
                torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 4 * len(self._rows))
                torch.compiler.set_stance("default")
                for rows in self._rows:
                    if self._stopping.is_set():
                        return
                    try:
                        self._example_call(rows).padded_to(rows).run(self._forward)
                        ready.add(rows)
                    except torch.OutOfMemoryError:
                        log.info("not_compiled", extra={"rows": rows})
                        torch.cuda.empty_cache()
                # A call that differs in anything else runs uncompiled instead of waiting for the compiler.
                torch.compiler.set_stance("eager_on_recompile")
        except Exception:
            log.exception("compiling_failed")
        else:
            self._ready = frozenset(ready)
            seconds = round(time.perf_counter() - began, 1)
            log.info("model_compiled", extra={"rows": sorted(ready), "seconds": seconds})
        finally:
            self.finished.set()


# The compiler's stance and state belong to the whole process.
_compile_lock = threading.Lock()
