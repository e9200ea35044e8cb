"""Child processes that do not outlive their parent, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

STOP_TIMEOUT_S = 15
PR_SET_PDEATHSIG = 1


def interrupt_on_termination() -> None:
    """Make SIGTERM and the loss of the terminal end this process as Ctrl-C does: by KeyboardInterrupt."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asked to go on.
        signal.signal(signal.SIGHUP, interrupt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A running process; its output goes to `log`."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def last_words(self) -> str:
        """Return the last line of its log that says something."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "it said nothing")


class Children:
    """The processes of one run; leaving the context stops them all."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start `python -m module arguments`, with its output in the folder of logs."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A session of its own: Ctrl-C reaches the parent alone, which then stops the children in order.
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # one C call
            )
        self._children.append(Child(name=name, log=log, process=process))

    def pids(self) -> list[int]:
        return [child.process.pid for child in self._children]

    def ended(self) -> Child | None:
        """Return a child that has ended by itself, if there is one."""
        return next((child for child in self._children if child.process.poll() is not None), None)

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not leave half of them running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self._children):
            child.process.terminate()
        for child in self._children:
            try:
                child.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """For preexec_fn: have the kernel end this child when its parent is gone, however that died."""
    # Reached in the child before exec; a parent killed by SIGKILL has no chance to stop anyone.
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
