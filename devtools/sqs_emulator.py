"""Runs ministack in a separate process: the real SQS protocol without AWS."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .embedded_postgres import free_port
from .processes import answers, start, wait_until

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10


@contextmanager
def sqs(*, log: Path | None = None) -> Iterator[dict[str, str]]:
    """Start it, yield the environment that leads boto3 to it, and end it. Raises ChildFailed."""
    with ministack({"SERVICES": "sqs", "LOG_LEVEL": "ERROR"}, log=log) as endpoint:
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextmanager
def ministack(settings: dict[str, str], *, log: Path | None = None) -> Iterator[str]:
    """Run ministack with `settings` in its environment; yield its address. Raises ChildFailed.

    Without `log` the output goes to a temporary file, which is left where the start fails.
    """
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    file = log or Path(tempfile.mkstemp(prefix="ministack-", suffix=".log")[1])
    child = start(
        "ministack",
        ["-m", "ministack"],
        log=file,
        environment={"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"} | settings,
    )
    try:
        wait_until(lambda: answers(endpoint), children=[child], what="ministack", timeout_s=START_TIMEOUT_S)
        yield endpoint
    finally:
        child.process.terminate()
        try:
            child.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.process.kill()  # It keeps nothing that matters.
            child.process.wait()
    if log is None:
        file.unlink()
