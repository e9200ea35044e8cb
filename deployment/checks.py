"""What must be there before `terraform apply`, and the command that provides what is missing. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .account import Subnet

OK, MISSING, UNKNOWN = "ok", "missing", "not checked"
TERRAFORM = (1, 11)
ZONES = 2
DEFAULT_TYPES = ("g6.xlarge", "g5.xlarge", "g4dn.xlarge")
DEFAULT_MAX_WORKERS = 4
DEFAULT_BUILD = "BUILD_GENERAL1_LARGE"
LAMBDA_QUOTA = "L-B99A9384"
# Lambda keeps this many executions unreserved; a new account has no more.
UNRESERVED = 10
# By the family of the instance type: the quotas of on-demand and of spot capacity, in vCPUs.
GPU_QUOTAS = {"g": ("L-DB2E81BA", "L-3819A6DF"), "p": ("L-417A185B", "L-7212CCBC")}
BUILD_QUOTAS = {
    "BUILD_GENERAL1_SMALL": "Concurrently running builds for Linux/Small environment",
    "BUILD_GENERAL1_MEDIUM": "Concurrently running builds for Linux/Medium environment",
    "BUILD_GENERAL1_LARGE": "Concurrently running builds for Linux/Large environment",
    "BUILD_GENERAL1_XLARGE": "Concurrently running builds for Linux/XLarge environment",
    "BUILD_GENERAL1_2XLARGE": "Concurrently running builds for Linux/2XLarge environment",
}
PORTAL = "https://discord.com/developers/applications"
# Input -> its form, and where the value is found. Secrets come from the environment.
REQUIRED = {
    "vpc_id": (r"vpc-[0-9a-f]{8,17}", "aws ec2 describe-vpcs --query 'Vpcs[].VpcId'"),
    "discord_application_id": (r"[0-9]{17,20}", f"{PORTAL} (General Information, Application ID)"),
    "discord_public_key": (r"[0-9a-fA-F]{64}", f"{PORTAL} (General Information, Public Key)"),
    "discord_bot_secret": (r"[A-Za-z0-9_.-]{50,120}", "export TF_VAR_discord_bot_secret=... (Bot, Reset Token)"),
    "django_secret_key": (r".{50,}", "export TF_VAR_django_secret_key=$(openssl rand -base64 48 | tr -d '\\n')"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `command` provides what is missing; it may be a place to click."""

    what: str
    status: str
    detail: str
    command: str = ""


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return the findings for people, each with its command below it."""
    shown = []
    for finding in findings:
        shown.append(f"{finding.status:11} {finding.what}: {finding.detail}")
        if finding.command:
            shown.append(f"{'':11} -> {finding.command}")
    return shown


def text(findings: Sequence[Finding]) -> str:
    """Return the findings and a last line that says whether to apply."""
    missing = sum(finding.status == MISSING for finding in findings)
    unknown = sum(finding.status == UNKNOWN for finding in findings)
    if missing:
        last = f"{missing} of {len(findings)} missing. Run the commands after ->, then ./dev doctor again."
    elif unknown:
        last = f"Nothing is known to be missing, but {unknown} could not be checked."
    else:
        last = "Everything is there: cd terraform && terraform init && terraform apply"
    return "\n".join([*lines(findings), last])


def terraform(version: str | None) -> Finding:
    what = "Terraform"
    command = "Install 1.11 or later: https://developer.hashicorp.com/terraform/install"
    if version is None:
        return Finding(what=what, status=MISSING, detail="not installed", command=command)
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < TERRAFORM:
        return Finding(what=what, status=MISSING, detail=f"version {version} is too old", command=command)
    return Finding(what=what, status=OK, detail=version)


def packages(there: Mapping[str, bool]) -> Finding:
    """`there`: by file, whether ./dev package has made it."""
    absent = [name for name, exists in there.items() if not exists]
    if absent:
        return Finding(what="Packages", status=MISSING, detail=f"no {', '.join(absent)}", command="./dev package")
    return Finding(what="Packages", status=OK, detail=", ".join(there))


def inputs(values: Mapping[str, Any]) -> list[Finding]:
    """Look at the form of what has no default. Never shows a value: some are secret."""
    found = []
    for name, (form, where) in REQUIRED.items():
        value = values.get(name)
        if value in (None, ""):
            found.append(Finding(what=name, status=MISSING, detail="not set", command=where))
        elif not re.fullmatch(form, str(value)):
            found.append(Finding(what=name, status=MISSING, detail="has the wrong form", command=where))
        else:
            found.append(Finding(what=name, status=OK, detail="set"))
    return found


def public_subnets(vpc_id: str, subnets: Sequence[Subnet]) -> Finding:
    what = "Public subnets"
    if not subnets:
        return Finding(
            what=what,
            status=MISSING,
            detail=f"{vpc_id} has no subnet in this region",
            command="aws ec2 describe-vpcs --query 'Vpcs[].VpcId' and write the right vpc_id",
        )
    zones = {subnet.zone for subnet in subnets if subnet.tier == "Public"}
    if len(zones) >= ZONES:
        return Finding(what=what, status=OK, detail=f"tagged Tier = Public in {', '.join(sorted(zones))}")
    # One for each zone that lacks a tagged one; public ones first.
    chosen: dict[str, str] = {}
    for subnet in sorted(subnets, key=lambda subnet: not subnet.public):
        if subnet.zone not in zones:
            chosen.setdefault(subnet.zone, subnet.id)
    if len(zones) + len(chosen) < ZONES:
        command = (
            f"aws ec2 create-subnet --vpc-id {vpc_id} --availability-zone ZONE --cidr-block BLOCK"
            " (its route table needs an internet gateway)"
        )
        return Finding(what=what, status=MISSING, detail=f"all subnets of {vpc_id} are in one zone", command=command)
    return Finding(
        what=what,
        status=MISSING,
        detail=f"{len(zones)} zones have a subnet tagged Tier = Public, and {ZONES} are needed",
        command=f"aws ec2 create-tags --resources {' '.join(chosen.values())} --tags Key=Tier,Value=Public",
    )


def gpu_zones(types: Sequence[str], offered: Mapping[str, set[str]], zones: set[str]) -> Finding:
    """`zones`: where the public subnets are. One type in one of them is enough to start."""
    what = "GPU type"
    usable = {name: sorted(offered.get(name, set()) & zones) for name in types}
    first = types[0]
    if usable[first]:
        return Finding(what=what, status=OK, detail=f"{first} in {', '.join(usable[first])}")
    others = [name for name in types[1:] if usable[name]]
    if others:
        command = f'worker_instance_types = ["{others[0]}"] in terraform.tfvars'
        return Finding(what=what, status=MISSING, detail=f"{first} is in none of your zones", command=command)
    elsewhere = sorted(set().union(*offered.values()))
    if elsewhere:
        command = (
            "aws ec2 create-tags --resources SUBNET --tags Key=Tier,Value=Public"
            f" (a public subnet in {', '.join(elsewhere)})"
        )
        return Finding(what=what, status=MISSING, detail="no zone of your subnets has one", command=command)
    return Finding(
        what=what,
        status=MISSING,
        detail=f"this region has none of {', '.join(types)}",
        command="aws ec2 describe-instance-type-offerings --filters Name=instance-type,Values='g*.xlarge'"
        " lists what it has; else choose another region",
    )


def gpu_quota(*, code: str, value: float, vcpus: int, workers: int, region: str) -> Finding:
    """`vcpus` of one worker; the quota counts vCPUs. A quota for one worker is enough to start."""
    wanted = vcpus * workers
    if value >= wanted:
        return Finding(what="GPU quota", status=OK, detail=f"{value:g} vCPUs, enough for {workers} workers")
    return Finding(
        what="GPU quota",
        status=OK if value >= vcpus else MISSING,
        detail=f"{value:g} vCPUs, enough for {value // vcpus:g} of {workers} workers",
        command=increase("ec2", code, wanted, region),
    )


def lambda_quota(*, value: float, reserved: int, region: str) -> Finding:
    """`reserved`: how many executions the configuration reserves; none by default."""
    wanted = UNRESERVED + reserved
    if value >= wanted:
        return Finding(what="Lambda quota", status=OK, detail=f"{value:g} concurrent executions")
    return Finding(
        what="Lambda quota",
        status=MISSING,
        detail=f"{value:g} concurrent executions, {wanted} are needed",
        command=increase("lambda", LAMBDA_QUOTA, wanted, region),
    )


def build_quota(compute_type: str, found: tuple[str, float] | None, region: str) -> Finding:
    """`found`: code and value of the quota for builds of this compute type."""
    what = "Build quota"
    if found is None:
        detail = f"Service Quotas does not list {compute_type}"
        return Finding(
            what=what,
            status=UNKNOWN,
            detail=detail,
            command="aws service-quotas list-service-quotas --service-code codebuild",
        )
    code, value = found
    if value >= 1:
        return Finding(what=what, status=OK, detail=f"{value:g} builds at a time")
    return Finding(
        what=what,
        status=MISSING,
        detail=f"AWS allows no build of {compute_type} in this account yet",
        command=increase("codebuild", code, 1, region),
    )


def increase(service: str, code: str, value: int, region: str) -> str:
    """Return the command that asks for a higher quota. AWS answers in minutes to days."""
    return (
        f"aws service-quotas request-service-quota-increase --service-code {service} --quota-code {code}"
        f" --desired-value {value} --region {region}"
    )
