"""What benchmarks stand on: a PostgreSQL with the schema, SQS's protocol, and the CPU time that they take."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).resolve().parents[1]
# Public and private halves of the throwaway key that signs this run's interactions are made by nacl in each run.
KEY_SETTINGS = {"DJANGO_SECRET_KEY": "benchmarks only", "LOG_LEVEL": "ERROR", "DISCORD_APPLICATION_ID": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A migrated database. `postmaster` is its server's process id, None where it is not ours to see."""

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
    from sparkle_site.local.database import ensure

    folder = Path(tempfile.mkdtemp(prefix="sparkle-bench-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with ensure(folder, durable=True) as url:
            _migrate(url)
            pid_file = next(folder.glob("postgres-*/postmaster.pid"))
            yield Database(url=url, postmaster=int(pid_file.read_text().splitlines()[0]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    import django

    django.setup()


@contextmanager
def queue() -> Iterator[dict[str, str]]:
    """SQS's protocol with one FIFO queue; yields the environment that leads boto3 and the application to it."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"],
        env=os.environ | {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "sqs", "LOG_LEVEL": "ERROR"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_http(endpoint)
        import boto3

        sqs = boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        url = sqs.create_queue(QueueName="sparkle.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        yield environment | {"SQS_QUEUE_URL": url}
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_http(url: str, *, for_s: float = 60) -> None:
    """Wait until something answers at `url`, whatever it says. Raises TimeoutError."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing answers at {url}")


def make_guilds(count: int) -> None:
    """Make servers whose lines never fill, with two quota rules each that never bind: admission is what is measured."""
    from guilds.models import Guild, QuotaRule

    from .interactions import GUILDS

    guilds = Guild.objects.bulk_create(
        Guild(
            id=GUILDS + number,
            name=f"Guild {number}",
            max_waiting=1_000_000,
            max_waiting_per_member=1_000_000,
            concurrency=64,
        )
        for number in range(count)
    )
    QuotaRule.objects.bulk_create(
        QuotaRule(guild=guild, subject=subject, metric="pictures", window=window, limit=100_000_000)
        for guild in guilds
        for subject, window in (("member", "day"), ("guild", "month"))
    )
