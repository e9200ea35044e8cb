"""`./dev demo`: everything on this machine, in the shape of production; `--once` makes one picture and leaves."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import secrets
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from .database import DatabaseUnavailable, ensure
from .once import Unusable
from .processes import Children, interrupt_on_termination

FIRST_PORT = 8000
THREADS = 16
START_TIMEOUT_S = 120
MODEL_TIMEOUT_S = 600  # A model from Hugging Face is downloaded first.


class CannotRun(Exception):
    """The demo cannot start or go on; the message is a line for a person."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status."""
    options = _parser().parse_args(argv)
    interrupt_on_termination()
    try:
        return _once(options) if options.once is not None else _serve(options.port)
    except (CannotRun, DatabaseUnavailable, Unusable, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./dev demo", description="Run Sparkle on this machine, with a simulator in Discord's place."
    )
    parser.add_argument("--port", type=_port, default=FIRST_PORT, help="the site's port (default %(default)s)")
    parser.add_argument("--once", metavar="PROMPT", help="make pictures of PROMPT without a browser, and leave")
    parser.add_argument("--out", metavar="FILE", type=Path, help="with --once: where the grid of pictures goes")
    wish = parser.add_argument_group("with --once, the options of /sparkle")
    wish.add_argument("--negative-prompt")
    wish.add_argument("--seed", type=int)
    wish.add_argument("--steps", type=int)
    wish.add_argument("--sampler")
    wish.add_argument("--size")
    wish.add_argument("--guidance", type=float)
    wish.add_argument("--count", type=int)
    wish.add_argument("--style")
    parser.add_argument("--guild", help="with --once: the name of the server to ask in (default: the first)")
    return parser


DEMO_GUIDANCE, DEMO_SAMPLER = 2.0, "DDIM"


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError("a port is a number between 1 and 65535")
    return int(text)


def _serve(port: int) -> int:
    with ExitStack() as stack:
        stack.enter_context(_only_one())
        children = stack.enter_context(platform(port, say=print))
        login = administrator()
        site = os.environ["SITE_URL"]
        print(
            f"\nSparkle runs.\n\n"
            f"  Discord simulator  {site}/simulator/\n"
            f"  Admin              {site}/admin/   user admin, password {login}\n"
            f'                     or "Sign in with Discord", as a member of the simulator\n\n'
            f"Type /sparkle in the simulator. Ctrl-C stops everything. Logs are in {_local() / 'logs'}.",
            flush=True,
        )
        while True:
            time.sleep(0.5)
            _check(children)


def _once(options: argparse.Namespace) -> int:
    from . import once

    once.check(options)
    # A folder of its own: it works beside a demo that runs.
    os.environ["SPARKLE_LOCAL_DIR"] = str(_local() / "once")
    with _only_one(wait=True), platform(free_port(), say=_aside) as children:
        return once.make(options, alive=lambda: _check(children))


def _aside(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def platform(port: int, *, say: Callable[[str], None]) -> Iterator[Children]:
    """Run database, site, worker and clock until the context ends; yields when the model is loaded.

    Raises CannotRun, DatabaseUnavailable.
    """
    if not _is_free(port):
        raise CannotRun(f"port {port} is taken by another program; try ./dev demo --port {free_port(port + 1)}")
    site = f"http://127.0.0.1:{port}"
    # What may be set for a real deployment must not reach into this one.
    for name in ("DISCORD_PUBLIC_KEY", "DISCORD_APPLICATION_ID", "DISCORD_BOT_TOKEN", "JOB_DISPATCHER"):
        os.environ.pop(name, None)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.local",
        "SPARKLE_LOCAL_DIR": str(_local()),
        "SITE_URL": site,
        "DISCORD_API_BASE": f"{site}/simulator/api/v10",
        "SIMULATOR_SIGNING_KEY": secrets.token_hex(32),
    }
    with ExitStack() as stack:
        say("Starting PostgreSQL ...")
        stack.enter_context(_database())
        _prepare()
        say("Starting the site, the worker and the clock ...")
        start = _now()
        children = stack.enter_context(Children(_local() / "logs"))
        _start(children, port)
        _wait(children, lambda: _answers(f"{site}/simulator/"), what="the site", timeout_s=START_TIMEOUT_S)
        say("Loading the model ...")
        _wait(children, _worker_ready_since(start), what="the model", timeout_s=MODEL_TIMEOUT_S)
        yield children


