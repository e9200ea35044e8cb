"""What every test stands on: a real PostgreSQL, no network beyond this machine, and makers of rows."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import itertools
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devtools import sqs_emulator

from . import hour_turn, required_programs
from .required_programs import (
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_runtest_setup,
    pytest_runtest_teardown,
)
from .xdist_lanes import (
    pytest_cmdline_main,
    pytest_ignore_collect,
    pytest_xdist_make_scheduler,
    tell_lane,
)

# pytest finds its hooks here by their names.
__all__ = [
    "pytest_addoption",
    "pytest_cmdline_main",
    "pytest_collection_modifyitems",
    "pytest_ignore_collect",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
    "pytest_xdist_make_scheduler",
]

# Started in the background (a job of a script, nohup), a process ignores these, and so would all that the tests start:
# but they are about what a person at a terminal does.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

RUN_FOLDER = pytest.StashKey[Path]()
DATABASE = pytest.StashKey[bool]()
SQS = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a folder, in which all of its temporary files are, those of its child processes as well."""
    required_programs.add_marks(config)
    # Beside other tests, threads of PyTorch's that wait for each other take many times as long as one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if hasattr(config, "workerinput"):
        config.stash[RUN_FOLDER] = Path(config.workerinput["run_folder"])
        return
    if config.option.collectonly:
        return
    from devtools.run_directory import run_folder

    folder = run_folder("test")
    config.stash[RUN_FOLDER] = folder.__enter__()
    config.add_cleanup(lambda: folder.__exit__(None, None, None))
    # pytest keeps the folders of failed tests, for a person to look at.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    temporary = config.stash[RUN_FOLDER] / "tmp"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    tempfile.tempdir = None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Leave what is imported for the tests to the end of the run: each search for garbage in it takes half a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _media(run_folder: Path, worker_id: str) -> Iterator[None]:
    """Keep images in the run's folder; tests that run side by side see their own only."""
    from django.conf import settings
    from django.test import override_settings

    here = settings.STORAGES["default"]
    options = here["OPTIONS"] | {"location": str(run_folder / f"media-{worker_id}")}
    with override_settings(STORAGES=settings.STORAGES | {"default": here | {"OPTIONS": options}}):
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist's which run it works for, and where the run's emulator is."""
    config = node.config
    if SQS not in config.stash:
        started = sqs_emulator.sqs(log=config._tmp_path_factory.mktemp("sqs") / "ministack.log")
        config.stash[SQS] = started.__enter__()
        config.add_cleanup(lambda: started.__exit__(None, None, None))
    tell_lane(node)
    node.workerinput |= {"run_folder": str(config.stash[RUN_FOLDER]), "sqs": config.stash[SQS]}


@pytest.fixture(scope="session")
def sqs_environment(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that leads boto3 to the run's SQS."""
    if hasattr(pytestconfig, "workerinput"):
        yield pytestconfig.workerinput["sqs"]
        return
    with sqs_emulator.sqs(log=tmp_path_factory.mktemp("sqs") / "ministack.log") as environment:
        yield environment


_REAL_CONNECT = socket.socket.connect


def _local_only(self: socket.socket, address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else "local"
    if host not in {"127.0.0.1", "::1", "localhost", "local", "0.0.0.0"}:
        raise AssertionError(f"A test tried to reach {host}.")
    _REAL_CONNECT(self, address)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _local_only)


@pytest.fixture(scope="session")
def run_folder(pytestconfig: pytest.Config) -> Path:
    """A folder of this run's, which every process of it shares and nothing outlives."""
    return pytestconfig.stash[RUN_FOLDER]


@pytest.fixture(scope="session")
def make_folder(run_folder: Path) -> Callable[[str], Path]:
    """Make a folder that PostgreSQL's own account may enter, unlike `tmp_path` where root runs the tests."""

    def make(name: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=run_folder))
        folder.chmod(0o755)
        return folder

    return make


@pytest.fixture(scope="session")
def django_db_modify_db_settings(pytestconfig: pytest.Config, run_folder: Path, worker_id: str) -> Iterator[None]:
    """Point Django at SPARKLE_TEST_DATABASE_URL where the caller has set it, else at this worker's own database."""
    pytestconfig.stash[DATABASE] = True
    if url := os.environ.get("SPARKLE_TEST_DATABASE_URL"):
        _point_django_at(url, test_name=f"test_sparkle_{worker_id}")
        yield
        return
    from .template_databases import copy_database, serving

    with ExitStack() as stack:
        with required_programs.processes_of_the_run():
            url = stack.enter_context(serving(run_folder / "database"))
        name = f"test_{worker_id}"
        copy_database(url, name)
        _point_django_at(url, test_name=name)
        yield


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """A database of the run's own is there already, and goes with its server."""
    return "SPARKLE_TEST_DATABASE_URL" not in os.environ


