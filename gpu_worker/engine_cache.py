"""Several models on one card: loaded when asked for, the one used longest ago leaves when room is needed."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from .batch_policy import Capacity
from .engine import Engine, EngineBroken, ModelTooLarge, ModelUnavailable
from .errors import is_device_fault

log = logging.getLogger(__name__)
HEADROOM = 3 * 2**30  # what a running batch needs beside the weights
# Loading occupies the card for up to minutes; a model that failed is most likely to fail again.
REMEMBER_FAILURE_S = 300.0


class EngineCache:
    """The loaded engines by profile. Belongs to the thread that advances them, but for iterating."""

    def __init__(
        self,
        load: Callable[[str], Engine],
        *,
        free: Callable[[], int | None],
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`free` tells the card's free bytes, None where memory is not rationed; `most` engines at once in any case."""
        self._load = load
        self._free = free
        self._most = most
        self._clock = clock
        self._failures: dict[str, tuple[float, str]] = {}
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._snapshot: tuple[Engine, ...] = ()

    def __getitem__(self, profile: str) -> Engine:
        self._engines.move_to_end(profile)
        return self._engines[profile]

    def __iter__(self) -> Iterator[Engine]:
        """Iterate over the loaded engines; other threads may do so too."""
        return iter(self._snapshot)

    def rooms(self) -> dict[str, Capacity]:
        """Return the room of each loaded engine."""
        return {name: Capacity(capacity=engine.room, load=engine.load) for name, engine in self._engines.items()}

    def load(self, profile: str) -> Engine:
        """Load the profile's engine unless it is there, evicting idle ones first. Raise ModelUnavailable, EngineBroken.

        A failure is remembered for REMEMBER_FAILURE_S; until then it is raised again without another try.
        """
        if profile not in self._engines:
            if (failure := self.failure(profile)) is not None:
                raise ModelUnavailable(failure)
            self._evict_for(profile)
            try:
                engine = self._loaded(profile)
            except ModelUnavailable as error:
                self._failures[profile] = (self._clock() + REMEMBER_FAILURE_S, str(error))
                raise
            self._engines[profile] = engine
            self._snapshot = tuple(self._engines.values())
            self._sizes[profile] = engine.memory_bytes
        return self[profile]

    def failure(self, profile: str) -> str | None:
        """Return why the profile could not be loaded a short while ago, or None."""
        until, why = self._failures.get(profile, (float("-inf"), ""))
        return why if self._clock() < until else None

    def profiles_of(self, engine: Engine) -> frozenset[str]:
        """Return the names that the engine is loaded by."""
        return frozenset(name for name, each in self._engines.items() if each is engine)

    def drop(self, engine: Engine) -> None:
        """Forget an engine that cannot be trusted any more; the next request loads it again."""
        for name, each in list(self._engines.items()):
            if each is engine:
                del self._engines[name]
        self._snapshot = tuple(self._engines.values())
        try:
            engine.close()
        except Exception:
            # It was dropped since it fails; what it still held is lost with it.
            log.exception("engine_not_closed")

    def close(self) -> None:
        for engine in self:
            self.drop(engine)

    def _loaded(self, profile: str) -> Engine:
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
                # Libraries raise what the model's files lead them to: that concerns this model and no other.
                if is_device_fault(error):
                    raise EngineBroken(type(error).__name__) from error
                raise ModelUnavailable(f"{profile}: {type(error).__name__}: {str(error)[:300]}") from error
            # Outside of the handler: the exception's frames hold what was loaded so far.
            self._evict(idle[0])

    def _idle(self) -> list[str]:
        """The engines that nobody uses, the one used longest ago first."""
        return [name for name, engine in self._engines.items() if not engine.load]

    def _evict(self, name: str) -> None:
        log.info("model_evicted", extra={"model": name})
        self.drop(self._engines[name])

    def _evict_for(self, profile: str) -> None:
        # A model not met yet is taken to be as large as the largest that was.
        need = self._sizes.get(profile, max(self._sizes.values(), default=0)) + HEADROOM
        for name in self._idle():
            free = self._free()
            if len(self._engines) < self._most and (free is None or free >= need):
                return
            self._evict(name)
