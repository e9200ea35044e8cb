"""The adapters of one engine: loaded beside the batch, applied to prompts when a request begins, and to its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .adapters.layer_names import DENOISERS, TEXT_ENCODERS
from .adapters.loading import load
from .adapters.low_rank import Mix
from .adapters.mixed_layers import MixedLayers, twin_of
from .adapters.store import AdapterCache
from .engine import GenerationRequest
from .families.family import Family, RunningRequest


class LoadedAdapters:
    """Loads the adapters of requests beside the batch. Belongs to the engine's thread."""

    def __init__(self, pipe: Any) -> None:
        self._store = AdapterCache(lambda use: load(use.path, pipe, key=use.key))

    def request(self, request: GenerationRequest) -> None:
        """Start to load what the request needs."""
        self._store.request(request.adapters)

    def is_ready(self, request: GenerationRequest) -> bool:
        return not request.adapters or self._store.is_ready(request.adapters)

    def wait(self, requests: Sequence[GenerationRequest], *, timeout_s: float) -> None:
        """Wait until an adapter of these requests is loaded, or the time is over."""
        self._store.wait([use for request in requests for use in request.adapters], timeout_s=timeout_s)

    def close(self) -> None:
        self._store.close()

    def _mix_of(self, request: GenerationRequest) -> Mix:
        """Return the request's adapters. Raise AdapterUnusable."""
        return self._store.get(request.adapters) if request.adapters else ()


class WholeCallAdapters(LoadedAdapters):
    """Applies the adapters of one request to whole calls of a pipeline."""

    def __init__(self, pipe: Any) -> None:
        super().__init__(pipe)
        self._pipe = pipe
        self._parts: dict[str, MixedLayers] = {}

    @contextmanager
    def applied(self, request: GenerationRequest) -> Iterator[None]:
        """Apply the request's adapters to all rows of the pipeline's calls meanwhile. Raise AdapterUnusable."""
        mix = self._mix_of(request)
        used = {part for weighted in mix for part in weighted.adapter.pairs}
        for part in used - self._parts.keys():
            self._parts[part] = MixedLayers(getattr(self._pipe, part), part=part)
        try:
            for part in used:
                self._parts[part].use([mix])
            yield
        finally:
            for part in used:
                self._parts[part].use([])


class EngineAdapters(LoadedAdapters):
    """Applies adapters to prompts when a request begins, and to its rows. Nothing is prepared before the first use."""

    def __init__(self, family: Family) -> None:
        super().__init__(family.pipe)
        self._family = family
        self._denoiser: MixedLayers | None = None
        self._forward: Callable[..., Any] | None = None
        self._encoders: dict[str, MixedLayers] = {}

    def begin(self, request: GenerationRequest) -> RunningRequest:
        """Return the request as it enters the batch. Raise AdapterUnusable, and what `Family.begin` raises."""
        mix = self._mix_of(request)
        with self._encoding_with(mix):
            run = self._family.begin(request)
        run.mix = mix
        return run

    def forward(self, rows: Sequence[Mix]) -> Callable[..., Any]:
        """Return the denoiser that applies `rows[i]` to row `i` of its next call."""
        if self._denoiser is None or self._forward is None:
            part = next(name for name in DENOISERS if getattr(self._family.pipe, name, None) is not None)
            self._denoiser = MixedLayers(twin_of(self._family.denoiser), part=part)
            self._forward = self._family.forward_of(self._denoiser.model)
        self._denoiser.use(rows)
        return self._forward

    @contextmanager
    def _encoding_with(self, mix: Mix) -> Iterator[None]:
        """Apply the adapters to the text encoders meanwhile."""
        parts = {part for weighted in mix for part in weighted.adapter.pairs if part in TEXT_ENCODERS}
        if not parts:
            yield
            return
        for part in parts - self._encoders.keys():
            # Not a twin: families and pipelines hold the encoder itself. It is never compiled.
            self._encoders[part] = MixedLayers(getattr(self._family.pipe, part), part=part)
        self._family.use_text_variant(tuple((weighted.adapter.key, weighted.weight) for weighted in mix))
        try:
            for part in parts:
                self._encoders[part].use([mix])
            yield
        finally:
            self._family.use_text_variant(())
            for part in parts:
                self._encoders[part].use([])
