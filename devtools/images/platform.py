"""What the images run against in a check: a real PostgreSQL, SQS and S3 as an emulator, Discord as the simulator."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from devtools.embedded_postgres import ensure, free_port
from devtools.processes import answers, start, wait_until
from devtools.sqs_emulator import ministack
from interactions_lambda.packaging import ROOT

from .buildah import CannotBuild

BUCKET, QUEUE = "sparkle-images", "sparkle.fifo"
START_TIMEOUT_S = 120
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """`variables` are what a task gets; `development` is what the simulator's processes need besides."""

    variables: Mapping[str, str]
    development: Mapping[str, str]
    folder: Path
    s3: Any

    def manage(self, *arguments: str) -> None:
        """Run a management command with the simulator's settings. Raises CannotBuild."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.everything(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CannotBuild(f"manage.py {arguments[0]}: {done.stderr.strip().splitlines()[-1:]}")

    def everything(self) -> dict[str, str]:
        return {**os.environ, **self.variables, **self.development}

    @contextmanager
    def discord(self) -> Iterator[None]:
        """Serve the simulator until the context ends. Raises ChildFailed."""
        port = self.variables["SITE_URL"].rpartition(":")[2]
        bind = ["-m", "gunicorn", f"--bind=127.0.0.1:{port}", "--workers=1", "--threads=8", "--no-control-socket"]
        child = start(
            "simulator",
            [*bind, "sparkle_site.wsgi"],
            log=self.folder / "simulator.log",
            environment={**self.variables, **self.development},
            cwd=ROOT,
        )
        try:
            url = f"{self.variables['SITE_URL']}/simulator/"
            wait_until(lambda: answers(url), children=[child], what="the simulator", timeout_s=START_TIMEOUT_S)
            yield
        finally:
            child.process.terminate()
            child.process.wait()


@contextmanager
def platform(folder: Path) -> Iterator[Platform]:
    """Start database, queue and bucket. Raises ChildFailed, DatabaseUnavailable."""
    import boto3

    settings = {"SERVICES": "sqs,s3", "LOG_LEVEL": "ERROR"}
    with ensure(folder / "postgres") as database, ministack(settings, log=folder / "ministack.log") as endpoint:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        sqs = boto3.client("sqs", endpoint_url=endpoint, **keys)  # type: ignore[call-overload]
        s3 = boto3.client("s3", endpoint_url=endpoint, **keys)  # type: ignore[call-overload]
        s3.create_bucket(Bucket=BUCKET)
        signing_key = secrets.token_hex(32)
        site = f"http://127.0.0.1:{free_port()}"
        variables = {
            **AWS,
            "AWS_ENDPOINT_URL": endpoint,
            "SQS_QUEUE_URL": sqs.create_queue(QueueName=QUEUE, Attributes={"FifoQueue": "true"})["QueueUrl"],
            "IMAGE_BUCKET": BUCKET,
            "DATABASE_URL": database,
            "DATABASE_STATEMENT_TIMEOUT_MS": "10000",
            "DJANGO_SECRET_KEY": secrets.token_hex(32),
            "DISCORD_APPLICATION_ID": "1000000000000000001",
            "DISCORD_BOT_TOKEN": "check-bot-token",
            "DISCORD_PUBLIC_KEY": SigningKey(bytes.fromhex(signing_key)).verify_key.encode().hex(),
            "DISCORD_API_BASE": f"{site}/simulator/api/v10",
            "SITE_URL": site,
        }
        development = {
            "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.local",
            "JOB_DISPATCHER": "jobs.dispatch.sqs.SqsDispatcher",
            "SIMULATOR_SIGNING_KEY": signing_key,
            "SPARKLE_LOCAL_DIR": str(folder / "local"),
        }
        yield Platform(variables=variables, development=development, folder=folder, s3=s3)
