"""A simulated worker: the requests in its hand share one GPU, as gpu_worker's batches do."""

from __future__ import annotations

from dataclasses import dataclass, field

from .policies import Batch

DONE_S = 1e-6
"""Less work than this is a rounding error."""


@dataclass(slots=True, kw_only=True)
class Running:
    """A request in hand. `left_s` is its remaining work, alone on the GPU."""

    number: int
    model: int
    adapter: int
    left_s: float
    began: float
    gpu_s: float = 0.0
    """Its share of the GPU's time so far."""


@dataclass(slots=True, kw_only=True)
class SimulatedWorker:
    """Times are seconds since the start. `turn` counts changes of the hand, so that an outdated event is known."""

    number: int
    batch: Batch
    billed_from: float
    ready_at: float
    zone: int = 0
    hand: dict[int, Running] = field(default_factory=dict)
    loaded: list[int] = field(default_factory=lambda: [0])
    """The least recently used model first."""
    loading: int | None = None
    loads_for: tuple[int, float] = (-1, 0.0)
    """The request whose model was loaded last, and since when: from then on it counts as running."""
    since: float = 0.0
    turn: int = 0
    leaving: bool = False
    gone: bool = False
    relaxed: int | None = None
    relaxed_left_s: float = 0.0
    relaxed_until: float | None = None
    """When the relaxed request is done; None while a prompt one has the GPU."""

    def serves(self, now: float) -> bool:
        """Whether it may take requests."""
        return not self.gone and not self.leaving and self.loading is None and self.ready_at <= now

    def is_full(self, model: int) -> bool:
        return sum(each.model == model for each in self.hand.values()) >= self.batch.in_hand

    def join(self, request: Running, now: float) -> None:
        self.advance(now)
        self.hand[request.number] = request
        self.loaded.remove(request.model)
        self.loaded.append(request.model)

    def load(self, model: int) -> None:
        """The model takes the place of the one that was used least recently, if the memory is full."""
        self.loaded = [*self.loaded, model][-self.batch.models :]

    def call_length(self) -> float:
        """Return how long the models' calls take together, as a multiple of one request's alone."""
        if len(self.hand) == 1:
            (only,) = self.hand.values()
            return self.batch.call_length(1, int(only.adapter > 0))
        total = 0.0
        for model in {each.model for each in self.hand.values()}:
            mine = [each for each in self.hand.values() if each.model == model]
            total += self.batch.call_length(len(mine), len({each.adapter for each in mine} - {0}))
        return total

    def advance(self, now: float) -> None:
        """Let the requests in hand run until `now`."""
        if self.hand and now > self.since:
            elapsed, length = now - self.since, self.call_length()
            for each in self.hand.values():
                each.left_s -= elapsed / length
                each.gpu_s += elapsed / len(self.hand)
        self.since = now

    def next_done(self) -> float | None:
        """Return when the next request in hand is done if nothing joins."""
        if not self.hand:
            return None
        return self.since + max(0.0, min(each.left_s for each in self.hand.values())) * self.call_length()

    def take_done(self) -> list[Running]:
        """Take the requests out of the hand that are done."""
        done = [each for each in self.hand.values() if each.left_s <= DONE_S]
        for each in done:
            del self.hand[each.number]
        return done