def _start(children: Children, port: int) -> None:
    gunicorn = ("--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", str(THREADS), "--no-control-socket")
    children.start(
        "site", "gunicorn", "sparkle_site.wsgi", *gunicorn, "--logger-class", "sparkle_site.access_log.Logger"
    )
    celery = ("--app", "sparkle_site.local.celery")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    children.start("worker", "celery", *celery, "worker", "--pool", "solo", *quiet)
    children.start("clock", "celery", *celery, "beat")


@contextmanager
def _database() -> Iterator[None]:
    """Make DATABASE_URL name a database: the caller's own where it is set, else an embedded one."""
    if os.environ.get("DATABASE_URL"):
        yield
        return
    with ensure(_local() / "postgres") as url:
        os.environ["DATABASE_URL"] = url
        yield


def _prepare() -> None:
    """Migrate the database and fill it with the simulator's servers, where that has not been done."""
    import django
    from django.core.management import call_command
    from django.db import OperationalError

    django.setup()
    # The children's logs have their files; here the terminal is for the person.
    logging.getLogger().setLevel(logging.ERROR)
    try:
        call_command("migrate", verbosity=0)
    except OperationalError as error:
        raise CannotRun(f"the database of DATABASE_URL cannot be used: {str(error).splitlines()[0]}") from error

    from .simulator import seed

    seed.run()
    _suit_the_demo_model()


def _suit_the_demo_model() -> None:
    """Ask the small model with what draws it best (benchmarks/results/demo-model.json), until someone has chosen."""
    from django.conf import settings

    from guilds.models import ModelProfile

    demo_model = str(settings.BASE_DIR / "demo_model" / "pipeline")
    if demo_model == settings.MODEL_ID:
        usual = ModelProfile._meta.get_field("default_guidance").default
        ModelProfile.objects.filter(is_default=True, source="", default_guidance=usual).update(
            default_guidance=DEMO_GUIDANCE, default_sampler=DEMO_SAMPLER
        )


def administrator() -> str:
    """Give the account `admin` a new password and return it."""
    from django.contrib.auth.models import User

    password = secrets.token_urlsafe(9)
    admin, _ = User.objects.get_or_create(username="admin")
    admin.is_staff = admin.is_superuser = True
    admin.set_password(password)
    admin.save()
    return password


def _wait(children: Children, happened: Callable[[], bool], *, what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        _check(children)
        if time.monotonic() > deadline:
            raise CannotRun(f"{what} is not ready after {timeout_s:.0f} s; logs are in {_local() / 'logs'}")
        time.sleep(0.2)


def _check(children: Children) -> None:
    ended = children.ended()
    if ended:
        raise CannotRun(f"the {ended.name} has ended: {ended.last_words()} (its log is {ended.log})")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _worker_ready_since(start: datetime) -> Callable[[], bool]:
    from jobs.models import Worker

    ready = Worker.objects.filter(state__in=[Worker.State.READY, Worker.State.BUSY], seen_at__gte=start)
    return lambda: ready.all().exists()


def _now() -> datetime:
    from django.utils import timezone

    return timezone.now()


@contextmanager
def _only_one(*, wait: bool = False) -> Iterator[None]:
    """Keep a second demo out of this folder while one runs: refuse it, or let it `wait` its turn."""
    folder = _local()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = f"it is running in this folder already (process {lock.read().strip()})"
            if not wait:
                raise CannotRun(other) from None
            _aside(f"{other}; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _local() -> Path:
    return Path(os.environ.get("SPARKLE_LOCAL_DIR") or Path(__file__).resolve().parents[2] / ".local").resolve()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def free_port(first: int = 0) -> int:
    """Return a free port: any, or the first from `first` on."""
    if not first:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])
    return next(port for port in range(first, 65536) if _is_free(port))


if __name__ == "__main__":
    sys.exit(main())
