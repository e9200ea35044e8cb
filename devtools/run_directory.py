"""A folder for one run, removed when the run ends, however it ends.

Runs of several users, clones and programs at once never share a name. Each folder holds a file that its run keeps
locked. A killed run loses the lock, and its folder is removed by the process that waits for the run's end or, if
that was killed too, by the next run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .processes import ChildFailed

# PostgreSQL does not run as root: its account must be able to reach the data, so this cannot be root's own TMPDIR.
PARENT = Path("/var/tmp")
PREFIX = "sparkle-run-"
LOCK = "in-use"
# A folder without its lock was left between two system calls, or is being made just now.
UNLOCKED_AFTER_S = 600
ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def run_folder(kind: str) -> Iterator[Path]:
    """Yield a new, empty folder of this user's; nothing of it is left at the end, nor a database server inside it.

    After ChildFailed it stays until the next run of this user's, for the log that the message names.
    """
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-", dir=PARENT))
    new = folder / f"{LOCK}.new"
    with new.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        new.rename(folder / LOCK)  # Locked before a sweep can see it.
        if os.geteuid() == 0:
            folder.chmod(0o755)
        sweeper = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; sys.stdin.read(); from devtools.run_directory import sweep; sweep()",
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd="/",
            stdin=subprocess.PIPE,
            start_new_session=True,  # A signal to the run's process group must not reach it.
        )
        keep = False
        try:
            yield folder
        except ChildFailed:
            keep = True  # Its message names a log; the next run sweeps the folder.
            raise
        finally:
            if not keep:
                remove(folder)
            with suppress(OSError):
                sweeper.stdin.close()  # type: ignore[union-attr]
            sweeper.wait()


def sweep() -> None:
    """Remove the folders of this user's runs that were killed."""
    for folder in PARENT.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            try:
                lock = (folder / LOCK).open("r+")
            except FileNotFoundError:
                if time.time() - folder.stat().st_mtime > UNLOCKED_AFTER_S:
                    remove(folder)
                continue
            with lock, suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)


def remove(folder: Path) -> None:
    """Remove `folder`, and stop the database servers whose data it holds."""
    from .embedded_postgres import Server

    for file in list(folder.rglob("postmaster.pid")):
        Server(file.parents[1]).crash()
    shutil.rmtree(folder, ignore_errors=True)
