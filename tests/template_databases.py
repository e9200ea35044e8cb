"""The tests' PostgreSQL: one server for a run, started from a template whose tables were made by an earlier run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from devtools.embedded_postgres import NAME, Server, ensure

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / ".local" / "test-databases"
KEPT_TEMPLATES = 3
# What the tables and their first rows depend on.
SOURCES = ("requirements/dev.txt", "sparkle_site/settings/*.py", "**/models.py", "**/models/*.py", "**/migrations/*.py")
ROOMS = ("guilds", "jobs", "sparkle_site", "devtools")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run PostgreSQL in `folder`, shared with the run's other processes; yield the address of its migrated database.

    Raises DatabaseUnavailable.
    """
    folder.mkdir(exist_ok=True)
    with (folder / "copy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "server").exists():
            _copy(_template(folder), folder / "server")
    with ensure(folder / "server") as url:
        yield url


def copy_database(url: str, name: str) -> None:
    """Make the database `name` as a copy of the one at `url`, which nobody may be connected to."""
    with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
        # Two processes that copy at once would be connected to the original at once.
        connection.execute("SELECT pg_advisory_lock(1)")
        command = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        connection.execute(command.format(sql.Identifier(name), sql.Identifier(NAME)))


def _template(scratch: Path) -> Path:
    """Return the stopped server whose database has this checkout's tables; make it in `scratch` if there is none."""
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    with (TEMPLATES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        template = TEMPLATES / _digest()
        if not template.exists():
            _make(scratch / "template")
            # Renamed when complete, so that an interrupted copy is never used.
            unfinished = TEMPLATES / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(scratch / "template", unfinished)
            unfinished.rename(template)
            shutil.rmtree(scratch / "template")
        os.utime(template)
        for old in sorted((each for each in TEMPLATES.iterdir() if each.is_dir()), key=_age)[KEPT_TEMPLATES:]:
            shutil.rmtree(old)
        return template


def _age(folder: Path) -> float:
    return -folder.stat().st_mtime


def _digest() -> str:
    digest = hashlib.sha256(sys.version.encode())
    folders = [ROOT, *(ROOT / room for room in ROOMS)]
    for file in sorted(
        {
            file
            for folder in folders
            for source in SOURCES
            if "**" not in source or folder != ROOT
            for file in folder.glob(source)
        }
    ):
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with ensure(folder) as url:
        environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.test"}
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--run-syncdb", "--verbosity=0"],
            cwd=ROOT,
            env=environment,
            check=True,
        )


def _copy(template: Path, folder: Path) -> None:
    unfinished = folder.with_name("unfinished")
    shutil.copytree(template, unfinished)
    if account := Server(unfinished).account:
        unfinished.chmod(0o755)
        for each in unfinished.glob("postgres-*/"):
            for path in (each, *each.rglob("*")):
                os.chown(path, account.pw_uid, account.pw_gid)
    unfinished.rename(folder)
