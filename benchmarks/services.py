"""Services for benchmarks: PostgreSQL with the schema, SQS's protocol, and their CPU time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devtools import run_directory, sqs_emulator

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).resolve().parents[1]
# Public and private halves of the throwaway key that signs this run's interactions are made by nacl in each run.
KEY_SETTINGS = {"DJANGO_SECRET_KEY": "benchmarks only", "LOG_LEVEL": "ERROR", "DISCORD_APPLICATION_ID": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A migrated database. `postmaster` is its server's process id, None where it is not known."""

    url: str
    postmaster: int | None

    def cpu_s(self) -> float:
        """CPU seconds that the server and all its processes, ended ones too, have used."""
        return tree_cpu_s(self.postmaster) if self.postmaster else 0.0


def tree_cpu_s(pid: int) -> float:
    """CPU seconds of a process, its ended and its living children."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.name) == pid:
            total += sum(int(each) for each in fields[11:15])
        elif int(fields[1]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


@contextmanager
def database() -> Iterator[Database]:
    """A fresh PostgreSQL with fsync on, migrated; or the empty database that DATABASE_URL names."""
    given = os.environ.get("BENCH_DATABASE_URL")
    if given:
        _migrate(given)
        yield Database(url=given, postmaster=None)
        return
    from devtools.embedded_postgres import ensure

    with run_directory.run_folder("bench") as folder, ensure(folder, durable=True) as url:
        _migrate(url)
        pid_file = next(folder.glob("postgres-*/postmaster.pid"))
        yield Database(url=url, postmaster=int(pid_file.read_text().splitlines()[0]))


def _migrate(url: str) -> None:
    environment = os.environ | KEY_SETTINGS | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": SETTINGS}
    environment["DATABASE_STATEMENT_TIMEOUT_MS"] = "120000"
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "-v0"], check=True, cwd=ROOT, env=environment, timeout=300
    )


SETTINGS = "sparkle_site.settings.headless"


def django_here(url: str, **settings: str) -> None:
    """Set Django up in this process as the Lambda has it, on the database `url`."""
    os.environ |= KEY_SETTINGS | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": SETTINGS} | settings
    from interactions_lambda import router

    router.setup_django()


@contextmanager
def queue() -> Iterator[dict[str, str]]:
    """SQS's protocol with one FIFO queue; yields the environment that leads boto3 and the application to it."""
    import boto3

    with sqs_emulator.sqs() as environment:
        os.environ |= environment
        url = boto3.client("sqs").create_queue(QueueName="sparkle.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        yield environment | {"SQS_QUEUE_URL": url}


def make_guilds(count: int) -> None:
    """Create servers with unlimited queues and two quota rules each that never refuse, to measure admission alone."""
    from guilds.models import Guild, QuotaRule

    from .signed_interactions import GUILDS

    guilds = Guild.objects.bulk_create(
        Guild(
            id=GUILDS + number,
            name=f"Guild {number}",
            max_waiting=10_000,
            max_waiting_per_member=10_000,
            concurrency=64,
        )
        for number in range(count)
    )
    QuotaRule.objects.bulk_create(
        QuotaRule(guild=guild, subject=subject, metric="images", window=window, limit=100_000_000)
        for guild in guilds
        for subject, window in (("member", "day"), ("guild", "month"))
    )
