"""The embedded PostgreSQL is shared, outlives a killed user, and stops with the last one."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

from devtools.embedded_postgres import ensure

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
USER = """
import sys, time
from pathlib import Path
from devtools.embedded_postgres import ensure
with ensure(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(make_folder):
    return make_folder("database")


def use(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", USER, folder], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def leave(user: subprocess.Popen) -> None:
    user.communicate(timeout=60)


def answer(url: str) -> int:
    with psycopg.connect(url, connect_timeout=60) as connection:
        return connection.execute("SELECT 42").fetchone()[0]


def test_two_processes_share_one_server_and_the_last_one_stops_it(folder):
    first, second = use(folder), use(folder)
    url = first.stdout.readline().strip()
    assert second.stdout.readline().strip() == url
    leave(first)
    assert answer(url) == 42
    leave(second)
    with pytest.raises(psycopg.OperationalError):
        answer(url)


def test_data_is_kept_for_the_next_run(folder):
    with ensure(folder) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    with ensure(folder) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_the_next_process_takes_over_the_server_of_a_killed_one(folder):
    killed = use(folder)
    url = killed.stdout.readline().strip()
    killed.kill()
    leave(killed)
    with ensure(folder) as again:
        assert again == url
        assert answer(again) == 42
    with pytest.raises(psycopg.OperationalError):
        answer(url)


def test_an_interrupted_set_up_starts_again(folder):
    major = version("embedded-postgres").split(".")[0]
    (folder / f"postgres-{major}" / "base").mkdir(parents=True)
    with ensure(folder) as url:
        assert answer(url) == 42


def test_two_folders_are_two_servers(folder):
    with ensure(folder / "one") as one, ensure(folder / "two") as two:
        assert one != two
        assert answer(one) == answer(two) == 42
