"""Several models on one GPU: loaded on demand, and the least recently used one evicted when memory is short."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from .batch_policy import Capacity
from .engine import Engine, EngineBroken, ModelTooLarge, ModelUnavailable
from .error_causes import is_device_fault

log = logging.getLogger(__name__)
BATCH_BYTES = 3 * 2**30  # bytes that a running batch needs beside the weights
# Loading uses the GPU for up to minutes, and a model that failed will most likely fail again.
REMEMBER_FAILURE_S = 300.0


class EngineCache:
    """The loaded engines by profile. Belongs to the thread that advances them; other threads may only iterate."""

    def __init__(
        self,
        load: Callable[[str], Engine],
        *,
        free_bytes: Callable[[], int | None],
        max_engines: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`free_bytes` returns the GPU's free bytes, None where there is no limit. `max_engines`: loaded at once."""
        self._load = load
        self._free_bytes = free_bytes
        self._max_engines = max_engines
        self._clock = clock
        self._failures: dict[str, tuple[float, str]] = {}
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._snapshot: tuple[Engine, ...] = ()

    def __getitem__(self, profile: str) -> Engine:
        self._engines.move_to_end(profile)
        return self._engines[profile]

    def __iter__(self) -> Iterator[Engine]:
        """Iterate over the loaded engines. Thread-safe."""
        return iter(self._snapshot)

    def capacities(self) -> dict[str, Capacity]:
        """Return the capacity of each loaded profile."""
        return {
            name: Capacity(capacity=engine.capacity, used_capacity=engine.used_capacity)
            for name, engine in self._engines.items()
        }

    def load(self, profile: str) -> Engine:
        """Return the profile's engine. Load it first if needed, and evict idle ones for it.

        A failure is raised again without another attempt for REMEMBER_FAILURE_S. Raise ModelUnavailable, EngineBroken.
        """
        if profile not in self._engines:
            if (failure := self.load_failure(profile)) is not None:
                raise ModelUnavailable(failure)
            self._evict_for(profile)
            try:
                engine = self._load_evicting(profile)
            except ModelUnavailable as error:
                self._failures[profile] = (self._clock() + REMEMBER_FAILURE_S, str(error))
                raise
            self._engines[profile] = engine
            self._snapshot = tuple(self._engines.values())
            self._sizes[profile] = engine.memory_bytes
        return self[profile]

    def load_failure(self, profile: str) -> str | None:
        """Return why the profile recently failed to load, or None."""
        until, why = self._failures.get(profile, (float("-inf"), ""))
        return why if self._clock() < until else None

    def profiles_of(self, engine: Engine) -> frozenset[str]:
        """Return the profiles that the engine serves."""
        return frozenset(name for name, loaded in self._engines.items() if loaded is engine)

    def drop(self, engine: Engine) -> None:
        """Close an engine and forget it. The next request loads it again."""
        for name, loaded in list(self._engines.items()):
            if loaded is engine:
                del self._engines[name]
        self._snapshot = tuple(self._engines.values())
        try:
            engine.close()
        except Exception:
            # It may be dropped because it fails; its memory is lost then.
            log.exception("engine_not_closed")

    def close(self) -> None:
        for engine in self:
            self.drop(engine)

    def _load_evicting(self, profile: str) -> Engine:
        while True:
            try:
                return self._load(profile)
            except ModelTooLarge:
                idle = self._idle()
                if not idle:
                    raise
            except (ModelUnavailable, EngineBroken):
                raise
            except Exception as error:
                # What libraries raise depends on the model's files, so it concerns this model only.
                if is_device_fault(error):
                    raise EngineBroken(type(error).__name__) from error
                raise ModelUnavailable(f"{profile}: {type(error).__name__}: {str(error)[:300]}") from error
            # Outside the handler: the exception's frames hold what was loaded so far.
            self._evict(idle[0])

    def _idle(self) -> list[str]:
        """Return the profiles of the idle engines, the least recently used first."""
        return [name for name, engine in self._engines.items() if not engine.used_capacity]

    def _evict(self, name: str) -> None:
        log.info("model_evicted", extra={"model": name})
        self.drop(self._engines[name])

    def _evict_for(self, profile: str) -> None:
        # An unknown model is assumed to be as large as the largest known one.
        need = self._sizes.get(profile, max(self._sizes.values(), default=0)) + BATCH_BYTES
        for name in self._idle():
            free = self._free_bytes()
            if len(self._engines) < self._max_engines and (free is None or free >= need):
                return
            self._evict(name)
