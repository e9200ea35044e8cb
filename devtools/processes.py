"""Child processes: they do not outlive their parent, and waiting for one never hides why it fails."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

STOP_TIMEOUT_S = 15
PR_SET_PDEATHSIG = 1
POLL_S = 0.1
# The same error this many times is a failure.
REPEATED = 3
LONGEST_LINE = 300
SERIOUS = frozenset({"ERROR", "CRITICAL"})
# "[2026-11-27 15:44:23 +0000] [71] [ERROR] Connection in use", "django.db.utils.OperationalError: ...", "FATAL:  ..."
PLAIN_ERROR = re.compile(
    r"\[(?:ERROR|CRITICAL)\]\s*(?P<bracketed>.+)|^(?P<raised>[A-Za-z_][\w.]*(?:Error|Exception|Unavailable)\b.*)|"
    r"\b(?:FATAL|PANIC|ERROR|CRITICAL):\s+(?P<named>.+)"
)


class ChildFailed(Exception):
    """A child process has ended, keeps failing or is not ready in time; the message is one line with its log's path."""


def interrupt_on_termination() -> None:
    """Make SIGTERM and the loss of the terminal end this process as Ctrl-C does: by KeyboardInterrupt."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # Started by nohup: keep running.
        signal.signal(signal.SIGHUP, interrupt)


def error_in(line: str) -> str:
    """Return what a line of a log reports as an error, without times and ids; "" where it reports none."""
    if line.startswith("{"):
        with suppress(ValueError):
            record = json.loads(line)
            # This warning says itself that it is repeated.
            if record.get("level") in SERIOUS or record.get("in_a_row", 0) >= REPEATED:
                details = [str(record[key]) for key in ("error", "why") if record.get(key)]
                return ": ".join([str(record.get("event", "")), *details])[:LONGEST_LINE]
            return ""
    found = PLAIN_ERROR.search(line)
    return (found["bracketed"] or found["raised"] or found["named"]).strip()[:LONGEST_LINE] if found else ""


class Log:
    """A child's log, read as it grows, from `start` (bytes) on."""

    def __init__(self, path: Path, *, start: int = 0) -> None:
        self.path = path
        self._read_to = start
        self._rest = b""
        self._errors: Counter[str] = Counter()
        self._last_error = self._last_line = ""

    def read(self) -> None:
        """Read what was written since the last call."""
        with suppress(OSError), self.path.open("rb") as file:
            file.seek(self._read_to)
            written = file.read()
            self._read_to += len(written)
            *lines, self._rest = (self._rest + written).split(b"\n")
            for line in lines:
                self._take(line.decode(errors="replace").strip())

    def _take(self, line: str) -> None:
        if line:
            self._last_line = line[:LONGEST_LINE]
        if error := error_in(line):
            self._last_error = error
            self._errors[error] += 1

    def reason(self) -> str:
        """Return its last error, or its last line where no line reports an error."""
        self.read()
        rest = self._rest.decode(errors="replace").strip()
        return error_in(rest) or self._last_error or rest[:LONGEST_LINE] or self._last_line or "it wrote nothing"

    def forget(self) -> None:
        """Forget the errors that were reported until now."""
        self.read()
        self._errors.clear()

    def repeated(self) -> str:
        """Return an error that was reported REPEATED times or more, or ""."""
        self.read()
        error, times = max(self._errors.items(), key=lambda item: item[1], default=("", 0))
        return error if times >= REPEATED else ""


class Child:
    """A running process; its output goes to a log."""

    def __init__(self, *, name: str, log: Path, process: subprocess.Popen[bytes], log_start: int = 0) -> None:
        """`log_start`: where this process's part of the log begins, in bytes."""
        self.name = name
        self.process = process
        self.log = Log(log, start=log_start)

    def check(self, *, repeated_errors: bool = False) -> None:
        """Raise ChildFailed if it has ended, or, with `repeated_errors`, if it reports one error again and again."""
        status = self.process.poll()
        if status is not None:
            raise ChildFailed(
                f"the {self.name} has ended ({_how(status)}): {self.log.reason()} (its log: {self.log.path})"
            )
        if repeated_errors and (error := self.log.repeated()):
            raise ChildFailed(f"the {self.name} keeps failing: {error} (its log: {self.log.path})")


def _how(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"


def wait_until(
    ready: Callable[[], bool],
    *,
    children: Iterable[Child],
    what: str,
    timeout_s: float,
    repeated_errors: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Wait until `ready` says so; `tick` is called meanwhile.

    Raises:
        ChildFailed: a child has ended, keeps failing, or the time is over.
    """
    watched = list(children)
    deadline = time.monotonic() + timeout_s
    while not ready():
        for child in watched:
            child.check(repeated_errors=repeated_errors)
        if time.monotonic() > deadline:
            reasons = [f"the {child.name}: {child.log.reason()} (its log: {child.log.path})" for child in watched]
            raise ChildFailed(f"{what} is not ready after {timeout_s:.0f} s; {'; '.join(reasons)}")
        tick()
        time.sleep(POLL_S)


def answers(url: str, *, timeout_s: float = 2) -> bool:
    """Return whether an HTTP server answers at `url` without a server error."""
    try:
        urllib.request.urlopen(url, timeout=timeout_s).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False
    return True


def start(
    name: str,
    arguments: Iterable[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start `python arguments`, with its output appended to `log`. It ends when this process does."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        log_start = output.tell()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A new session: Ctrl-C reaches only the parent, which stops the children in order.
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # one C call
        )
    return Child(name=name, log=log, process=process, log_start=log_start)


class Children:
    """The processes of one run; leaving the context stops them all."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    def start(self, name: str, module: str, *arguments: str) -> Child:
        """Start `python -m module arguments`, with its output in the folder of logs."""
        log = self._logs / f"{name}.log"
        log.unlink(missing_ok=True)
        child = start(name, ["-m", module, *arguments], log=log)
        self._children.append(child)
        return child

    def pids(self) -> list[int]:
        return [child.process.pid for child in self._children]

    def check(self, *, repeated_errors: bool = False) -> None:
        """Raise ChildFailed as Child.check does, for any of them."""
        for child in self._children:
            child.check(repeated_errors=repeated_errors)

    def wait_until(
        self, ready: Callable[[], bool], *, what: str, timeout_s: float, tick: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until `ready` says so, watching every child. Raises ChildFailed."""
        wait_until(ready, children=self._children, what=what, timeout_s=timeout_s, tick=tick)

    def kill(self) -> None:
        """Kill all processes. Only for processes that have nothing to finish."""
        for child in self._children:
            with suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)

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
    """For preexec_fn: let the kernel end this child when its parent ends, for any reason."""
    # Reached in the child before exec; a parent killed by SIGKILL has no chance to stop anyone.
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
