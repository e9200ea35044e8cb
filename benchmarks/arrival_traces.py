"""When requests come: five traces, the same at every run. Times in seconds from the start."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

HOUR, DAY = 3600.0, 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """`arrivals` ascend and lie before `length_s`. Those at the places `relaxed` are due after `patience_s`.

    `models` and `adapters` are those of each request; without them all have model 0, and none an adapter (0).
    """

    name: str
    title: str
    arrivals: tuple[float, ...]
    length_s: float
    relaxed: frozenset[int] = frozenset()
    patience_s: float = 6 * HOUR
    models: tuple[int, ...] = ()
    adapters: tuple[int, ...] = ()

    def model(self, number: int) -> int:
        return self.models[number] if self.models else 0


def _poisson(rate: Callable[[float], float], peak: float, length_s: float, chance: random.Random) -> list[float]:
    """Thin a Poisson process of `peak` requests a second to `rate`."""
    found, at = [], 0.0
    while (at := at + chance.expovariate(peak)) < length_s:
        if chance.random() < rate(at) / peak:
            found.append(at)
    return found


def month(requests: int = 1000) -> Trace:
    """The sample's estimate: 1,000 requests a month, by day more than by night, two or three in a row."""
    chance = random.Random(1)
    found: list[float] = []
    while len(found) < requests:
        day = chance.randrange(30) * DAY
        at = day + min(DAY - 900, max(0.0, chance.gauss(17, 4.5) * HOUR))
        for _ in range(min(chance.choice((1, 2, 3, 4)), requests - len(found))):
            found.append(at)
            at += chance.uniform(20, 150)
    return Trace(name="month", title=f"{requests:,} requests a month", arrivals=tuple(sorted(found)), length_s=30 * DAY)


def evening_rate(at: float) -> float:
    """Requests a second of the community's day, `at` seconds from midnight of its first."""
    hour = at / HOUR % 24
    return (4 + 36 * max(0.0, math.sin((hour - 7) / 17 * math.pi)) + 460 * math.exp(-(((hour - 20) / 1.1) ** 2))) / HOUR


def evening(seed: int = 2) -> Trace:
    """A community's day: 40 an hour by day, few at night, a peak of 500 an hour at eight in the evening."""
    arrivals = _poisson(evening_rate, 500 / HOUR, 2 * DAY, random.Random(seed))
    return Trace(name="evening", title="A community's day, evening peak", arrivals=tuple(arrivals), length_s=2 * DAY)


def with_relaxed(trace: Trace, share: float, *, seed: int = 8) -> Trace:
    """Return the trace with `share` of its requests relaxed, chosen by chance."""
    chance = random.Random(seed)
    return replace(trace, relaxed=frozenset(n for n in range(len(trace.arrivals)) if chance.random() < share))


def with_models(trace: Trace, *, shares: Sequence[float], adapters: int = 0, seed: int = 9) -> Trace:
    """Return the trace with models in these shares, and half of the requests with one of so many adapters."""
    chance = random.Random(seed)
    places = range(len(trace.arrivals))
    models = tuple(chance.choices(range(len(shares)), weights=shares)[0] for _ in places)
    chosen = tuple(chance.randint(1, adapters) if adapters and chance.random() < 0.5 else 0 for _ in places)
    return replace(trace, models=models, adapters=chosen)


def launch() -> Trace:
    """5,000 in the launch's hour, a little before and after."""
    chance = random.Random(3)
    arrivals = sorted(
        [HOUR + chance.random() * HOUR for _ in range(5000)] + [chance.random() * DAY for _ in range(100)]
    )
    return Trace(name="launch", title="Launch day: 5,000 in one hour", arrivals=tuple(arrivals), length_s=DAY)


def quiet() -> Trace:
    """Two hundred servers, each with a request every other day, independent of each other."""
    arrivals = _poisson(lambda at: 100 / DAY, 100 / DAY, 7 * DAY, random.Random(4))
    return Trace(name="quiet", title="Many quiet servers", arrivals=tuple(arrivals), length_s=7 * DAY)


def on_off() -> Trace:
    """Adversarial: twenty minutes of 600 an hour, then silence longer than the sample's idle time, or than ours."""
    chance = random.Random(5)
    arrivals: list[float] = []
    at = 60.0
    for turn in range(24):
        arrivals += [at + chance.random() * 1200 for _ in range(200)]
        at += 1200 + (27 * 60 if turn % 2 else 4 * 60)
    return Trace(
        name="on-off", title="On and off, against the idle times", arrivals=tuple(sorted(arrivals)), length_s=at
    )


def flash() -> Trace:
    """Harder still: sixty requests in three minutes, then silence; it is over before an instance has started."""
    chance = random.Random(6)
    arrivals: list[float] = []
    at = 60.0
    while at < DAY:
        arrivals += [at + chance.random() * 180 for _ in range(60)]
        at += 180 + chance.choice((4, 7, 12, 27)) * 60
    return Trace(name="flash", title="Flash crowds of three minutes", arrivals=tuple(sorted(arrivals)), length_s=at)


ALL: Mapping[str, Callable[[], Trace]] = {
    "month": month, "evening": evening, "launch": launch, "quiet": quiet, "on-off": on_off, "flash": flash,
}  # fmt: skip
