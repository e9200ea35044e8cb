"""What a deployment needs to know about an AWS account before it exists. Each function raises ClientError."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A subnet, and its tag Tier ("" without one)."""

    id: str
    zone: str
    tier: str
    public: bool
    """Whether instances get a public address."""


def subnets(ec2: Any, vpc_id: str) -> list[Subnet]:
    """Return the subnets of the VPC, in the order of their zones."""
    found = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["Subnets"]
    listed = [
        Subnet(
            id=each["SubnetId"],
            zone=each["AvailabilityZone"],
            tier=next((tag["Value"] for tag in each.get("Tags", []) if tag["Key"] == "Tier"), ""),
            public=bool(each.get("MapPublicIpOnLaunch")),
        )
        for each in found
    ]
    return sorted(listed, key=lambda subnet: (subnet.zone, subnet.id))


def zones_by_type(ec2: Any, types: Sequence[str]) -> dict[str, set[str]]:
    """Return the zones of the region that offer each instance type."""
    zones: dict[str, set[str]] = {name: set() for name in types}
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": list(types)}]
    )
    for page in pages:
        for offering in page["InstanceTypeOfferings"]:
            zones[offering["InstanceType"]].add(offering["Location"])
    return zones


def vcpus(ec2: Any, instance_type: str) -> int:
    """Return how many vCPUs the type counts in a quota."""
    found = ec2.describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"][0]
    return int(found["VCpuInfo"]["DefaultVCpus"])


def quota(service_quotas: Any, service: str, code: str) -> float:
    """Return the account's value of a quota, AWS's default where the account has none of its own."""
    try:
        found = service_quotas.get_service_quota(ServiceCode=service, QuotaCode=code)
    except service_quotas.exceptions.NoSuchResourceException:
        found = service_quotas.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)
    return float(found["Quota"]["Value"])


def quota_named(service_quotas: Any, service: str, name: str) -> tuple[str, float] | None:
    """Return the code and the value of the quota with this name."""
    pages: Iterable[Any] = service_quotas.get_paginator("list_service_quotas").paginate(ServiceCode=service)
    for page in pages:
        for each in page["Quotas"]:
            if each["QuotaName"] == name:
                return each["QuotaCode"], float(each["Value"])
    return None
