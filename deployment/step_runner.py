"""The steps of a deployment and their report: what was done, and after a failure what to do next."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass


class StepFailed(Exception):
    """A step could not be done. `problem` says what happened, `next_step` what the operator does now."""

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.next_step = next_step


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step; `run` returns one sentence for each thing that it did, and raises StepFailed."""

    name: str
    run: Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a step. `status` is "done", "failed" or "not started"."""

    step: str
    status: str
    lines: tuple[str, ...] = ()
    next_step: str = ""


def run(steps: Iterable[Step], *, say: Callable[[str], None]) -> list[Outcome]:
    """Run the steps in order until one fails. `say` gets each outcome as text when it is known."""
    outcomes: list[Outcome] = []
    failed = False
    for step in steps:
        if failed:
            outcome = Outcome(step=step.name, status="not started")
        else:
            say(f"{step.name} ...")
            outcome = _run_one(step)
            failed = outcome.status == "failed"
        outcomes.append(outcome)
        say(text([outcome]))
    return outcomes


def _run_one(step: Step) -> Outcome:
    try:
        return Outcome(step=step.name, status="done", lines=tuple(step.run()))
    except StepFailed as error:
        return Outcome(step=step.name, status="failed", lines=(error.problem,), next_step=error.next_step)


def succeeded(outcomes: Iterable[Outcome]) -> bool:
    return all(outcome.status == "done" for outcome in outcomes)


def text(outcomes: Iterable[Outcome]) -> str:
    """Return the report for people."""
    lines = []
    for outcome in outcomes:
        lines.append(f"{outcome.step}: {outcome.status}")
        lines += [f"  {line}" for line in outcome.lines]
        if outcome.next_step:
            lines.append(f"  What to do: {outcome.next_step}")
    return "\n".join(lines)


def key(build_id: str) -> str:
    """Return where the report of a build lies in the deployment's bucket."""
    return f"reports/{build_id.rpartition(':')[2] or 'by-hand'}.json"


def to_json(outcomes: Iterable[Outcome]) -> str:
    return json.dumps([asdict(outcome) for outcome in outcomes])


def from_json(content: str | bytes) -> list[Outcome]:
    return [Outcome(**{**each, "lines": tuple(each["lines"])}) for each in json.loads(content)]
