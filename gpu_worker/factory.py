"""Puts a worker together from Django's settings: the one place that knows every part."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from discord_api.client import DiscordClient
from guilds import discord_client

from . import content_credentials, nsfw_check
from .engine import Engine
from .engine_cache import EngineCache
from .heartbeat import HeartbeatThread
from .progress import ProgressReporter
from .publisher import Publisher
from .runner import Runner
from .scale_in_protection import ScaleInProtection
from .task_pool import TaskPool
from .watchdog import Bounds

log = logging.getLogger(__name__)
TASK_THREADS = 4
MODELS_AT_ONCE = 3


def worker_id() -> str:
    """Return a name that no other worker has, nor this one after a restart."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def engine_loader() -> tuple[Callable[[str], Engine], Callable[[], int | None]]:
    """Return how to load a model's engine, and how to ask for the card's free bytes (None: not rationed).

    SPARKLE_ENGINE is diffusers, noise, or the dotted path of a function that returns the same two.
    """
    if settings.SPARKLE_ENGINE == "noise":
        from .noise_engine import NoiseEngine

        step_s = float(os.environ.get("SPARKLE_NOISE_STEP_S", "0.01"))
        return (lambda source: NoiseEngine(source, step_s=step_s)), (lambda: None)
    if settings.SPARKLE_ENGINE == "diffusers":
        from . import diffusers_engine

        compiled = os.environ.get("SPARKLE_COMPILE", "0") == "1"
        return (
            lambda profile: diffusers_engine.load(
                profile.partition("#")[0], compiled=compiled, step_cache=profile.partition("#")[2]
            ),
            lambda: diffusers_engine.free_bytes() or None,
        )
    if "." in settings.SPARKLE_ENGINE:
        loader: Callable[[], tuple[Callable[[str], Engine], Callable[[], int | None]]]
        loader = import_string(settings.SPARKLE_ENGINE)
        return loader()
    raise ImproperlyConfigured(f"SPARKLE_ENGINE is {settings.SPARKLE_ENGINE!r}: write diffusers or noise.")


def bounds() -> Bounds:
    """Return how long this worker's work may go without moving."""
    return Bounds(
        loading_s=settings.SPARKLE_LOADING_BOUND_SECONDS,
        step_s=settings.SPARKLE_STEP_BOUND_SECONDS,
        decoding_s=settings.SPARKLE_DECODING_BOUND_SECONDS,
        publishing_s=settings.SPARKLE_PUBLISHING_BOUND_SECONDS,
    )


def build_worker(
    *,
    resend_on_release: bool,
    engines: EngineCache | None = None,
    client: DiscordClient | None = None,
    startup: Callable[[], dict[str, float]] = dict,
    on_beat: Callable[[], None] = lambda: None,
) -> Runner:
    """Return a runner, not yet started. `resend_on_release` as in Runner; `startup` returns the seconds by stage.

    `on_beat` is called at each heartbeat.
    """
    name = worker_id()
    if engines is None:
        load, free = engine_loader()
        engines = EngineCache(load, free=free, most=MODELS_AT_ONCE)
    loaded = engines
    client = client or discord_client.from_settings(timeout_s=20)

    def facts() -> dict[str, Any]:
        device = next((engine.device for engine in loaded), "")
        return {"model_id": settings.MODEL_ID[:300], "device": device[:100], "startup": startup()}

    shutting_down = threading.Event()
    return Runner(
        worker_id=name,
        engines=loaded,
        publisher=Publisher(
            client=client,
            checker=nsfw_check.installed(),
            signer=content_credentials.configured(),
            pause=shutting_down.wait,
        ),
        reporter=ProgressReporter(client=client, worker_id=name),
        heartbeat=HeartbeatThread(worker_id=name, protection=ScaleInProtection(), facts=facts, on_beat=on_beat),
        task_pool=TaskPool(threads=TASK_THREADS),
        shutting_down=shutting_down,
        resend_on_release=resend_on_release,
        bounds=bounds(),
    )
