"""All of Sparkle on one machine, with a browser on the simulator's page. The worker's images are noise."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright

from gpu_worker.noise_engine import NoiseEngine
from jobs.dispatch.memory import MemoryDispatcher
from tests import required_programs
from tests.worker.conftest import running

# Long enough for a busy machine.
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Headless Chromium. It ends with the module, since its event loop keeps Django's ORM out of this thread."""
    required_programs.require("browser")
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        with sync_playwright() as playwright:
            launched = playwright.chromium.launch(executable_path=required_programs.browser(), args=["--no-sandbox"])
            yield launched
            launched.close()
            # Inside the event loop this thread has a connection of its own, which nobody else would close.
            connections.close_all()
    finally:
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        else:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@pytest.fixture
def site(live_server: Any, django_db_serialized_rollback: None, settings: Any, tmp_path: Any) -> str:
    """The site over HTTP, with the simulator's servers and the registered commands; returns its address."""
    from devtools.simulator import seed_data

    settings.SITE_URL = live_server.url
    settings.DISCORD_API_BASE = f"{live_server.url}/simulator/api/v10"
    settings.DISCORD_OAUTH_BASE = f"{live_server.url}/simulator/oauth2"
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "media"), "base_url": "/media/"},
        }
    }
    seed_data.run()
    return str(live_server.url)


@pytest.fixture
def worker(site: str) -> Iterator[None]:
    """A worker that completes jobs at once."""
    with _working(step_s=0.01):
        yield


@pytest.fixture
def slow_worker(site: str) -> Iterator[None]:
    """A worker slow enough to show its progress."""
    with _working(step_s=0.25):
        yield


@contextmanager
def _working(*, step_s: float) -> Iterator[None]:
    """Run a worker of real parts but for the engine; it answers the messages that are kept in memory."""
    over = threading.Event()
    with running(lambda source: NoiseEngine(source, step_s=step_s), resend_on_release=True) as runner:

        def answer() -> None:
            while not over.wait(0.05):
                while MemoryDispatcher.sent and runner.free_slots:
                    runner.submit(MemoryDispatcher.sent.popleft().job_id)
            connections.close_all()

        answering = threading.Thread(target=answer, name="messages_sent")
        answering.start()
        try:
            yield
        finally:
            over.set()
            answering.join()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(chromium: Browser, site: str) -> Iterator[OpenPage]:
    """Open the simulator's page as a member; at the end no page may have met an error or asked anything outside."""
    contexts = []
    complaints: list[str] = []

    def open_as(member: str = "Ada", *, channel: str = "sparkle", phone: bool = False, dark: bool = False) -> Page:
        from devtools.simulator.models import SimChannel, SimUser

        context = chromium.new_context(
            viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 800},
            color_scheme="dark" if dark else "light",
            has_touch=phone,
            locale="en-US",
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: asked.url.startswith((site, "blob:")) or complaints.append(asked.url))
        place = SimChannel.objects.get(name=channel)
        user = SimUser.objects.get(global_name=member)
        page.goto(f"{site}/simulator/?server={place.guild_id}&channel={place.pk}&as={user.pk}")
        page.get_by_role("heading", name=channel, exact=True).wait_for()
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert complaints == []
