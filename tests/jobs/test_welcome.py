"""A server that installs the bot is greeted once, with prompts that work as buttons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from devtools.simulator import client as discord
from devtools.simulator import injected_faults, seed_data
from devtools.simulator.models import SimChannel, SimGuild, SimMessage, SimUser
from discord_api.client import DiscordClient
from guilds.models import Guild
from jobs import upkeep
from jobs.models import Job
from tests.simulator.in_process_transport import SiteTransport

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(db: None) -> Iterator[DiscordClient]:
    seed_data.run()
    made = DiscordClient(
        "http://testserver/simulator/api/v10",
        application_id=settings.DISCORD_APPLICATION_ID,
        bot_token=settings.DISCORD_BOT_TOKEN,
        transport=SiteTransport(),
        attempts=1,
        sleep=lambda seconds: None,
    )
    yield made
    made.close()


@pytest.fixture
def install() -> Callable[..., Guild]:
    """Let one server be new, and all others be there for long."""

    def install(name: str, **fields: Any) -> Guild:
        now = timezone.now()
        Guild.objects.update(installed_at=now - timedelta(days=30))
        Guild.objects.filter(name=name).update(**({"installed_at": now} | fields))
        return Guild.objects.get(name=name)

    return install


def test_a_new_server_is_greeted_once_and_its_prompts_are_requests(
    client: DiscordClient, install: Callable[..., Guild]
) -> None:
    guild = install("Pixel Garden", language="de")
    now = timezone.now()
    assert upkeep.welcome_guilds(now=now, client=client) == 1
    assert upkeep.welcome_guilds(now=now, client=client) == 0
    greeting = SimMessage.objects.get()
    first = SimGuild.objects.get(pk=guild.pk).channels.order_by("position", "pk").first()
    assert greeting.channel == first
    assert "`/sparkle`" in greeting.content
    labels = [row["components"][0]["label"] for row in greeting.components]
    yuki = SimUser.objects.get(username="yuki")
    custom_id = greeting.components[1]["components"][0]["custom_id"]
    assert discord.press(message=greeting, user=yuki, custom_id=custom_id).problem == ""
    job = Job.objects.get()
    assert (job.prompt, job.user_id, job.pressed_message_id) == (labels[1], yuki.pk, greeting.pk)


def test_a_server_without_a_channel_for_it_is_left_alone(client: DiscordClient, install: Callable[..., Guild]) -> None:
    guild = install("Pixel Garden")
    SimChannel.objects.filter(guild_id=guild.pk).update(guild=None)
    assert upkeep.welcome_guilds(now=timezone.now(), client=client) == 1
    assert not SimMessage.objects.exists()


def test_an_outage_is_tried_again_and_a_refusal_is_not(client: DiscordClient, install: Callable[..., Guild]) -> None:
    install("Pixel Garden")
    now = timezone.now()
    injected_faults.plan(injected_faults.Kind.SERVER_ERROR, path="/channels/", times=1)
    upkeep.welcome_guilds(now=now, client=client)
    assert not SimMessage.objects.exists()
    SimChannel.objects.update(bot_permissions=0)
    assert upkeep.welcome_guilds(now=now, client=client) == 1
    assert upkeep.welcome_guilds(now=now, client=client) == 0
    assert not SimMessage.objects.exists()


def test_servers_from_before_are_not_greeted(client: DiscordClient, install: Callable[..., Guild]) -> None:
    install("Pixel Garden", installed_at=timezone.now() - timedelta(days=2))
    assert upkeep.welcome_guilds(now=timezone.now(), client=client) == 0
    assert not SimMessage.objects.exists()
