"""A worker with real PostgreSQL, real files, and the Discord simulator over HTTP."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import fields as fields_of
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gpu_worker.engine import Engine
from gpu_worker.engine_cache import EngineCache
from gpu_worker.heartbeat import HeartbeatThread
from gpu_worker.job_runner import Runner
from gpu_worker.noise_engine import NoiseEngine
from gpu_worker.progress import ProgressReporter
from gpu_worker.publisher import Publisher
from gpu_worker.scale_in_protection import ScaleInProtection
from gpu_worker.task_pool import TaskPool
from gpu_worker.watchdog import Bounds
from guilds.generation_params import RequestedParams

GUILD, CHANNEL, BOT_OWNER = 1_300_000_000_000_000_001, 1_300_000_000_000_000_002, 1_300_000_000_000_000_003
_snowflakes = itertools.count(1_310_000_000_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A channel of the simulator with one member in it."""

    guild: Any
    channel: Any
    user: Any

    def ask(self, *, token_age_s: float = 10.0, **fields: Any) -> Any:
        """Submit a request as a member does. The simulator has the interaction and shows "Submitted"."""
        from devtools.simulator import snowflake_generator, store
        from devtools.simulator.models import SimInteraction, SimMessage
        from jobs.models import Job
        from jobs.submission import Accepted, JobRequest, submit

        asked_at = datetime.now(UTC) - timedelta(seconds=token_age_s)
        interaction = SimInteraction.objects.create(
            pk=next(_snowflakes),
            token=secrets.token_urlsafe(60),
            type=2,
            name="sparkle",
            application_id=_application_id(),
            channel=self.channel,
            user=self.user,
            created_at=asked_at,
            acked_at=asked_at,
            callback_type=4,
        )
        original = SimMessage.objects.create(
            pk=snowflake_generator.make(asked_at) + interaction.pk % 1000,
            channel=self.channel,
            author=store.bot(),
            interaction=interaction,
            content="Submitted to Sparkle",
        )
        SimInteraction.objects.filter(pk=interaction.pk).update(original=original)
        defaults: dict[str, Any] = {
            "prompt": "a red circle",
            "steps": 4,
            "width": 512,
            "height": 512,
            "seed": 7,
        }
        chosen = defaults | fields
        user_id = chosen.pop("user_id", self.user.pk)
        names = {field.name for field in fields_of(RequestedParams)}
        params = RequestedParams(**{name: chosen.pop(name) for name in names & set(chosen)})
        accepted = submit(
            JobRequest(
                interaction_id=interaction.pk,
                application_id=_application_id(),
                token=interaction.token,
                guild_id=self.guild.pk,
                channel_id=self.channel.pk,
                user_id=user_id,
                params=params,
                **chosen,
            ),
            now=asked_at,
        )
        assert isinstance(accepted, Accepted), accepted
        return Job.objects.get(pk=accepted.job.pk)

    def original(self, job: Any) -> Any:
        """Return the reply to the job's command."""
        from devtools.simulator.models import SimMessage

        return SimMessage.objects.get(interaction_id=job.interaction_id)

    def others(self) -> list[Any]:
        """Return the simulator's messages that are no reply to a command: posts and direct messages."""
        from devtools.simulator.models import SimMessage

        return list(SimMessage.objects.filter(interaction=None))


def _application_id() -> int:
    from django.conf import settings

    return int(settings.DISCORD_APPLICATION_ID)


@pytest.fixture
def place(transactional_db: None, live_server: Any, settings: Any, tmp_path: Any) -> Place:
    from devtools.simulator.models import SimChannel, SimGuild, SimUser
    from guilds.models import Guild

    settings.SITE_URL = live_server.url
    settings.DISCORD_API_BASE = f"{live_server.url}/simulator/api/v10"
    settings.SPARKLE_LEASE_SECONDS = 10
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "media"), "base_url": "/media/"},
        }
    }
    user = SimUser.objects.create(pk=next(_snowflakes), username="ada", global_name="Ada")
    sim_guild = SimGuild.objects.create(pk=GUILD, name="Pixel Garden", owner=user)
    channel = SimChannel.objects.create(pk=CHANNEL, guild=sim_guild, name="sparkle")
    # Upkeep greets a server that has just installed the bot, and these tests count messages.
    installed_at = datetime.now(UTC) - timedelta(days=30)
    guild = Guild.objects.create(pk=GUILD, name="Pixel Garden", installed_at=installed_at)
    return Place(guild=guild, channel=channel, user=user)


RunnerMaker = Callable[..., Any]


@contextmanager
def running(
    load: Callable[[str], Engine] = lambda source: NoiseEngine(source, step_s=0.005),
    *,
    name: str = "worker-1",
    resend_on_release: bool = False,
    interval_s: float = 0.4,
    bounds: Bounds | None = None,
    **publisher: Any,
) -> Iterator[Runner]:
    """Yield a started worker with short intervals. It is stopped at the end, with all its threads."""
    from guilds import discord_client

    client = discord_client.from_settings(timeout_s=5)
    shutting_down = threading.Event()
    runner = Runner(
        worker_id=name,
        engines=EngineCache(load, free_bytes=lambda: None, max_engines=2),
        publisher=Publisher(client=client, pause=shutting_down.wait, **publisher),
        reporter=ProgressReporter(client=client, worker_id=name, interval_s=interval_s),
        heartbeat=HeartbeatThread(worker_id=name, protection=ScaleInProtection(agent_uri=""), beat_s=0.1),
        task_pool=TaskPool(threads=3),
        shutting_down=shutting_down,
        resend_on_release=resend_on_release,
        bounds=bounds,
    )
    runner.start()
    try:
        yield runner
    finally:
        runner.stop(within_s=30)
        client.close()
