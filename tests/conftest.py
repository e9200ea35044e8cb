"""What every test stands on: a real PostgreSQL, no network beyond this machine, and makers of rows."""

from __future__ import annotations

import importlib
import itertools
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

# Started in the background (a job of a script, nohup), a process ignores these, and so would all that the tests start:
# but they are about what a person at a terminal does.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

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
def django_db_modify_db_settings() -> Iterator[None]:
    """Point Django at DATABASE_URL where the caller has set one, else at a PostgreSQL of this run's own."""
    if os.environ.get("SPARKLE_TEST_DATABASE_URL"):
        _point_django_at(os.environ["SPARKLE_TEST_DATABASE_URL"])
        yield
        return
    from sparkle_site.local.database import ensure

    folder = Path(tempfile.mkdtemp(prefix="sparkle-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with ensure(folder) as url:
            _point_django_at(url)
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _point_django_at(url: str) -> None:
    from django.db import connections

    from sparkle_site.settings.base import database

    connections["default"].settings_dict.update(
        {key: value for key, value in database(url, statement_timeout_ms=20_000).items() if key != "TEST"}
        # A thread that ends its work leaves no connection that would keep the database from being dropped.
        | {"CONN_MAX_AGE": 0}
    )


@pytest.fixture(autouse=True)
def _fresh_doorbells() -> Iterator[None]:
    from jobs.dispatch.memory import MemoryDispatcher

    MemoryDispatcher.clear()
    yield
    MemoryDispatcher.clear()


@pytest.fixture(autouse=True)
def _default_rows(request: pytest.FixtureRequest) -> None:
    """A test with real transactions empties every table at its end: put back the rows that migrations made."""
    marker = request.node.get_closest_marker("django_db")
    names = {"transactional_db", "live_server"}
    if names & set(request.fixturenames) or (marker and marker.kwargs.get("transaction")):
        request.getfixturevalue("transactional_db")
        from django.apps import apps

        importlib.import_module("guilds.migrations.0002_defaults").add_defaults(apps, None)


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
    from jobs.actions import Ask

    def make(guild: Any, **fields: Any) -> Ask:
        defaults: dict[str, Any] = {
            "interaction_id": next(_snowflakes),
            "application_id": 1,
            "token": "a-token",
            "guild_id": guild.pk,
            "channel_id": 77,
            "user_id": 42,
            "prompt": "a red circle",
        }
        return Ask(**(defaults | fields))

    return make
