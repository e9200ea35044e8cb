"""Compiles the UNet by torch.compile in the background, so that no request waits for it.

Compiling takes minutes on a machine without a cache. So requests first run uncompiled. After the first images, or when
the GPU is idle, a thread compiles the few shapes that most calls have. When all of them are compiled, calls of these
shapes use them. Every other shape runs uncompiled for ever. The cache is in TORCHINDUCTOR_CACHE_DIR.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch

from .batch_policy import padded_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetCall:
    """The arguments of one call of the UNet. Every tensor has as many rows as `sample`."""

    sample: torch.Tensor
    timesteps: torch.Tensor
    encoder_hidden_states: torch.Tensor
    timestep_cond: torch.Tensor | None
    added_cond_kwargs: dict[str, torch.Tensor]

    def run(self, forward: Callable[..., Any]) -> torch.Tensor:
        """Return the prediction of `forward`, which is the UNet or its compiled form."""
        noise: torch.Tensor = forward(
            self.sample,
            self.timesteps,
            return_dict=False,
            encoder_hidden_states=self.encoder_hidden_states,
            timestep_cond=self.timestep_cond,
            added_cond_kwargs=self.added_cond_kwargs or None,
        )[0]
        return noise

    @property
    def shape(self) -> tuple[object, ...]:
        """What a compiled call is specific to, beside the number of rows."""
        return (
            self.sample.shape[1:],
            self.encoder_hidden_states.shape[1:],
            self.timestep_cond is None,
            tuple(sorted(self.added_cond_kwargs)),
        )

    def padded_to(self, rows: int) -> UNetCall:
        """Return the call with its first row repeated until it has `rows` rows."""
        more = rows - len(self.sample)

        def pad(tensor: torch.Tensor) -> torch.Tensor:
            return torch.cat([tensor, tensor[:1].expand(more, *tensor.shape[1:])]) if more else tensor

        return UNetCall(
            sample=_to_memory_format(pad(self.sample)),
            timesteps=pad(self.timesteps),
            encoder_hidden_states=pad(self.encoder_hidden_states),
            timestep_cond=None if self.timestep_cond is None else pad(self.timestep_cond),
            added_cond_kwargs={name: pad(tensor) for name, tensor in self.added_cond_kwargs.items()},
        )


class CompiledUNet:
    """One UNet and its compiled form. `call` belongs to the engines' thread, `start` and `stop` are thread-safe."""

    def __init__(
        self, unet: Any, *, example: Callable[[int], UNetCall], rows: Collection[int], backend: str | Callable[..., Any]
    ) -> None:
        """`example` returns a call of so many rows in the commonest shape; `backend` is torch.compile's."""
        self._forward = torch.compile(unet, dynamic=False, backend=backend)
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

    def call(self, call: UNetCall) -> torch.Tensor | None:
        """Return the prediction of a compiled call, or None where this call must run uncompiled."""
        if not self._ready or call.shape != self._shape:
            return None
        count = len(call.sample)
        rows = padded_rows(count, ready=self._ready)
        return None if rows is None else call.padded_to(rows).run(self._forward)[:count]

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


def _to_memory_format(sample: torch.Tensor) -> torch.Tensor:
    return sample.contiguous(memory_format=torch.channels_last) if sample.device.type == "cuda" else sample.contiguous()
