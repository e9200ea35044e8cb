"""Who joins the running batch, and how its rows share the model's calls. Pure.

The bound: a request that fits is never held back for company, it joins at the next step. One whose model must first be
loaded is overtaken only by requests of models that are, and for at most `MAX_OVERTAKEN_S`; after that nobody joins
before it does, so it waits as long as the requests then inside still take, no longer. The same holds for a request that
must run alone, since it may be the one that breaks engines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_OVERTAKEN_S = 10.0
WORTH = 0.93
# A request of four pictures with guidance has 8 rows, one picture has 2.
COMPILED_ROWS = (8, 16, 4, 2, 24, 32, 48, 64)
MOST_PADDING = 0.25  # of the rows asked for: a compiled call gains about as much


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A claimed request that no engine has yet. `weight` in pictures of 512x512, `since` in seconds of any clock."""

    id: int
    profile: str
    weight: float
    since: float
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """`join`: who joins now, in order. `load`: the profile to load next, once the card is idle enough; or None."""

    join: tuple[int, ...] = ()
    load: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """A loaded profile: how much weight it serves at once, and how much is inside."""

    capacity: float
    load: float

    def takes(self, weight: float) -> bool:
        # An empty engine takes any request, however heavy: none may wait for ever.
        return self.load == 0 or self.load + weight <= self.capacity


def admit(waiting: Sequence[Waiting], *, rooms: Mapping[str, Capacity], now: float, closed: bool = False) -> Admission:
    """Decide who joins. `waiting` is in order of arrival; `rooms` are the loaded profiles.

    `closed`: a request inside must stay alone.
    """
    if closed:
        return Admission()
    rooms = dict(rooms)
    join: list[int] = []
    full: set[str] = set()
    for each in waiting:
        room = rooms.get(each.profile)
        if room is None or each.alone:
            if not join and not any(other.load for other in rooms.values()):
                return Admission(load=each.profile) if room is None else Admission(join=(each.id,))
            if now - each.since >= MAX_OVERTAKEN_S:
                break
        elif each.profile not in full and room.takes(each.weight):
            rooms[each.profile] = Capacity(capacity=room.capacity, load=room.load + each.weight)
            join.append(each.id)
        else:
            # Within a profile nobody overtakes: order of arrival is what the line promised.
            full.add(each.profile)
    return Admission(join=tuple(join))


def slices(rows: int, *, largest: int) -> tuple[slice, ...]:
    """Cut `rows` into as few even runs as `largest` allows: 20 rows of at most 16 are 10 and 10, not 16 and 4."""
    if rows <= 0:
        return ()
    runs = -(-rows // largest)
    edges = [rows * run // runs for run in range(runs + 1)]
    return tuple(slice(start, end) for start, end in pairwise(edges))


def saturation_rows(seconds_a_row: Callable[[int], float], *, most: int) -> int:
    """Return the number of rows from which on a card is busy: twice as many would make a row less than 7 % cheaper.

    Each number is measured once, and none beyond the answer but one: a slow card's start waits for it.
    """
    busy, best = 2, seconds_a_row(2)
    while 2 * busy <= most:
        seconds = seconds_a_row(2 * busy)
        if seconds > WORTH * best:
            break
        busy, best = 2 * busy, seconds
    return busy


def worth_compiling(*, most: int) -> tuple[int, ...]:
    """Return the numbers of rows to compile a model for, most wanted first, where a call has at most `most`."""
    return tuple(rows for rows in COMPILED_ROWS if rows <= most)


def padded_rows(rows: int, *, ready: Collection[int]) -> int | None:
    """Return the number of rows to pad to for a compiled call, or None: run it uncompiled."""
    fits = min((each for each in ready if each >= rows), default=None)
    return fits if fits is not None and fits - rows <= MOST_PADDING * rows else None
