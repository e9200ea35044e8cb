"""Several models on one card: loaded when asked for, the one used longest ago leaves when room is needed."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator

from .batching import Room
from .engine import Engine, ModelTooLarge

log = logging.getLogger(__name__)
HEADROOM = 3 * 2**30  # what a running batch needs beside the weights


class Profiles:
    """The loaded engines by profile. Belongs to the thread that advances them, but for iterating."""

    def __init__(self, load: Callable[[str], Engine], *, free: Callable[[], int | None], most: int) -> None:
        """`free` tells the card's free bytes, None where memory is not rationed; `most` engines at once in any case."""
        self._load = load
        self._free = free
        self._most = most
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._snapshot: tuple[Engine, ...] = ()

    def __getitem__(self, profile: str) -> Engine:
        self._engines.move_to_end(profile)
        return self._engines[profile]

    def __iter__(self) -> Iterator[Engine]:
        """Iterate over the loaded engines; other threads may do so too."""
        return iter(self._snapshot)

    def rooms(self) -> dict[str, Room]:
        """Return the room of each loaded engine."""
        return {name: Room(capacity=engine.room, load=engine.load) for name, engine in self._engines.items()}

    def load(self, profile: str) -> Engine:
        """Load the profile's engine unless it is there, evicting idle ones first. Raise ModelUnavailable."""
        if profile not in self._engines:
            self._make_room(profile)
            engine = self._loaded(profile)
            self._engines[profile] = engine
            self._snapshot = tuple(self._engines.values())
            self._sizes[profile] = engine.memory_bytes
        return self[profile]

    def drop(self, engine: Engine) -> None:
        """Forget an engine that cannot be trusted any more; the next request loads it anew."""
        for name, each in list(self._engines.items()):
            if each is engine:
                del self._engines[name]
        self._snapshot = tuple(self._engines.values())
        engine.close()

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
            # Outside of the handler: the exception's frames hold what was loaded so far.
            self._evict(idle[0])

    def _idle(self) -> list[str]:
        """The engines that nobody uses, the one used longest ago first."""
        return [name for name, engine in self._engines.items() if not engine.load]

    def _evict(self, name: str) -> None:
        log.info("model_evicted", extra={"model": name})
        self.drop(self._engines[name])

    def _make_room(self, profile: str) -> None:
        # A model not met yet is taken to be as large as the largest that was.
        need = self._sizes.get(profile, max(self._sizes.values(), default=0)) + HEADROOM
        for name in self._idle():
            free = self._free()
            if len(self._engines) < self._most and (free is None or free >= need):
                return
            self._evict(name)
