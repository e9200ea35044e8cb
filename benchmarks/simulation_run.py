"""What came of one run of the simulation."""

from __future__ import annotations

from dataclasses import dataclass

from devtools.benchmark_result import percentile

from .policies import TOKEN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`waits` of prompt requests until a worker begins, in their order; `relaxed_waits` those of relaxed ones until
    their images are there. `workers` are (time, instances billed).

    `gpu_hours` are those of instances that start and serve; those that only refill the warm pool are apart.
    `money` is both.
    """

    policy: str
    waits: list[float]
    relaxed_waits: list[float]
    undelivered: int
    gpu_hours: float
    refill_hours: float
    money: float
    starts: int
    interrupted: int
    workers: list[tuple[float, float]]
    line: list[tuple[float, float]]
    promises: list[tuple[float, float]]
    """Of each prompt request, the wait that its reply promised and the real one, until its images are there."""

    def summary(self) -> dict[str, float]:
        return {
            "p50_wait_s": round(percentile(self.waits, 0.5), 1),
            "p95_wait_s": round(percentile(self.waits, 0.95), 1),
            "p99_wait_s": round(percentile(self.waits, 0.99), 1),
            "outlived_token": sum(wait > TOKEN_S for wait in self.waits),
            "undelivered": self.undelivered,
            "gpu_hours": round(self.gpu_hours, 2),
            "refill_hours": round(self.refill_hours, 2),
            "money_usd": round(self.money, 2),
            "instance_starts": self.starts,
            "interrupted": self.interrupted,
        }
