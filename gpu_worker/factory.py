"""Builds a worker from Django's settings. No other module knows all of its parts."""

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

from . import content_credentials, lazy_packages, nsfw_check
from .ecs_rollout import Deployment
from .engine import Engine
from .engine_cache import EngineCache
from .heartbeat import HeartbeatThread
from .job_runner import Runner
from .progress import ProgressReporter
from .publisher import Publisher
from .scale_in_protection import ScaleInProtection
from .task_pool import TaskPool
from .watchdog import Bounds

log = logging.getLogger(__name__)
TASK_THREADS = 4
MAX_ENGINES = 3


def make_worker_id() -> str:
    """Return an id that no other worker has, and that this one does not have after a restart."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def make_engine_loader() -> tuple[Callable[[str], Engine], Callable[[], int | None]]:
    """Return a function that loads a model's engine, and one that returns the GPU's free bytes (None: not limited).

    SPARKLE_ENGINE is diffusers, noise, or the dotted path of a function that returns the same two functions.
    """
    if settings.SPARKLE_ENGINE == "noise":
        from .noise_engine import NoiseEngine

        step_s = float(os.environ.get("SPARKLE_NOISE_STEP_S", "0.01"))
        return (lambda source: NoiseEngine(source, step_s=step_s)), (lambda: None)
    if settings.SPARKLE_ENGINE == "diffusers":
        lazy_packages.defer(lazy_packages.UNUSED)
        from . import diffusers_engine

        compiled = os.environ.get("SPARKLE_COMPILE", "0") == "1"

        def load(profile: str) -> Engine:
            source, _, options = profile.partition("#")
            return diffusers_engine.load(source, compiled=compiled, options=frozenset(options.split(",")))

        return load, (lambda: diffusers_engine.free_bytes() or None)
    if "." in settings.SPARKLE_ENGINE:
        loader: Callable[[], tuple[Callable[[str], Engine], Callable[[], int | None]]]
        loader = import_string(settings.SPARKLE_ENGINE)
        return loader()
    raise ImproperlyConfigured(f"SPARKLE_ENGINE is {settings.SPARKLE_ENGINE!r}: write diffusers or noise.")


def read_bounds() -> Bounds:
    """Return how long this worker's work may make no progress."""
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
    """Return a runner that is not started yet.

    `resend_on_release` as in Runner; `startup` returns the seconds of each stage of the start; `on_beat` is called at
    each heartbeat.
    """
    name = make_worker_id()
    if engines is None:
        load, free_bytes = make_engine_loader()
        engines = EngineCache(load, free_bytes=free_bytes, max_engines=MAX_ENGINES)
    loaded = engines
    client = client or discord_client.from_settings(timeout_s=20)

    def worker_fields() -> dict[str, Any]:
        device = next((engine.device for engine in loaded), "")
        return {"model_id": settings.MODEL_ID[:300], "device": device[:100], "startup": startup()}

    shutting_down = threading.Event()
    return Runner(
        worker_id=name,
        engines=loaded,
        publisher=Publisher(
            client=client,
            checker=nsfw_check.find_checker(),
            signer=content_credentials.signer_from_environment(),
            pause=shutting_down.wait,
        ),
        reporter=ProgressReporter(client=client, worker_id=name),
        heartbeat=HeartbeatThread(
            worker_id=name,
            protection=ScaleInProtection(),
            deployment=Deployment(),
            worker_fields=worker_fields,
            on_beat=on_beat,
        ),
        task_pool=TaskPool(threads=TASK_THREADS),
        shutting_down=shutting_down,
        resend_on_release=resend_on_release,
        bounds=read_bounds(),
    )
