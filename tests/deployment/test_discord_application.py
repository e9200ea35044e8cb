"""A deployment connects its Discord application: the endpoints are checked over HTTP, as Discord does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from pytest_httpserver import HTTPServer

from deployment import discord_application
from deployment.step_runner import StepFailed
from deployment.terraform_output import Deployment
from devtools import api_gateway
from devtools.simulator import command_registry
from devtools.simulator.models import SimApplication
from discord_api.client import DiscordClient
from guilds.command_definitions import all_commands

Make = Callable[..., Deployment]
Connect = Callable[..., DiscordClient]


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def deployed(make_deployment: Make) -> Iterator[Deployment]:
    """A deployment whose API serves the real handler."""
    with make_server("127.0.0.1", 0, api_gateway.application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        api = f"http://127.0.0.1:{server.server_port}"
        yield make_deployment(interactions_url=f"{api}/interactions", events_url=f"{api}/events")
        server.shutdown()
        thread.join()


def test_a_new_application_is_connected_and_a_second_time_nothing_changes(
    deployed: Deployment, connect_client: Connect
) -> None:
    client = connect_client(deployed)
    first = discord_application.connect(deployed, client)
    assert first[0] == f"The interactions endpoint was set to {deployed.interactions_url}."
    assert first[1] == f"The event webhook was set to {deployed.events_url}."
    assert "sparkle (new)" in first[2]
    saved = SimApplication.objects.get()
    assert saved.interactions_endpoint_url == deployed.interactions_url
    assert (saved.event_webhooks_status, saved.event_webhooks_types) == (2, ["APPLICATION_AUTHORIZED"])
    assert "sparkle" in {command["name"] for command in command_registry.registered(None)}

    assert discord_application.connect(deployed, client) == [
        f"The interactions endpoint is {deployed.interactions_url}.",
        f"The event webhook is {deployed.events_url}.",
        f"All {len(all_commands())} commands are registered.",
    ]


def test_an_endpoint_that_another_deployment_had_is_named(deployed: Deployment, connect_client: Connect) -> None:
    client = connect_client(deployed)
    discord_application.connect(deployed, client)
    SimApplication.objects.update(interactions_endpoint_url="https://old.example.org/interactions")
    assert discord_application.connect(deployed, client)[0].endswith("it was https://old.example.org/interactions.")


def test_an_endpoint_that_does_not_verify_is_tried_again_and_then_explained(
    make_deployment: Make, connect_client: Connect, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/interactions").respond_with_json({"type": 1})
    deployment = make_deployment(interactions_url=httpserver.url_for("/interactions"))
    waited: list[float] = []
    with pytest.raises(StepFailed) as failed:
        discord_application.connect(deployment, connect_client(deployment), sleep=waited.append)
    assert waited == list(discord_application.WAITS_S)
    assert "could not verify the interactions endpoint" in failed.value.problem
    assert "aws logs tail /aws/lambda/sparkle-test-interactions" in failed.value.next_step


@pytest.mark.parametrize(
    ("changes", "problem", "advice"),
    [
        ({"discord_application_id": "2000000000000000002"}, "belongs to application 1000000000000000001", "terraform"),
        ({"discord_public_key": "ab" * 32}, "discord_public_key is not the public key", "General Information"),
    ],
)
def test_wrong_values_are_named_before_anything_is_changed(
    make_deployment: Make, connect_client: Connect, changes: dict[str, str], problem: str, advice: str
) -> None:
    deployment = make_deployment(**changes)
    with pytest.raises(StepFailed) as failed:
        discord_application.connect(deployment, connect_client(deployment))
    assert problem in failed.value.problem
    assert advice in failed.value.next_step
    assert command_registry.registered(None) == []


def test_a_dead_token_says_where_a_new_one_is(make_deployment: Make, connect_client: Connect) -> None:
    deployment = make_deployment()
    with pytest.raises(StepFailed) as failed:
        discord_application.connect(deployment, connect_client(deployment, bot_token="dead-secret-token"))
    assert "refuses the bot token" in failed.value.problem
    assert "Reset Token" in failed.value.next_step
    assert "dead-secret-token" not in failed.value.problem + failed.value.next_step
