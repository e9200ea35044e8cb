"""What both trainings share: their command line, stopping on a signal, the clock, writing a checkpoint."""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path
from typing import Any

import torch

WORK = Path(".local/demo_model")


def argument_parser(description: str | None, *, steps: int, batch: int, rate: float) -> argparse.ArgumentParser:
    """Return the parser of the options that both trainings have, with these defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, default=WORK, help="checkpoints and sample sheets")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--minutes", type=float, default=1e9, help="time limit; without it the seed decides all")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser


class Progress:
    """How far a training is: its step, its time, whether a signal asks it to stop, and its smoothed loss."""

    def __init__(self, *, step: int, steps: int, minutes: float) -> None:
        self.step = step
        self._steps = steps
        self._seconds = 60 * minutes
        self._began = time.monotonic()
        self._has_signal = False
        self.loss = 0.0
        for kind in (signal.SIGTERM, signal.SIGINT):
            signal.signal(kind, self._note_signal)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def share(self) -> float:
        """The part of the steps or of the time that is over, 0 to 1, whichever is larger."""
        return max(self.step / self._steps, self.elapsed_s / self._seconds)

    @property
    def is_over(self) -> bool:
        return self._has_signal or self.step >= self._steps or self.elapsed_s > self._seconds

    def note_step(self, loss: float) -> None:
        self.step += 1
        self.loss = self.loss * 0.98 + 0.02 * loss if self.loss else loss

    def _note_signal(self, *_: object) -> None:
        self._has_signal = True


def write_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write the state in place of the last one, so that a kill in between leaves a whole file."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
