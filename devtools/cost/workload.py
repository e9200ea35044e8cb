"""What a month asks of the resources: requests, the simulation's GPU hours, and assumptions, each with its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .prices import CostError

SIMULATION = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "scaling.json"
HOURS = 730.0
LOADS = (0, 1_000, 100_000)

TICKS = HOURS * 360
"""One every ten seconds (schedule.tf)."""
WORKFLOWS = HOURS * 60
WORKFLOW_S = 52.0
"""The sixth tick starts after 50 seconds and takes about two."""
WORKFLOW_GB = 64 / 1024
"""Express workflows are billed in steps of 64 MB; AWS's example of 400 steps fits in one."""
SCALING_S = 0.05
"""A query and a metric, in a warm function."""
INTERACTIONS = 4
"""A request, and the buttons, forms and autocompletions around it."""
INTERACTION_S = 0.05
"""Ten times the median of `./dev bench ingress`: a fraction of a core, and the network."""
RESTORES = HOURS * 12
"""At most, in a month: a function that served a request stays warm for about five minutes. Rare ones restore each."""
SITE_VIEWS = 10
"""Page views and images for each request."""
MESSAGES = 6
"""Send, receive, extend twice, delete, and one spare."""
POLLS = 3 * 60
"""Long polls of a waiting worker, an hour."""
OWN_METRICS = 8
"""Three of the scaling function, five of the log lines (dashboard.tf)."""
ROUTE_METRICS = 6
"""Count, 4xx, 5xx, latency, integration latency and bytes, for each route."""
IMAGE_GB = 0.002
"""Four images of 512x512 as PNG."""
IMAGES_GB, LAYERS_GB = 6.3, 0.4
"""A worker's image of 6 GB and the site's of 0.3; and of each older version the layers that it does not share."""
LOG_GB, LOG_GB_AT_REST = 0.00002, 1.0
"""A request writes about twenty lines of a kilobyte; ticks and upkeep write without requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month's load: requests, hours of GPU instances that start and serve, and of those that refill the warm pool."""

    requests: int
    gpu_hours: float = 0.0
    refill_hours: float = 0.0


def months(fleet: str, file: Path = SIMULATION) -> tuple[Month, ...]:
    """Return the month at each of LOADS for a fleet of the simulation. Raises CostError without its results."""
    try:
        runs: Mapping[str, Any] = json.loads(file.read_text())["detail"]["bill"][fleet]
        return tuple(
            Month(requests=load, **{name: runs[str(load)][name] for name in ("gpu_hours", "refill_hours")})
            if load
            else Month(requests=0)
            for load in LOADS
        )
    except (OSError, ValueError, KeyError) as error:
        raise CostError(f'{file.name} has no months of "{fleet}": run ./dev bench scaling --save.') from error