def _point_django_at(url: str, *, test_name: str) -> None:
    from django.db import connections

    from sparkle_site.settings.base import database

    here = connections["default"].settings_dict
    here.update(
        {key: value for key, value in database(url, statement_timeout_ms=20_000).items() if key != "TEST"}
        # A thread that ends its work leaves no connection that would keep the database from being dropped.
        | {"CONN_MAX_AGE": 0}
    )
    here["TEST"]["NAME"] = test_name


@pytest.fixture(autouse=True)
def _fresh_queue() -> Iterator[None]:
    from jobs.dispatch.memory import MemoryDispatcher

    MemoryDispatcher.clear()
    yield
    MemoryDispatcher.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """A test with real transactions empties every table at its end: put back the rows that migrations made."""
    hour_turn.wait_out()
    result = yield
    names = set(getattr(item, "fixturenames", ()))
    marker = item.get_closest_marker("django_db")
    emptied = names & {"transactional_db", "live_server"} or (marker and marker.kwargs.get("transaction"))
    if emptied and nextitem and item.config.stash.get(DATABASE, False):
        from django.apps import apps
        from pytest_django.plugin import blocking_manager_key

        with item.config.stash[blocking_manager_key].unblock():
            importlib.import_module("guilds.migrations.0001_initial").add_defaults(apps, None)
    return result


class _Inline(Executor):
    """Runs what is submitted at once, in the thread that submits it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


@pytest.fixture(autouse=True)
def _handler_uses_the_tests_connection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a test's transaction the Lambda's handler stays in its thread: others do not see the test's rows."""
    marker = request.node.get_closest_marker("django_db")
    fixtures = set(request.fixturenames)
    if (marker is None and "db" not in fixtures) or fixtures & {"transactional_db", "live_server"}:
        return
    if marker is not None and marker.kwargs.get("transaction"):
        return
    from django.db import connections

    from interactions_lambda import deadline

    # It would end the test's transaction.
    monkeypatch.setattr(connections["default"], "close_if_unusable_or_obsolete", lambda: None)
    threads, inline = deadline._threads, _Inline()
    monkeypatch.setattr(deadline, "_threads", lambda purpose: inline if purpose == "request" else threads(purpose))


@pytest.fixture(autouse=True)
def _response_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the handler a minute in place of Discord's 3 s: on a busy machine one statement may take seconds."""
    from interactions_lambda import deadline

    for name in ("SEND_BY_S", "LAST_STATEMENT_S", "RESPOND_BY_S"):
        monkeypatch.setattr(deadline, name, 60.0)


NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
_snowflakes = itertools.count(1_200_000_000_000_000_000)


@pytest.fixture
def now() -> datetime:
    """Noon of a Monday, in UTC."""
    return NOW


@pytest.fixture
def snowflake() -> Callable[[], int]:
    """A new id, unique in this run, as large as Discord's."""
    return lambda: next(_snowflakes)


@pytest.fixture
def make_guild(db: None) -> Callable[..., Any]:
    """Make a guild with the given settings."""
    from guilds.models import Guild

    def make(**fields: Any) -> Guild:
        # Before the tests' now, whatever the clock says.
        defaults = {"id": next(_snowflakes), "name": "Pixel Garden", "installed_at": NOW - timedelta(days=30)}
        return Guild.objects.create(**(defaults | fields))

    return make


@pytest.fixture
def make_ask() -> Callable[..., Any]:
    """Make a member's request of a guild, a new interaction each time."""
    from guilds.generation_params import RequestedParams
    from jobs.submission import JobRequest

    params_names = {field.name for field in dataclasses.fields(RequestedParams)}

    def make(guild: Any, **fields: Any) -> JobRequest:
        params = {"prompt": "a red circle"} | {name: fields.pop(name) for name in params_names & set(fields)}
        defaults: dict[str, Any] = {
            "interaction_id": next(_snowflakes),
            "application_id": 1,
            "token": "a-token",
            "guild_id": guild.pk,
            "channel_id": 77,
            "user_id": 42,
            "params": RequestedParams(**params),
        }
        return JobRequest(**(defaults | fields))

    return make


@pytest.fixture(autouse=True)
def _second_opinion(request: pytest.FixtureRequest) -> Iterator[None]:
    """Show Discord's own schema every body that the simulator accepts. Its own tests send odd ones on purpose."""
    if "simulator" in request.node.path.parts:
        yield
        return
    from devtools.simulator import rest_api
    from tests.discord import node_tools
    from tests.discord.payload_contract import as_documented

    seen: list[tuple[str, Any]] = []

    def note(schema: str, body: Any) -> None:
        seen.append((schema, body))

    rest_api.ACCEPTED.append(note)
    yield
    rest_api.ACCEPTED.remove(note)
    if seen and (checker := node_tools.checker()):
        wrong = [(schema, checker.problems(schema, as_documented(body))) for schema, body in seen]
        assert [each for each in wrong if each[1]] == []


@pytest.fixture(scope="session", autouse=True)
def _close_checker() -> Iterator[None]:
    from tests.discord import node_tools

    yield
    node_tools.close_checker()
