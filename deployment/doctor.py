"""Looks at tools, inputs, the AWS account and the Discord application before an apply."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from discord_api.client import DiscordClient
from guilds.app_version import __version__
from interactions_lambda.packaging import ROOT

from . import account, checks, discord_application
from .checks import Finding
from .step_runner import StepFailed

Clients = Callable[[str], Any]
DISCORD = "https://discord.com/api/v10"


def examine(values: Mapping[str, Any], *, aws: Clients, region: str) -> Iterator[Finding]:
    """Yield the findings. `values`: Terraform's inputs. `aws` returns a client by its service's name."""
    yield checks.terraform(terraform_version())
    yield checks.packages({f"build/{name}": (ROOT / "build" / name).is_file() for name in ("lambda.zip", "source.zip")})
    found = checks.inputs(values)
    yield from found
    usable = {finding.what for finding in found if finding.status == checks.OK}
    yield from _account(values, usable, aws=aws, region=region)
    if "discord_bot_secret" in usable:
        yield from discord(values)


def terraform_version() -> str | None:
    """Return the version of the Terraform on the PATH."""
    program = shutil.which("terraform")
    if program is None:
        return None
    done = subprocess.run([program, "version", "-json"], capture_output=True, text=True, check=False)
    try:
        return str(json.loads(done.stdout)["terraform_version"])
    except (ValueError, KeyError):
        return None


def _account(values: Mapping[str, Any], usable: set[str], *, aws: Clients, region: str) -> Iterator[Finding]:
    try:
        identity = aws("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        what = "AWS credentials"
        yield Finding(
            what=what, status=checks.MISSING, detail=_reason(error), command="aws configure, or aws sso login"
        )
        return
    yield Finding(what="AWS credentials", status=checks.OK, detail=f"account {identity['Account']}, {region}")
    types = list(values.get("worker_instance_types") or checks.DEFAULT_TYPES)
    if "vpc_id" in usable:
        yield from _network(str(values["vpc_id"]), types, aws("ec2"))
    yield _try("GPU quota", lambda: _gpu_quota(values, types, aws, region))
    reserved = max(0, int(values.get("interactions_concurrency") or 0))
    yield _try(
        "Lambda quota",
        lambda: checks.lambda_quota(
            value=account.quota(aws("service-quotas"), "lambda", checks.LAMBDA_QUOTA), reserved=reserved, region=region
        ),
    )
    if values.get("build_images", True):
        kind = str(values.get("build_compute_type") or checks.DEFAULT_BUILD)
        name = checks.BUILD_QUOTAS.get(kind, "")
        yield _try(
            "Build quota",
            lambda: checks.build_quota(kind, account.quota_named(aws("service-quotas"), "codebuild", name), region),
        )


def _network(vpc_id: str, types: list[str], ec2: Any) -> Iterator[Finding]:
    try:
        subnets = account.subnets(ec2, vpc_id)
    except (BotoCoreError, ClientError) as error:
        yield _not_checked("Public subnets", error)
        return
    yield checks.public_subnets(vpc_id, subnets)
    zones = {subnet.zone for subnet in subnets if subnet.tier == "Public"}
    yield _try("GPU type", lambda: checks.gpu_zones(types, account.zones_by_type(ec2, types), zones))


def _gpu_quota(values: Mapping[str, Any], types: list[str], aws: Clients, region: str) -> Finding:
    code = checks.GPU_QUOTAS[types[0][0]][bool(values.get("worker_spot", values.get("profile") == "small"))]
    return checks.gpu_quota(
        code=code,
        value=account.quota(aws("service-quotas"), "ec2", code),
        vcpus=account.vcpus(aws("ec2"), types[0]),
        workers=int(values.get("max_workers") or checks.DEFAULT_MAX_WORKERS),
        region=region,
    )


def discord(values: Mapping[str, Any], **options: Any) -> Iterator[Finding]:
    """Look at the three values with Discord's own API; `options` as DiscordClient has them."""
    what = "Discord application"
    client = DiscordClient(
        str(values.get("discord_api_base") or DISCORD),
        application_id=0,
        bot_token=str(values["discord_bot_secret"]),
        user_agent=f"DiscordBot (https://discord.com, {__version__})",
        **options,
    )
    try:
        application = discord_application.application_of(client)
    except StepFailed as error:
        yield Finding(what=what, status=checks.MISSING, detail=error.problem, command=error.next_step)
        return
    finally:
        client.close()
    problem = discord_application.identity_problem(
        application,
        application_id=str(values.get("discord_application_id")),
        public_key=str(values.get("discord_public_key")),
    )
    if problem:
        yield Finding(what=what, status=checks.MISSING, detail=problem, command=discord_application.KEY_ADVICE)
    else:
        yield Finding(what=what, status=checks.OK, detail=f"{application.get('name')}, the bot token is valid")


def _try(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except (BotoCoreError, ClientError) as error:
        return _not_checked(what, error)


def _not_checked(what: str, error: Exception) -> Finding:
    command = "Allow your role the action that the message names, or look in the console (Service Quotas, EC2)"
    return Finding(what=what, status=checks.UNKNOWN, detail=_reason(error), command=command)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def read_folder() -> Path:
    """Return the folder of the root module."""
    return ROOT / "terraform"
