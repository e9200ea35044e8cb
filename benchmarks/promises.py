"""Whether members get their images when promised: a simulated month through the real admission and scaling code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from devtools.benchmark_result import Figure, Result

from . import services
from .arrival_traces import DAY, HOUR, Trace, evening, month
from .policies import sparkle_policy

STARTS_VARY = 0.5
"""Half of a start's range is not known yet, but the same each time. The other half is how starts differ."""
TOLERANCE_S = 1.0
"""A reply shows no less."""
MEDIAN_ERROR, TOO_SHORT = 0.25, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How promises were kept: their number, the median error and how many were too short, as shares of 0 to 1."""

    promises: int
    median_error: float
    too_short: float


def thinned_month(requests: int, *, peak: int) -> Trace:
    """A month of `requests`, and the `peak` first requests from eight in the evening of the busiest day."""
    quiet = month(requests)
    busiest = [at for at in evening().arrivals if at >= 20 * HOUR][:peak]
    # The rest of the month has passed, so that times were measured.
    shift = 28 * DAY
    arrivals = sorted([*quiet.arrivals, *(at + shift for at in busiest)])
    return replace(quiet, name="thinned month", title="A thinned month", arrivals=tuple(arrivals))


def judge(promises: Sequence[tuple[float, float]]) -> Kept:
    """Return how (promised, real) waits agree."""
    errors = sorted(abs(promised - real) / real for promised, real in promises)
    short = sum(promised + TOLERANCE_S < real for promised, real in promises)
    return Kept(promises=len(promises), median_error=errors[len(errors) // 2], too_short=short / max(1, len(promises)))


def run(*, full: bool = False) -> Result:
    """Run a month of 250 requests; `full`: of 2,000."""
    figures: list[Figure] = []
    detail = {}
    with services.database() as database:
        services.django_here(database.url, JOB_DISPATCHER="jobs.dispatch.memory.MemoryDispatcher")
        from guilds.models import Guild
        from jobs.models import Worker

        from .real_queue import RealQueue

        for warm_pool in (1, 0):
            services.make_guilds(3)
            trace = thinned_month(2000, peak=400) if full else thinned_month(200, peak=50)
            done = RealQueue(
                trace, sparkle_policy(warm_pool=warm_pool, starts_vary=STARTS_VARY), guilds=list(Guild.objects.all())
            ).run()
            kept = judge(done.promises)
            name = "warm pool" if warm_pool else "cold"
            print(f"  {name:10} {kept}", flush=True)
            detail[name] = {"promises": kept.promises, "undelivered": done.undelivered}
            figures += [
                Figure(
                    name=f"{name}: median error of promised waits",
                    value=round(kept.median_error, 3),
                    unit="",
                    goal=MEDIAN_ERROR,
                ),
                Figure(name=f"{name}: promises too short", value=round(kept.too_short, 3), unit="", goal=TOO_SHORT),
            ]
            # The next case measures its own times.
            Guild.objects.all().delete()
            Worker.objects.all().delete()
    return Result(figures=tuple(figures), detail=detail)
