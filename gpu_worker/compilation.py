"""The UNet through torch.compile, and nobody waits for it.

Compiling takes minutes on a machine that has never done it. So requests are served as they come, uncompiled; after the
first pictures, or once the card is idle, a thread compiles the few shapes that most calls have, and only when it is
done with all of them are calls of these shapes compiled ones. Whatever else is asked runs uncompiled for ever: no
request compiles anything. The cache is kept where TORCHINDUCTOR_CACHE_DIR points.
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
class Call:
    """The arguments of one call of the UNet; every tensor has a row for each of `sample`'s."""

    sample: torch.Tensor
    times: torch.Tensor
    states: torch.Tensor
    cond: torch.Tensor | None
    added: dict[str, torch.Tensor]

    def by(self, forward: Callable[..., Any]) -> torch.Tensor:
        """Return what `forward` (the UNet, or its compiled form) makes of it."""
        noise: torch.Tensor = forward(
            self.sample,
            self.times,
            return_dict=False,
            encoder_hidden_states=self.states,
            timestep_cond=self.cond,
            added_cond_kwargs=self.added or None,
        )[0]
        return noise

    @property
    def shape(self) -> tuple[object, ...]:
        """What but the number of rows a compiled call is made for."""
        return (self.sample.shape[1:], self.states.shape[1:], self.cond is None, tuple(sorted(self.added)))

    def padded(self, rows: int) -> Call:
        """Return the call with its first row repeated until it has so many."""
        more = rows - len(self.sample)

        def pad(tensor: torch.Tensor) -> torch.Tensor:
            return torch.cat([tensor, tensor[:1].expand(more, *tensor.shape[1:])]) if more else tensor

        return Call(
            sample=_laid_out(pad(self.sample)),
            times=pad(self.times),
            states=pad(self.states),
            cond=None if self.cond is None else pad(self.cond),
            added={name: pad(tensor) for name, tensor in self.added.items()},
        )


class Compiled:
    """One UNet and its compiled form. `call` belongs to the engines' thread, `begin` and `stop` are for any."""

    def __init__(
        self, unet: Any, *, example: Callable[[int], Call], rows: Collection[int], backend: str | Callable[..., Any]
    ) -> None:
        """`example` makes a call of so many rows of the shape that is asked for most; `backend` is torch.compile's."""
        self._forward = torch.compile(unet, dynamic=False, backend=backend)
        self._example = example
        self._rows = rows
        self._shape = example(1).shape
        self._ready: frozenset[int] = frozenset()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._compile, name="compile", daemon=True)
        self.finished = threading.Event()  # it will get no better

    @property
    def busy(self) -> bool:
        """Whether it compiles now, with the card's memory for one call more."""
        return self._thread.is_alive()

    def begin(self) -> None:
        """Start to compile, unless that was started before."""
        if self._thread.ident is None and not self._stopping.is_set():
            self._thread.start()

    def stop(self) -> None:
        """Compile no further shape. The one at hand goes on to its end."""
        self._stopping.set()
        self.finished.set()

    def call(self, call: Call) -> torch.Tensor | None:
        """Return the prediction by a compiled call, or None where this call must run uncompiled."""
        if not self._ready or call.shape != self._shape:
            return None
        wanted = len(call.sample)
        rows = padded_rows(wanted, ready=self._ready)
        return None if rows is None else call.padded(rows).by(self._forward)[:wanted]

    def _compile(self) -> None:
        began = time.perf_counter()
        ready = set()
        try:
            with _one_at_a_time, torch.inference_mode():
                # Each number of rows is a recompilation of the same code, and the default allows eight.
                torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 4 * len(self._rows))
                torch.compiler.set_stance("default")
                for rows in self._rows:
                    if self._stopping.is_set():
                        return
                    try:
                        self._example(rows).padded(rows).by(self._forward)
                        ready.add(rows)
                    except torch.OutOfMemoryError:
                        log.info("not_compiled", extra={"rows": rows})
                        torch.cuda.empty_cache()
                # Should a call differ in what no one thought of, it runs uncompiled and does not wait for a compiler.
                torch.compiler.set_stance("eager_on_recompile")
        except Exception:
            log.exception("compiling_failed")
        else:
            self._ready = frozenset(ready)
            seconds = round(time.perf_counter() - began, 1)
            log.info("model_compiled", extra={"rows": sorted(ready), "seconds": seconds})
        finally:
            self.finished.set()


# The stance is one for the whole process, and so is the compiler's state.
_one_at_a_time = threading.Lock()


def _laid_out(sample: torch.Tensor) -> torch.Tensor:
    return sample.contiguous(memory_format=torch.channels_last) if sample.device.type == "cuda" else sample.contiguous()
