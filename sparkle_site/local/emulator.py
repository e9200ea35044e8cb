"""ministack in a process of its own: the real SQS protocol where no AWS is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from .database import free_port


@contextmanager
def sqs() -> Iterator[dict[str, str]]:
    """Start it, yield the environment that leads boto3 to it, and end it. Raises TimeoutError."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    served = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "sqs", "LOG_LEVEL": "ERROR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"],
        env=os.environ | served,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_http(endpoint)
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        process.terminate()
        process.wait(10)


def await_http(url: str, *, for_s: float = 60) -> None:
    """Wait until something answers at `url`, whatever it says. Raises TimeoutError."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing answers at {url}")
