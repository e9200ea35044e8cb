"""What Terraform tells a deployment: its output `deployment`, as JSON, also in the environment of the build."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

VARIABLE = "SPARKLE_DEPLOYMENT"


class NotConfigured(Exception):
    """The configuration is absent or incomplete; the message is one line for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment's names and addresses, without any secret."""

    name: str
    region: str
    release: str
    """A digest of the source and of what is built into it: the tag of what this version builds."""
    tags: Mapping[str, str]
    """The tags that run, by image: the release, or one that the operator chose."""
    bucket: str
    project: str
    cluster: str
    repositories: Mapping[str, str]
    """URLs of the repositories, by image: "web" and "worker"."""
    model_id: str
    models: tuple[str, ...]
    output_check: bool
    prepare_task: str
    prepare_subnets: tuple[str, ...]
    prepare_security_groups: tuple[str, ...]
    discord_application_id: str
    discord_public_key: str
    discord_api_base: str
    interactions_url: str
    events_url: str
    site_url: str


def read(content: str) -> Deployment:
    """Return the deployment that the JSON object describes. Raises NotConfigured."""
    try:
        values = json.loads(content)
    except ValueError:
        raise NotConfigured(f"{VARIABLE} is not JSON. Take the value of: terraform output -json deployment") from None
    names = [field.name for field in fields(Deployment)]
    missing = [name for name in names if not isinstance(values, dict) or name not in values]
    if missing:
        raise NotConfigured(
            f"The deployment's description lacks {', '.join(missing)}. Run terraform apply with this version first."
        )
    return Deployment(**{name: _frozen(values[name]) for name in names})


def from_environment(environment: Mapping[str, str]) -> Deployment:
    """Raises NotConfigured."""
    if VARIABLE not in environment:
        raise NotConfigured(f"{VARIABLE} is not set. Take the value of: terraform output -json deployment")
    return read(environment[VARIABLE])


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
