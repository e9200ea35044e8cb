"""The processes of a chaos run: two PostgreSQL servers, the queue, Discord, ingress, workers and upkeep.

The simulator of Discord has its own PostgreSQL server, so that what members saw is known whatever happens to the
platform's server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

from nacl.signing import SigningKey

from devtools.embedded_postgres import Server, create_database, free_port
from devtools.processes import Child, answers, start, wait_until

from . import example_guilds
from .example_guilds import PROMPT
from .failing_engine import Poison
from .tcp_proxy import Proxy

# Starting takes minutes on a busy machine.
START_S = 240.0
ROOT = Path(__file__).resolve().parents[2]
QUEUE = "sparkle.fifo"
VISIBILITY_S = 16
SIGNING_KEY = "c4" * 32
DRAIN_S = 240.0
BROKEN_MODEL = "broken"
GUNICORN = ("-m", "gunicorn", "--workers=1", "--threads=8", "--graceful-timeout=1", "--log-level=error")


class StartFailed(Exception):
    """A process does not start; the message names it and its log."""


@dataclass(slots=True, kw_only=True)
class Part:
    """A process that can be killed and started again."""

    name: str
    arguments: list[str]
    variables: dict[str, str]
    log: Path
    child: Child | None = None
    starts: int = 0
    code: Path | None = None
    """The checkout that it runs, where that is not this one."""

    def start(self, *extra: str) -> None:
        self.starts += 1
        self.child = start(
            self.name,
            [*self.arguments, *extra],
            log=self.log,
            environment=({"PYTHONPATH": str(self.code)} if self.code else {}) | self.variables,
            cwd=self.code,
        )

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self.child.process if self.child is not None else None

    def end(self, signum: int = signal.SIGKILL, *, wait_s: float = 12) -> None:
        """Send the signal and wait for the end; after `wait_s` seconds kill the process."""
        if self.process is None or self.process.poll() is not None:
            return
        group = signum == signal.SIGKILL
        (os.killpg if group else os.kill)(self.process.pid, signum)
        try:
            self.process.wait(wait_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def exit_status(self) -> int | None:
        return self.process.poll() if self.process is not None else None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass(slots=True, kw_only=True)
class Database:
    """A PostgreSQL server behind a proxy. The proxy's port stays the same when the server's changes."""

    server: Server
    proxy: Proxy = field(init=False)
    port: int = 0

    def __post_init__(self) -> None:
        self.port = self.server.start(durable=True)
        create_database(self.direct)
        self.proxy = Proxy(self.port)

    @property
    def direct(self) -> str:
        return f"postgres://postgres:{self.server.password}@127.0.0.1:{self.port}/sparkle"

    @property
    def proxied(self) -> str:
        return f"postgres://postgres:{self.server.password}@127.0.0.1:{self.proxy.port}/sparkle"

    def crash_and_recover(self) -> None:
        self.server.crash()
        self.port = self.server.start(durable=True)
        self.proxy.upstream = self.port


class ChaosEnvironment:
    """`start` starts all processes; `stop` ends them."""

    def __init__(self, folder: Path, *, workers: int, ingresses: int, release: Path | None = None) -> None:
        """`release`: a checkout of an earlier version; the first worker, the first ingress and upkeep run it."""
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        for name in ("platform", "outside"):
            (folder / name).mkdir(exist_ok=True)
        self.platform_db = Database(server=Server(folder / "platform"))
        self.outside_db = Database(server=Server(folder / "outside"))
        self.queue_port, self.discord_port = free_port(), free_port()
        self.queue_proxy, self.discord_proxy = Proxy(self.queue_port), Proxy(self.discord_port)
        self.ingress_ports = [free_port() for _ in range(ingresses)]
        self.variables = self._platform_variables()
        self.discord = self._discord_part()
        self.queue = self._queue_part()
        self.ingresses = [
            self._part(
                f"ingress-{number}",
                [*GUNICORN, f"--bind=127.0.0.1:{port}", "devtools.api_gateway:application"],
                self.variables,
            )
            for number, port in enumerate(self.ingress_ports)
        ]
        self.workers = [
            self._part(f"worker-{number}", ["-m", "gpu_worker"], self.variables) for number in range(workers)
        ]
        self.upkeep = self._part("upkeep", ["-m", "devtools.chaos.upkeep_loop"], self.variables)
        for part in (self.workers[0], self.ingresses[0], self.upkeep):
            part.code = release
        if release is not None:
            self.workers[0].variables = self.variables | {"SPARKLE_ENGINE": "noise"}

    def _platform_variables(self) -> dict[str, str]:
        """Return the environment of the platform's processes."""
        site = f"http://127.0.0.1:{self.discord_proxy.port}"
        return {
            "DJANGO_SETTINGS_MODULE": "devtools.chaos.settings",
            "DATABASE_URL": self.platform_db.proxied,
            "SITE_URL": site,
            "DISCORD_API_BASE": f"{site}/simulator/api/v10",
            "SPARKLE_LOCAL_DIR": str(self.folder / "local"),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.queue_proxy.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "SQS_QUEUE_URL": f"http://127.0.0.1:{self.queue_proxy.port}/000000000000/{QUEUE}",
            "JOB_DISPATCHER": "jobs.dispatch.sqs.SqsDispatcher",
            "SPARKLE_ENGINE": "devtools.chaos.failing_engine.loader",
            # Shorter than on AWS, so that a run waits seconds after each death, not minutes.
            "SPARKLE_LEASE_SECONDS": "6",
            "SPARKLE_STEP_BOUND_SECONDS": "3",
            "SPARKLE_DECODING_BOUND_SECONDS": "3",
            "SPARKLE_RESEND_AFTER_SECONDS": "8",
            "SPARKLE_ANNOUNCE_AFTER_SECONDS": "4",
            "DJANGO_SECRET_KEY": "chaos-" + "x" * 40,
            "DISCORD_APPLICATION_ID": "1000000000000000001",
            "DISCORD_BOT_TOKEN": "chaos-bot-token",
            "SIMULATOR_SIGNING_KEY": SIGNING_KEY,
            "DISCORD_PUBLIC_KEY": SigningKey(bytes.fromhex(SIGNING_KEY)).verify_key.encode().hex(),
        }

    def _discord_part(self) -> Part:
        variables = self.variables | {
            "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.local",
            "DATABASE_URL": self.outside_db.direct,
        }
        return self._part(
            "discord", [*GUNICORN, f"--bind=127.0.0.1:{self.discord_port}", "sparkle_site.wsgi"], variables
        )

    def _queue_part(self) -> Part:
        variables = {
            "GATEWAY_PORT": str(self.queue_port),
            "SERVICES": "sqs",
            "LOG_LEVEL": "ERROR",
            "MINISTACK_HOST": "127.0.0.1",
        }
        return self._part("queue", ["-m", "ministack"], variables)

    def _part(self, name: str, arguments: list[str], variables: dict[str, str]) -> Part:
        return Part(name=name, arguments=arguments, variables=variables, log=self.logs / f"{name}.log")

    @property
    def parts(self) -> list[Part]:
        return [self.upkeep, *self.workers, *self.ingresses, self.queue, self.discord]

    def start(self) -> None:
        """Migrate both databases and start every process. Raise StartFailed."""
        for variables in (self.variables, self.discord.variables):
            done = subprocess.run(
                [sys.executable, "manage.py", "migrate", "-v0"],
                cwd=ROOT,
                env=os.environ | variables,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise StartFailed(f"migrate: {(done.stderr.strip().splitlines() or ['it gave no reason'])[-1]}")
        self.start_discord()
        self.start_queue()
        for part in (*self.ingresses, *self.workers, self.upkeep):
            part.start()
        for port, ingress in zip(self.ingress_ports, self.ingresses, strict=True):
            self._wait(f"http://127.0.0.1:{port}/interactions", ingress)
        for part in self.parts:
            if part.child is not None:
                part.child.check()

    def start_discord(self) -> None:
        self.discord.start()
        self._wait(f"http://127.0.0.1:{self.discord_port}/simulator/", self.discord)

    def start_queue(self) -> None:
        """Start the emulator with the queues of the real deployment, all empty."""
        self.queue.start()
        self._wait(f"http://127.0.0.1:{self.queue_port}/", self.queue)
        sqs = self.sqs()
        attributes = {"FifoQueue": "true", "VisibilityTimeout": str(VISIBILITY_S)}
        dead = sqs.create_queue(QueueName="sparkle-dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        attributes["RedrivePolicy"] = f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"50"}}'
        sqs.create_queue(QueueName=QUEUE, Attributes=attributes)

    def sqs(self) -> Any:
        """Return a client of the emulator that bypasses the proxy."""
        import boto3

        return boto3.client(
            "sqs",
            endpoint_url=f"http://127.0.0.1:{self.queue_port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def queue_url(self, name: str = QUEUE) -> str:
        return f"http://127.0.0.1:{self.queue_port}/000000000000/{name}"

    def install_guilds(self, guilds: list[tuple[int, str]]) -> None:
        """Create the platform's rows for the simulator's servers, with large queues, and for example_guilds."""
        code = (
            "from guilds.models import Guild\n"
            f"for pk, name in {guilds!r}:\n"
            "    Guild.objects.update_or_create(pk=pk, defaults=dict(name=name, concurrency=16, max_waiting=10000,"
            " max_waiting_per_member=10000))\n"
            "from guilds.models import ModelProfile\n"
            f"ModelProfile.objects.update_or_create(slug={BROKEN_MODEL!r}, defaults=dict(name='Broken',"
            f" source='models/{Poison.LOADER_RAISES}'))\n"
            "from devtools.chaos import example_guilds\n"
            "example_guilds.make_platform()\n"
        )
        self._on_platform("manage.py", "shell", "--no-imports", "-v0", "-c", code)

    def decide_at_boundary(self, asks: int) -> dict[str, Any]:
        """Let two processes admit `asks` requests each (concurrent_admission); return their output."""
        return dict(json.loads(self._on_platform("-m", "devtools.chaos.concurrent_admission", str(asks))))

    def _on_platform(self, *arguments: str) -> str:
        """Run Python with the platform's environment, bypassing the database's proxy; return its output."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | self.variables | {"DATABASE_URL": self.platform_db.direct},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def change_time_zone(self, time_zone: str) -> None:
        """Save another time zone for the server with a small quota."""
        self._execute("UPDATE guilds_guild SET time_zone = %s WHERE id = %s", [time_zone, example_guilds.LIMITED.id])

    def age_request(self) -> bool:
        """Age an ended request of the server OLD beyond its retention, and its token; return whether there is one.

        Restores what upkeep has already erased of it.
        """
        aged = self._execute(
            "UPDATE jobs_job SET created_at = now() - interval '400 days', reply_deadline = now() - interval '1 day', "
            "prompt = %s, encrypted_token = '\\x01', erasure = '' WHERE guild_id = %s AND ended_at IS NOT NULL",
            [PROMPT, example_guilds.OLD.id],
        )
        return aged > 0

    def old_is_erased(self) -> bool:
        """Return whether upkeep has erased the prompt and the token of the request that `age_request` aged."""
        return not self._execute(
            "SELECT 1 FROM jobs_job WHERE guild_id = %s AND created_at < now() - interval '300 days' "
            "AND (prompt <> '' OR encrypted_token <> '')",
            [example_guilds.OLD.id],
        )

    def _execute(self, query: LiteralString, values: list[Any]) -> int:
        """Run a statement on the platform's database, bypassing the proxy; return how many rows it found or changed."""
        import psycopg

        with psycopg.connect(self.platform_db.direct, connect_timeout=5) as connection:
            return connection.execute(query, values).rowcount

    def revive(self) -> None:
        """Restart processes that ended by themselves, as ECS does."""
        for part in self.parts:
            if not part.alive:
                say(f"            {part.name} ended by itself with exit status {part.exit_status}")
                part.start()

    def drain(self) -> float:
        """End every fault and wait until no job is open; return the seconds from the end of the Discord outage."""
        import psycopg

        from devtools.simulator import injected_faults

        injected_faults.clear()
        time.sleep(self.discord_proxy.down_s)
        for proxy in (self.platform_db.proxy, self.queue_proxy, self.discord_proxy):
            proxy.restore()
        self.revive()
        began = time.monotonic()
        while time.monotonic() - began < DRAIN_S:
            self.revive()
            with psycopg.connect(self.platform_db.direct, connect_timeout=5) as connection:
                left = connection.execute(
                    "SELECT count(*) FILTER (WHERE status IN ('waiting', 'queued', 'running')), count(*) FILTER ("
                    "WHERE notified_at IS NULL AND status <> 'refused') FROM jobs_job"
                ).fetchone()
            if left == (0, 0):
                break
            if sys.stderr.isatty():
                print(
                    f"\r{left[0] if left else '?'} open, {left[1] if left else '?'} not notified   ",
                    end="",
                    file=sys.stderr,
                )
            time.sleep(0.5)
        return time.monotonic() - began

    def dead_letters(self) -> list[str]:
        found = self.sqs().receive_message(
            QueueUrl=self.queue_url("sparkle-dead.fifo"), MaxNumberOfMessages=10, WaitTimeSeconds=0
        )
        return [message["Body"] for message in found.get("Messages", [])]

    def secrets(self) -> set[str]:
        """Return what no log may contain: tokens, words of prompts, names."""
        from devtools.simulator.models import SimInteraction, SimUser

        tokens = set(SimInteraction.objects.values_list("token", flat=True))
        names = {f'"{name}"' for name in SimUser.objects.filter(bot=False).values_list("global_name", flat=True)}
        return tokens | names | {PROMPT, self.variables["DISCORD_BOT_TOKEN"], self.variables["DJANGO_SECRET_KEY"]}

    def stop(self) -> None:
        for part in self.parts:
            part.end(signal.SIGTERM, wait_s=10)
        for database in (self.platform_db, self.outside_db):
            database.proxy.close()
            database.server.stop()

    def _wait(self, url: str, part: Part) -> None:
        # Repeated errors are expected here; only the end of the process is a failure.
        children = [part.child] if part.child is not None else []
        wait_until(lambda: answers(url), children=children, what=part.name, timeout_s=START_S, repeated_errors=False)


def make_http_handler(port: int) -> Callable[[dict[str, Any], object], dict[str, Any]]:
    """Return a handler that posts to an ingress process; it answers 502 where the process does not answer."""

    def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{event['rawPath']}", data=event["body"].encode(), headers=event["headers"]
        )
        try:
            with urllib.request.urlopen(request, timeout=4) as answer:
                return {"statusCode": answer.status, "headers": dict(answer.headers), "body": answer.read().decode()}
        except urllib.error.HTTPError as error:
            return {"statusCode": error.code, "headers": {}, "body": ""}
        except OSError:
            return {"statusCode": 502, "headers": {}, "body": ""}

    return handler


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
