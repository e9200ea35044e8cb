"""A deployment's description, and the simulator as its Discord."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from deployment import discord_application, terraform_output
from deployment.terraform_output import Deployment
from devtools.simulator import seed_data
from discord_api.client import DiscordClient

from ..simulator.in_process_transport import SiteTransport

VALUES: dict[str, Any] = {
    "name": "sparkle-test",
    "region": "us-east-1",
    "release": "0123456789ab",
    "tags": {"web": "0123456789ab", "worker": "0123456789ab"},
    "bucket": "sparkle-test-deployment",
    "project": "sparkle-test-deployment",
    "cluster": "sparkle-test",
    "repositories": {
        "web": "123456789012.dkr.ecr.us-east-1.amazonaws.com/sparkle-test/web",
        "worker": "123456789012.dkr.ecr.us-east-1.amazonaws.com/sparkle-test/worker",
    },
    "model_id": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "models": ["owner/one", "owner/two"],
    "output_check": False,
    "prepare_task": "sparkle-test-prepare",
    "prepare_subnets": ["subnet-1", "subnet-2"],
    "prepare_security_groups": ["sg-1"],
    "discord_application_id": "1000000000000000001",
    "discord_public_key": "00" * 32,
    "discord_api_base": "http://testserver/simulator/api/v10",
    "interactions_url": "https://api.example.org/interactions",
    "events_url": "https://api.example.org/events",
    "site_url": "https://api.example.org",
}


@pytest.fixture
def make_deployment(settings: Any) -> Callable[..., Deployment]:
    """Describe a deployment whose Discord application is the simulator's."""

    def make(**changes: Any) -> Deployment:
        return terraform_output.read(json.dumps(VALUES | {"discord_public_key": settings.DISCORD_PUBLIC_KEY} | changes))

    return make


@pytest.fixture
def connect_client(db: None, settings: Any) -> Iterator[Callable[..., DiscordClient]]:
    """Make the deployment's client; it reaches the simulator in this process."""
    seed_data.make_servers(now=timezone.now())
    made: list[DiscordClient] = []

    def make(deployment: Deployment, *, bot_token: str = settings.DISCORD_BOT_TOKEN) -> DiscordClient:
        made.append(
            discord_application.client(deployment, bot_token=bot_token, transport=SiteTransport(), sleep=lambda _: None)
        )
        return made[-1]

    yield make
    for client in made:
        client.close()
