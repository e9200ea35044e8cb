"""Containers of the built images, each an own root directory with the host's network."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from devtools.processes import die_with_parent

from . import buildah

STOP_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container and the environment of everything that runs in it."""

    name: str
    environment: Mapping[str, str]

    def run(self, *command: str) -> str:
        """Run a command to its end; return its output. Raises CannotBuild."""
        return buildah.run(self._command(*command), what=" ".join(command[:3]))

    @contextmanager
    def running(self, *command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command until the context ends, with its output in `log`."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command(*command),
                env={**os.environ, **buildah.ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own group: buildah does not end what it has started.
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  # one C call
            )
        try:
            yield process
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_TIMEOUT_S)
                    break

    def _command(self, *command: str) -> list[str]:
        options = [part for name, value in self.environment.items() for part in ("--env", f"{name}={value}")]
        return ["buildah", "run", *options, self.name, "--", *command]


@contextmanager
def container(image: str, environment: Mapping[str, str]) -> Iterator[Container]:
    """Make a container of an image, and remove it at the end. Raises CannotBuild."""
    name = buildah.output("from", "--pull-never", image).strip()
    try:
        yield Container(name=name, environment=environment)
    finally:
        buildah.output("rm", name)


def answer(url: str) -> int:
    """Return the status of a GET request, 0 without a response."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
