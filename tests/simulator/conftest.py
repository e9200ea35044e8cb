"""A seeded simulator, and the application's own client pointed at it without a network."""

from collections.abc import Callable, Iterator

import pytest
from django.utils import timezone

from devtools.simulator import seed_data
from devtools.simulator.models import SimChannel, SimUser

from .full_client import FullClient
from .in_process_transport import SiteTransport


@pytest.fixture
def world(db: None) -> None:
    """Three servers with their channels and members."""
    seed_data.make_servers(now=timezone.now())


@pytest.fixture
def channel(world: None) -> SimChannel:
    """The channel of the first server where everything is allowed."""
    return SimChannel.objects.get(name="sparkle")


@pytest.fixture
def ada(world: None) -> SimUser:
    """A member of the first server, its owner."""
    return SimUser.objects.get(username="ada")


@pytest.fixture
def yuki(world: None) -> SimUser:
    """A member of the first server without rights."""
    return SimUser.objects.get(username="yuki")


@pytest.fixture
def transport() -> SiteTransport:
    """The site itself, in this process."""
    return SiteTransport()


@pytest.fixture
def naps() -> list[float]:
    """The seconds that the client meant to sleep."""
    return []


@pytest.fixture
def make_client(
    world: None, transport: SiteTransport, naps: list[float], settings: object
) -> Iterator[Callable[..., FullClient]]:
    """Make the application's client; it notes its sleeps in place of sleeping."""
    made: list[FullClient] = []

    def make(**options: object) -> FullClient:
        defaults: dict[str, object] = {
            "application_id": settings.DISCORD_APPLICATION_ID,
            "bot_token": settings.DISCORD_BOT_TOKEN,
            "transport": transport,
            "sleep": naps.append,
        }
        made.append(FullClient("http://testserver/simulator/api/v10", **(defaults | options)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client_of_bot(make_client: Callable[..., FullClient]) -> FullClient:
    """The application's client with its own token."""
    return make_client()
