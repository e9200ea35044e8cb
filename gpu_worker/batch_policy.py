"""Which requests join the running batch, and how its rows share the model's calls. Pure.

A request that fits joins at the next step. A request whose model must first be loaded is overtaken only by requests of
loaded models, and for at most `MAX_OVERTAKEN_S`. After that no request joins before it, so it waits for the requests
then inside and no longer. The same holds for a request that must run alone, since it may be what breaks engines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_OVERTAKEN_S = 10.0
SATURATION_RATIO = 0.93
# A request of four images with guidance has 8 rows, one image has 2.
COMPILED_ROWS = (8, 16, 4, 2, 24, 32, 48, 64)
MAX_PADDING = 0.25  # of the requested rows: a compiled call saves about as much


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """A claimed request that is in no engine yet. `cost` in images of 512x512, `claimed_at` in seconds of any clock."""

    id: int
    profile: str
    cost: float
    claimed_at: float
    is_alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """`admitted`: the ids that join now, in order. `load_profile`: what to load first, or None."""

    admitted: tuple[int, ...] = ()
    load_profile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """A loaded profile: how much cost it takes at once, and how much of that is used."""

    capacity: float
    used_capacity: float

    def can_take(self, cost: float) -> bool:
        # An empty engine takes a request of any cost: else that request would wait for ever.
        return self.used_capacity == 0 or self.used_capacity + cost <= self.capacity

    def with_cost(self, cost: float) -> Capacity:
        return Capacity(capacity=self.capacity, used_capacity=self.used_capacity + cost)


def admit(
    pending: Sequence[PendingRequest],
    *,
    capacities: Mapping[str, Capacity],
    now: float,
    has_exclusive: bool = False,
) -> Admission:
    """Decide which requests join. `pending` is in order of arrival; `capacities` are those of the loaded profiles.

    `has_exclusive`: a request inside must stay alone.
    """
    if has_exclusive:
        return Admission()
    capacities = dict(capacities)
    admitted: list[int] = []
    full: set[str] = set()
    for request in pending:
        capacity = capacities.get(request.profile)
        if capacity is None or request.is_alone:
            if not admitted and not any(other.used_capacity for other in capacities.values()):
                if capacity is None:
                    return Admission(load_profile=request.profile)
                return Admission(admitted=(request.id,))
            if now - request.claimed_at >= MAX_OVERTAKEN_S:
                break
        elif request.profile not in full and capacity.can_take(request.cost):
            capacities[request.profile] = capacity.with_cost(request.cost)
            admitted.append(request.id)
        else:
            # No overtaking within a profile: members were told their place in the queue.
            full.add(request.profile)
    return Admission(admitted=tuple(admitted))


def split_rows(rows: int, *, largest: int) -> tuple[slice, ...]:
    """Split `rows` into as few even slices as `largest` allows: 20 rows of at most 16 are 10 and 10, not 16 and 4."""
    if rows <= 0:
        return ()
    count = -(-rows // largest)
    edges = [rows * index // count for index in range(count + 1)]
    return tuple(slice(start, end) for start, end in pairwise(edges))


def saturation_rows(seconds_per_row: Callable[[int], float], *, max_rows: int) -> int:
    """Return the number of rows that saturates the GPU: twice as many would make a row less than 7 % cheaper.

    Each number is measured once, and only one beyond the result, because a slow GPU delays the start.
    """
    rows, best = 2, seconds_per_row(2)
    while 2 * rows <= max_rows:
        seconds = seconds_per_row(2 * rows)
        if seconds > SATURATION_RATIO * best:
            break
        rows, best = 2 * rows, seconds
    return rows


def rows_to_compile(*, max_rows: int) -> tuple[int, ...]:
    """Return the numbers of rows to compile a model for, the most useful first. A call has at most `max_rows`."""
    return tuple(rows for rows in COMPILED_ROWS if rows <= max_rows)


def padded_rows(rows: int, *, ready: Collection[int]) -> int | None:
    """Return the number of rows to pad to for a compiled call, or None: run it uncompiled."""
    padded = min((compiled for compiled in ready if compiled >= rows), default=None)
    return padded if padded is not None and padded - rows <= MAX_PADDING * rows else None
