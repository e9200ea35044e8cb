"""ministack in a process of its own: the real SQS protocol where no AWS is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .database import free_port
from .processes import Child, die_with_parent

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10


class EmulatorFailed(Exception):
    """The emulator does not start; the message has its last line and the path of its log."""


@contextmanager
def sqs(*, log: Path | None = None) -> Iterator[dict[str, str]]:
    """Start it, yield the environment that leads boto3 to it, and end it. Raises EmulatorFailed."""
    with ministack({"SERVICES": "sqs", "LOG_LEVEL": "ERROR"}, log=log) as endpoint:
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextmanager
def ministack(settings: dict[str, str], *, log: Path | None = None) -> Iterator[str]:
    """Run ministack with `settings` in its environment; yield its address. Raises EmulatorFailed.

    Without `log` the output goes to a temporary file, which is left where the start fails.
    """
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    file = log or Path(tempfile.mkstemp(prefix="ministack-", suffix=".log")[1])
    with file.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=os.environ | {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"} | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # one C call
        )
    child = Child(name="ministack", log=file, process=process)
    try:
        await_http(endpoint, child=child)
        yield endpoint
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()  # It keeps nothing that matters.
            process.wait()
    if log is None:
        file.unlink()


def await_http(url: str, *, for_s: float = START_TIMEOUT_S, child: Child | None = None) -> None:
    """Wait until something answers at `url`, whatever it says.

    Raises TimeoutError, or EmulatorFailed at once when `child`, which should answer, has ended.
    """
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            if child and child.process.poll() is not None:
                raise EmulatorFailed(
                    f"{child.name} ended with status {child.process.returncode}: {child.last_words()}"
                    f" (its log: {child.log})"
                ) from None
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing answers at {url}" + (f" (the log of {child.name}: {child.log})" if child else ""))
