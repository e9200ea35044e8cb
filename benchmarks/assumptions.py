"""The stages of a start on AWS, each as a range with its source. Nobody has measured them with this worker."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of a start, in seconds."""

    name: str
    low_s: float
    usual_s: float
    high_s: float
    source: str


_BOOT = "daemonology.net/blog/2021-08-12-EC2-boot-time-benchmarking.html: 29 s for a small instance without a GPU"
_PULL = "AWS Machine Learning Blog, June 2026 (SOCI index): 15 to 20 GB in 4 to 6 minutes; ours has 6.3 GB"
_LOAD = "outerport.com/blog/sd35-cold-start: 16.5 GB in nearly a minute on EC2; Stable Diffusion 1.5 has 2.7 GB"
_NOT_FOUND = "no source found"

_JOIN = Stage(name="the agent joins, ECS places the task", low_s=10, usual_s=30, high_s=60, source=_NOT_FOUND)
WARM_START = (
    Stage(name="a stopped instance boots", low_s=20, usual_s=35, high_s=60, source=_BOOT),
    _JOIN,
    Stage(name="the container starts and loads the model", low_s=15, usual_s=45, high_s=120, source=_LOAD),
)
COLD_START = (
    Stage(name="a new instance boots", low_s=30, usual_s=60, high_s=120, source=_BOOT),
    _JOIN,
    Stage(name="the image is pulled", low_s=75, usual_s=170, high_s=300, source=_PULL),
    Stage(name="the container starts and reads new files", low_s=30, usual_s=90, high_s=180, source=_LOAD),
)
REFILL = (
    Stage(name="a new instance boots", low_s=30, usual_s=60, high_s=120, source=_BOOT),
    Stage(name="the image is pulled", low_s=75, usual_s=170, high_s=300, source=_PULL),
    Stage(name="the instance stops", low_s=5, usual_s=10, high_s=60, source=_NOT_FOUND),
)


def usual_s(stages: Sequence[Stage]) -> float:
    """Return how long the stages take as a rule, in seconds."""
    return sum(stage.usual_s for stage in stages)


def draw_s(stages: Sequence[Stage], chance: random.Random) -> float:
    """Return how long the stages take this time, in seconds."""
    return sum(chance.triangular(stage.low_s, stage.high_s, stage.usual_s) for stage in stages)
