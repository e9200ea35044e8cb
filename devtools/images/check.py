"""Starts the built images: the site answers, and the worker turns a member's request into an image."""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen

from devtools.processes import ChildFailed

from . import buildah
from .build import tag
from .buildah import CannotBuild
from .container import answer, container
from .platform import BUCKET, Platform, platform

# The port in the image's command and health check.
PORT = 8000
PROMPT = "a red circle on a blue background"
WEB = {"BEHIND_GATEWAY": "true", "ALLOWED_HOSTS": "*"}
PREPARE = ("sh", "-c", "python -m sparkle_site.rds.create_role && python manage.py migrate --no-input")
START_TIMEOUT_S = 180.0
POLL_S = 0.5
# A folder that the container's user can reach.
PARENT = "/var/tmp"  # nosec B108


def check(say: Callable[[str], None]) -> None:
    """Run both images against a real database and queue. Raises CannotBuild."""
    if _is_taken(PORT):
        raise CannotBuild(f"Port {PORT} is in use, and the site's image listens there. Stop what uses it.")
    with tempfile.TemporaryDirectory(prefix="sparkle-images-", dir=PARENT) as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            with platform(folder) as services:
                _check_web(services, say)
                _check_worker(services, say)
        except ChildFailed as error:
            raise CannotBuild(str(error)) from None


def command_of(image: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return what the image runs, and its health check."""
    config = json.loads(buildah.output("inspect", "--type", "image", image))["Docker"]["config"]
    return config["Cmd"], [part for part in config["Healthcheck"]["Test"] if part != "CMD"]


def _check_web(services: Platform, say: Callable[[str], None]) -> None:
    image = tag("web")
    command, health = command_of(image)
    with container(image, {**services.variables, **WEB}) as web:
        began = time.monotonic()
        web.run(*PREPARE)
        say(f"prepare: role and migrations ({time.monotonic() - began:.1f} s)")
        began = time.monotonic()
        log = services.folder / "web.log"
        with web.running(*command, log=log) as process:
            _wait(lambda: answer(f"http://127.0.0.1:{PORT}/healthz") == 200, process, log, what="the site")
            ready = answer(f"http://127.0.0.1:{PORT}/readyz")
            if ready != 200:
                raise CannotBuild(f"/readyz answers {ready}\n{_last(log)}")
            web.run(*health)
            seconds = time.monotonic() - began
            say(f"web: /healthz and /readyz answer 200 as {web.run('id', '-un').strip()} ({seconds:.1f} s)")


def _check_worker(services: Platform, say: Callable[[str], None]) -> None:
    image = tag("worker-cpu")
    command, health = command_of(image)
    services.manage("migrate", "-v0")
    with services.discord(), container(image, services.variables) as worker:
        log = services.folder / "worker.log"
        began = time.monotonic()
        with worker.running(*command, log=log) as process:
            size = _ask(services, lambda: _check_alive(process, log))
            seconds = time.monotonic() - began
            worker.run(*health)
    stored = services.s3.list_objects_v2(Bucket=BUCKET, Prefix="jobs/").get("Contents", [])
    if not stored:
        raise CannotBuild(f"the worker stored no image\n{_last(log)}")
    what = f"an image of {size[0]}x{size[1]} in the channel, {len(stored)} files in S3"
    say(f"worker: {what} ({seconds:.1f} s from its start)")


def _ask(services: Platform, alive: Callable[[], None]) -> tuple[int, int]:
    """Ask for an image as a member of the simulator does; return the size of what came."""
    os.environ |= {**services.variables, **services.development}
    import django
    from PIL import Image

    django.setup()
    # The report is for a person; what the containers log is in their files.
    logging.getLogger().setLevel(logging.ERROR)
    from devtools.cli.progress_bar import ProgressBar
    from devtools.demo import main as demo
    from devtools.demo import one_shot
    from devtools.simulator import seed_data

    seed_data.run()
    target = services.folder / "image.png"
    options = demo.read_arguments(["--once", PROMPT, "--count", "1", "--steps", "8", "--out", str(target)])
    with ProgressBar() as bar:
        if one_shot.generate(options, bar=bar, alive=alive):
            raise CannotBuild("the request did not complete")
    with Image.open(target) as image:
        image.load()
        return image.size


def _wait(ready: Callable[[], bool], process: Popen[bytes], log: Path, *, what: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        _check_alive(process, log)
        if time.monotonic() > deadline:
            raise CannotBuild(f"{what} is not ready after {START_TIMEOUT_S:.0f} s\n{_last(log)}")
        time.sleep(POLL_S)


def _check_alive(process: Popen[bytes], log: Path) -> None:
    if process.poll() is not None:
        raise CannotBuild(f"the container has ended (exit status {process.returncode})\n{_last(log)}")


def _last(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
