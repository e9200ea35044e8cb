"""The resources of a Terraform plan, from the output of `terraform show -json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .prices import CostError

FORMAT = "1"
HOW_TO = "terraform plan -out plan.bin && terraform show -json plan.bin > plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource as it is after the plan. `name` is the last part of its address, without an index."""

    address: str
    type: str
    name: str
    values: Mapping[str, Any]

    def get(self, path: str) -> Any:
        """Return the value at a dotted path, of lists their first element. Raises CostError without one."""
        value: Any = self.values
        for part in path.split("."):
            value = value[0] if isinstance(value, list) and value else value
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None or value == []:
            raise CostError(f"The plan does not say {path} of {self.address}, so its cost is unknown.")
        return value

    def has(self, path: str) -> bool:
        try:
            return bool(self.get(path))
        except CostError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    region: str
    resources: tuple[Resource, ...]

    def of_type(self, kind: str) -> list[Resource]:
        return [each for each in self.resources if each.type == kind]


def read(file: Path, *, region: str | None = None) -> Plan:
    """Return the plan in a JSON file. Raises CostError for anything else, each time with what to do."""
    try:
        document = json.loads(file.read_text())
    except OSError as error:
        raise CostError(f"{file}: {error.strerror}.") from error
    except ValueError as error:
        raise CostError(f"{file} is not JSON. Write it with: {HOW_TO}") from error
    return parse(document, region=region)


def parse(document: Any, *, region: str | None = None) -> Plan:
    """Return the plan in Terraform's JSON. `region` replaces the one that the plan names. Raises CostError."""
    if not isinstance(document, dict) or "format_version" not in document:
        raise CostError(f"This is not the JSON of a Terraform plan. Write it with: {HOW_TO}")
    version = str(document["format_version"])
    if version.split(".", maxsplit=1)[0] != FORMAT:
        raise CostError(f"The plan has format version {version}, and only {FORMAT}.x is known: use another Terraform.")
    if "resource_changes" not in document:
        raise CostError(f"This is the JSON of a state, not of a plan. Write it with: {HOW_TO}")
    try:
        resources = tuple(
            Resource(address=each["address"], type=each["type"], name=each["name"], values=each["change"]["after"])
            for each in document["resource_changes"]
            if each.get("mode") == "managed" and each["change"].get("after") is not None
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise CostError(f"The plan's resources are not as Terraform writes them. Write it with: {HOW_TO}") from error
    if not resources:
        raise CostError("The plan has no resources.")
    found = region or _region(document)
    if not found:
        raise CostError("The plan names no region: add --region, such as --region us-east-1.")
    return Plan(region=found, resources=resources)


def _region(document: Mapping[str, Any]) -> str | None:
    root = document.get("prior_state", {}).get("values", {}).get("root_module", {})
    for each in _all_resources(root):
        if each.get("type") == "aws_region":
            # The provider calls it `region` from version 6 on.
            return each["values"].get("region") or each["values"].get("name")
    return None


def _all_resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _all_resources(child)
