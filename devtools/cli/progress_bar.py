"""A progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TextIO

CELLS = 24
ERASE_LINE = "\r\x1b[K"


class ProgressBar:
    """A progress bar. Leaving the context ends its line, so that later output starts on a new one."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._cells = "█░" if (self._stream.encoding or "").lower().replace("-", "") == "utf8" else "#."
        self._began = time.monotonic()
        self._done, self._stage = 0.0, ""
        self._drawn = self._written = ""

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the bar's line."""
        if self._drawn:
            print(file=self._stream, flush=True)
            self._drawn = ""

    def show(self, done: float, stage: str) -> None:
        """Show the share that is `done`, from 0 to 1, and the name of what is being done."""
        self._done, self._stage = max(self._done, min(done, 1.0)), stage
        if self._live:
            self.tick()
        elif stage != self._written:
            print(stage, file=self._stream, flush=True)
            self._written = stage

    def tick(self) -> None:
        """Redraw the bar with the current seconds."""
        if not self._live:
            return
        full = round(self._done * CELLS)
        bar = self._cells[0] * full + self._cells[1] * (CELLS - full)
        seconds = time.monotonic() - self._began
        line = f"{bar} {self._done:4.0%} {seconds:3.0f} s  {self._stage}"[: shutil.get_terminal_size().columns - 1]
        if line != self._drawn:
            print(f"{ERASE_LINE}{line}", end="", file=self._stream, flush=True)
            self._drawn = line
