"""`./dev demo`: the whole platform on this machine. `--once` creates one request's images and exits."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from devtools.cli import arguments
from devtools.cli.progress_bar import ProgressBar
from devtools.embedded_postgres import DatabaseUnavailable, ensure
from devtools.processes import ChildFailed, Children, answers, interrupt_on_termination
from guilds.command_definitions import all_commands
from guilds.samplers import SAMPLERS

FIRST_PORT = 8000
THREADS = 16
START_TIMEOUT_S = 120
MODEL_TIMEOUT_S = 600  # A model from Hugging Face is downloaded first.
# The simulator's servers. devtools.simulator.seed_data can only be imported after Django is set up.
GUILDS = ("Pixel Garden", "Night Owls", "Retro Arcade")


class CannotRun(Exception):
    """The demo cannot start or continue. The message is one line for the user."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status."""
    options = read_arguments(argv)
    interrupt_on_termination()
    try:
        return _once(options) if options.once is not None else _serve(options.port)
    except (CannotRun, ChildFailed, DatabaseUnavailable, OSError) as error:
        print(f"demo: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line and the settings. Exit with status 2 and one line if a value is not valid."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.once is None:
        for name in WITH_ONCE:
            if getattr(options, name) is not None:
                option = f"--{name.replace('_', '-')}"
                parser.error(f"{option} needs --once: use --once=PROMPT {option}=...")
    elif options.port is not None:
        parser.error("--port can't be used with --once, which chooses a free port")
    elif options.out is None:
        try:
            arguments.image_to_write("sparkle-1.png")
        except argparse.ArgumentTypeError as error:
            parser.error(f"use --out: {error}")
    if problem := _problem_of_settings():
        parser.error(problem)
    if options.once is None:
        options.port = options.port or FIRST_PORT
    return options


def _problem_of_settings() -> str:
    """Return what is wrong with the environment variables, or ""."""
    engine = os.environ.get("SPARKLE_ENGINE") or "diffusers"
    if engine not in ("diffusers", "noise"):
        return f"SPARKLE_ENGINE is {engine!r}. Use diffusers or noise"
    model = os.environ.get("MODEL_ID")
    if engine == "diffusers" and model is not None:
        if model and Path(model).is_dir():
            if not (Path(model) / "model_index.json").is_file():
                return f"MODEL_ID: the folder {model} is not a diffusers pipeline (no model_index.json)"
        elif not HUGGING_FACE_ID.fullmatch(model):
            return f"MODEL_ID: {model or '(empty)'} is neither a folder nor a Hugging Face model (owner/name)"
    database = os.environ.get("DATABASE_URL")
    if database and not database.startswith(("postgres://", "postgresql://")):
        return "DATABASE_URL: use postgres://USER:PASSWORD@HOST:PORT/NAME, or unset it for the embedded PostgreSQL"
    try:
        arguments.folder_to_write(str(_local()))
    except argparse.ArgumentTypeError as error:
        return f"SPARKLE_LOCAL_DIR: {error}"
    return ""


def _parser() -> arguments.Parser:
    limits = arguments.option_limits(all_commands()[0])
    parser = arguments.Parser(prog="./dev demo", description="Run Sparkle on this machine with a Discord simulator.")
    parser.add_argument("--port", type=arguments.port, help=f"port of the site (default: {FIRST_PORT})")
    parser.add_argument(
        "--once",
        metavar="PROMPT",
        type=arguments.text(limits["prompt"]["max_length"]),
        help="create images from PROMPT without a browser, then exit",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=arguments.image_to_write,
        help="with --once: file for the image grid (default: sparkle-NUMBER.png)",
    )
    parser.add_argument(
        "--guild", type=arguments.one_of(GUILDS), help="with --once: server to use (default: the first)"
    )
    wish = parser.add_argument_group("options of /sparkle, with --once")
    wish.add_argument("--negative-prompt", type=arguments.text(limits["negative_prompt"]["max_length"]))
    for name in ("seed", "steps", "count"):
        wish.add_argument(
            f"--{name}", type=arguments.whole(limits[name]["min_value"], limits[name]["max_value"]), metavar="NUMBER"
        )
    guidance = limits["guidance"]
    wish.add_argument(
        "--guidance", type=arguments.number(guidance["min_value"], guidance["max_value"]), metavar="NUMBER"
    )
    wish.add_argument("--sampler", type=arguments.one_of(list(SAMPLERS)))
    wish.add_argument("--size", metavar="WIDTHxHEIGHT", type=arguments.size)
    wish.add_argument("--style", type=arguments.text(limits["style"]["max_length"]))
    return parser


WITH_ONCE = ("out", "guild", "negative_prompt", "seed", "steps", "count", "guidance", "sampler", "size", "style")
HUGGING_FACE_ID = re.compile(r"[\w-][\w.-]{0,95}(/[\w-][\w.-]{0,95})?", re.ASCII)
DEMO_GUIDANCE, DEMO_SAMPLER = 2.0, "DDIM"


def _serve(port: int) -> int:
    with ExitStack() as stack:
        stack.enter_context(_only_one())
        if not _is_free(port):
            spare = free_port(port + 1) or free_port()
            print(f"./dev demo: port {port} is already in use or not allowed. Use --port={spare}", file=sys.stderr)
            return arguments.USAGE_ERROR
        children = stack.enter_context(run_platform(port, say=print))
        login = create_administrator()
        site = os.environ["SITE_URL"]
        print(
            f"\nSparkle is running.\n\n"
            f"  Discord simulator  {site}/simulator/\n"
            f"  Admin              {site}/admin/   user: admin, password: {login}\n"
            f'                     or "Sign in with Discord" as a simulated member\n\n'
            f"Type /sparkle in the simulator. Press Ctrl-C to stop. Logs are in {_local() / 'logs'}.",
            flush=True,
        )
        while True:
            time.sleep(0.5)
            children.check()


def _once(options: argparse.Namespace) -> int:
    from . import one_shot

    # A separate folder, so that it works while a demo is running.
    os.environ["SPARKLE_LOCAL_DIR"] = str(_local() / "once")
    with (
        ProgressBar() as bar,
        _only_one(waiting=lambda line: bar.show(0, line)),
        run_platform(free_port(), say=lambda stage: bar.show(START_STAGES[stage], stage), tick=bar.tick) as children,
    ):
        status = one_shot.generate(options, bar=bar, alive=lambda: children.check(repeated_errors=True))
        # The only request has ended.
        children.kill()
        return status


POSTGRESQL = "Starting PostgreSQL ..."
PROCESSES = "Starting the worker, the site and the scheduler ..."
MODEL = "Loading the model ..."
# Progress of `--once` when a stage starts. The whole takes some twenty seconds on two cores.
START_STAGES = {POSTGRESQL: 0.02, PROCESSES: 0.1, MODEL: 0.4}


@contextmanager
def run_platform(
    port: int, *, say: Callable[[str], None], tick: Callable[[], None] = lambda: None
) -> Iterator[Children]:
    """Run database, site, worker and scheduler until the context ends. Yields when the model is loaded.

    `say` gets the name of each stage. `tick` is called while waiting for one.
    Raises CannotRun, ChildFailed, DatabaseUnavailable.
    """
    site = f"http://127.0.0.1:{port}"
    # Settings of a real deployment must not affect the demo.
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
        say(POSTGRESQL)
        stack.enter_context(_database())
        children = stack.enter_context(Children(_local() / "logs"))
        # Start the worker first: importing its libraries takes longest and needs no table.
        say(PROCESSES)
        start = datetime.now(UTC)
        worker = children.start("worker", "celery", *CELERY, "worker", "--pool", "solo", *QUIET)
        _prepare()
        worker.log.forget()  # Errors from before the migration.
        gunicorn = ("--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", str(THREADS), "--no-control-socket")
        logger = ("--logger-class", "sparkle_site.access_log.Logger")
        children.start("site", "gunicorn", "sparkle_site.wsgi", *gunicorn, *logger)
        children.wait_until(
            lambda: answers(f"{site}/simulator/"), what="the site", timeout_s=START_TIMEOUT_S, tick=tick
        )
        say(MODEL)
        children.wait_until(_worker_ready_since(start), what="the model", timeout_s=MODEL_TIMEOUT_S, tick=tick)
        # Last, since nothing depends on it.
        children.start("clock", "celery", *CELERY, "beat")
        yield children


CELERY = ("--app", "devtools.celery_app")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@contextmanager
def _database() -> Iterator[None]:
    """Use the database in DATABASE_URL if set; otherwise start an embedded one and set it."""
    if os.environ.get("DATABASE_URL"):
        yield
        return
    with ensure(_local() / "postgres") as url:
        os.environ["DATABASE_URL"] = url
        yield


def _prepare() -> None:
    """Migrate the database and create the simulator's servers, unless done before."""
    import django
    from django.core.management import call_command
    from django.db import OperationalError

    django.setup()
    # The processes log to files; the terminal is for the user.
    logging.getLogger().setLevel(logging.ERROR)
    try:
        call_command("migrate", verbosity=0)
    except OperationalError as error:
        raise CannotRun(f"the database in DATABASE_URL can't be used: {str(error).splitlines()[0]}") from error

    from devtools.simulator import seed_data

    seed_data.run()
    _set_demo_model_defaults()


def _set_demo_model_defaults() -> None:
    """Set the demo model's best defaults (benchmarks/results/demo-model.json), unless someone changed them."""
    from django.conf import settings

    from guilds.models import ModelProfile

    from . import example_loras

    demo_model = str(settings.BASE_DIR / "demo_model" / "pipeline")
    if demo_model == settings.MODEL_ID:
        usual = ModelProfile._meta.get_field("default_guidance").default
        ModelProfile.objects.filter(is_default=True, source="", default_guidance=usual).update(
            default_guidance=DEMO_GUIDANCE, default_sampler=DEMO_SAMPLER
        )
        example_loras.offer()


def create_administrator() -> str:
    """Give the account `admin` a new password and return it."""
    from django.contrib.auth.models import User

    password = secrets.token_urlsafe(9)
    admin, _ = User.objects.get_or_create(username="admin")
    admin.is_staff = admin.is_superuser = True
    admin.set_password(password)
    admin.save()
    return password


def _worker_ready_since(start: datetime) -> Callable[[], bool]:
    from jobs.models import Worker

    ready = Worker.objects.filter(state__in=[Worker.State.READY, Worker.State.BUSY], seen_at__gte=start)
    return lambda: ready.all().exists()


@contextmanager
def _only_one(*, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Allow one demo per folder. A second one is refused, or waits if `waiting` is given, which gets a message."""
    folder = _local()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = f"another demo is running in this folder (process {lock.read().strip()})"
            if waiting is None:
                raise CannotRun(other) from None
            waiting(f"{other}. Waiting for it to finish ...")
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
    """Return any free port, or the first one from `first` on; 0 if there is none."""
    if not first:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])
    return next((port for port in range(first, 65536) if _is_free(port)), 0)


if __name__ == "__main__":
    sys.exit(main())
