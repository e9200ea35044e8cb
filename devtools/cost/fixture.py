"""The plans that this repository keeps: a plan in Terraform's JSON, reduced to what the bill reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

# By type, the values that lines.py reads. A type without an entry keeps none.
KEPT = {
    "aws_autoscaling_group": ("warm_pool", "mixed_instances_policy"),
    "aws_cloudwatch_metric_alarm": ("period",),
    "aws_apigatewayv2_stage": ("default_route_settings",),
    "aws_db_instance": (
        "allocated_storage", "instance_class", "manage_master_user_password", "multi_az", "storage_type",
    ),
    "aws_ecr_lifecycle_policy": ("policy",),
    "aws_ecs_cluster": ("setting",),
    "aws_ecs_service": ("desired_count", "launch_type", "network_configuration"),
    "aws_ecs_task_definition": ("cpu", "memory", "runtime_platform"),
    "aws_lambda_function": ("architectures", "memory_size", "snap_start"),
    "aws_launch_template": ("block_device_mappings", "instance_type"),
    "aws_sfn_state_machine": ("type",),
    "aws_vpc_endpoint": ("subnet_ids", "vpc_endpoint_type"),
}  # fmt: skip


def reduce(plan: Mapping[str, Any], *, region: str) -> str:
    """Return the plan with the values that the bill reads, as JSON that differs only where the bill may differ."""
    resources = [
        {
            "address": each["address"],
            "mode": "managed",
            "type": each["type"],
            "name": each["name"],
            "change": {"after": _kept(each["type"], each["change"]["after"])},
        }
        for each in plan["resource_changes"]
        if each["mode"] == "managed" and each["change"]["after"] is not None
    ]
    document = {
        "format_version": plan.get("format_version") or plan["plan_format_version"],
        "resource_changes": sorted(resources, key=lambda each: str(each["address"])),
        "prior_state": {"values": {"root_module": {"resources": [{"type": "aws_region", "values": {"name": region}}]}}},
    }
    return json.dumps(document, indent=1) + "\n"


def planned(output: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the name and the plan of each run in the output of `terraform test -json -verbose`."""
    for line in output.splitlines():
        if '"test_plan"' in line:
            message = json.loads(line)
            if message.get("type") == "test_plan":
                yield message["@testrun"], message["test_plan"]


def _kept(kind: str, after: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _without_nulls(after[name]) for name in KEPT.get(kind, ()) if after.get(name) not in (None, [])}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(each) for name, each in value.items() if each not in (None, [], {})}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
