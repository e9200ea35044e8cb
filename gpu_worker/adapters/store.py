"""The adapters that an engine has loaded: on a thread of their own, and the least recently used ones dropped."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from ..engine import AdapterUse
from .low_rank import LoadedAdapter, Mix, WeightedAdapter

log = logging.getLogger(__name__)
MAX_BYTES = 2 * 2**30
# Failed loads are kept until as many others have failed or were loaded.
MAX_ADAPTERS = 256


class AdapterCache:
    """Belongs to the engine's thread. Only `load` runs on another one, so that a batch goes on meanwhile."""

    def __init__(self, load: Callable[[AdapterUse], LoadedAdapter], *, max_bytes: int = MAX_BYTES) -> None:
        self._load = load
        self._max_bytes = max_bytes
        self._loads: OrderedDict[str, Future[LoadedAdapter]] = OrderedDict()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="adapters")

    def request(self, uses: Iterable[AdapterUse]) -> None:
        """Start to load those that are not loaded. One that failed is tried again."""
        for use in uses:
            load = self._loads.get(use.key)
            if load is None or (load.done() and load.exception() is not None):
                self._loads[use.key] = self._thread.submit(self._load, use)
            self._loads.move_to_end(use.key)

    def is_ready(self, uses: Iterable[AdapterUse]) -> bool:
        """Whether `get` returns or raises at once."""
        return all(self._future(use).done() for use in uses)

    def get(self, uses: Iterable[AdapterUse]) -> Mix:
        """Return the loaded adapters with their weights. Raise what loading one of them raised."""
        mix = tuple(WeightedAdapter(adapter=self._future(use).result(), weight=use.weight) for use in uses)
        self._evict(kept={weighted.adapter.key for weighted in mix})
        return mix

    def wait(self, uses: Iterable[AdapterUse], *, timeout_s: float) -> None:
        """Wait until one of them is loaded, or the time is over."""
        loads = [load for use in uses if not (load := self._future(use)).done()]
        if loads:
            wait(loads, timeout=timeout_s, return_when="FIRST_COMPLETED")

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._loads.clear()

    def _future(self, use: AdapterUse) -> Future[LoadedAdapter]:
        if use.key not in self._loads:
            # Dropped since it was requested.
            self.request([use])
        return self._loads[use.key]

    def _evict(self, *, kept: set[str]) -> None:
        """Drop the least recently used ones until the others fit. Requests that still use one keep it alive."""
        loaded = {
            key: load.result().bytes for key, load in self._loads.items() if load.done() and load.exception() is None
        }
        total = sum(loaded.values())
        for key in list(self._loads):
            if total <= self._max_bytes and len(self._loads) <= MAX_ADAPTERS:
                return
            if key not in kept and self._loads[key].done():
                total -= loaded.get(key, 0)
                del self._loads[key]
                log.info("adapter_evicted", extra={"adapter": key})
