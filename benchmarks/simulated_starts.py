"""How long instances take to start, and the warm pool that some of them come from."""

from __future__ import annotations

import random
from collections.abc import Sequence

from . import assumptions
from .policies import Fleet


class Starts:
    """`warm` is how many stopped instances are ready now; `refill_s` sums how long their replacements ran."""

    def __init__(self, fleet: Fleet, chance: random.Random) -> None:
        self.fleet, self.chance = fleet, chance
        self.warm = fleet.warm_pool
        self.refill_s = 0.0

    def take(self) -> tuple[float, float | None]:
        """Return the seconds until an instance is ready, and until its replacement is in the warm pool.

        The latter is None for an instance that did not come from the pool.
        """
        if not self.warm:
            return self._length_s(assumptions.COLD_START, self.fleet.cold_start_s), None
        self.warm -= 1
        refill_s = self._length_s(assumptions.REFILL, self.fleet.refill_s)
        self.refill_s += refill_s
        return self._length_s(assumptions.WARM_START, self.fleet.warm_start_s), refill_s

    def _length_s(self, stages: Sequence[assumptions.Stage], usual_s: float) -> float:
        share = assumptions.draw_s(stages, self.chance) / assumptions.usual_s(stages)
        return usual_s * (1 + self.fleet.starts_vary * (share - 1))
