"""axe finds nothing on any page, in light and dark."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.discord import node_tools

from .conftest import PATIENCE_MS, OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MAX_FIRST_PAGE_BYTES = 600_000
# What does not change with the theme is checked in light alone.
# Another page on the list has all of what these have; one is a server error on purpose.
LEFT_OUT = {"requests", "requests-none", "request-failed", "dashboard-empty", "dashboard-of-a-moderator", "broken"}
LIGHT = "axe.run(document, {resultTypes: ['violations'], preload: false})"
DARK = "axe.run(document, {resultTypes: ['violations'], runOnly: ['color-contrast'], preload: false})"
DARK_CLASS = "dark => document.documentElement.classList.toggle('dark', dark)"


def violations(page: Page) -> list[str]:
    """Return what axe finds on the page in light and dark, a line for each element."""
    page.evaluate(node_tools.axe())
    found = []
    for look, run in (("light", LIGHT), ("dark", DARK)):
        page.emulate_media(color_scheme=look, reduced_motion="reduce")  # type: ignore[arg-type]
        # The admin follows a class of its own, which it sets when a page loads.
        page.evaluate(DARK_CLASS, look == "dark")
        page.evaluate("Promise.all(document.getAnimations().map(animation => animation.finished.catch(() => 0)))")
        for violation in page.evaluate(run)["violations"]:
            found += [f"{look}: {violation['id']} at {node['html'][:200]}" for node in violation["nodes"]]
    return found


@pytest.fixture
def contexts(chromium: Browser, live_server: Any, settings: Any, tmp_path: Any) -> Iterator[dict[str, BrowserContext]]:
    """The example data over HTTP, and a browser context for each kind of person."""
    from devtools import screenshots
    from devtools.demo import example_data

    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path), "base_url": "/media/"},
        }
    }
    example_data.add_example_data(days=8)
    people = {"visitor": None} | screenshots.sessions_by_person()
    made = {}
    for name, session in people.items():
        made[name] = chromium.new_context(viewport={"width": 1360, "height": 860}, locale="en-GB")
        made[name].set_default_timeout(PATIENCE_MS)
        if session:
            made[name].add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    yield made
    for context in made.values():
        context.close()


def test_axe_finds_nothing_on_any_page(contexts: dict[str, BrowserContext], live_server: Any) -> None:
    from devtools import screenshots

    found: list[str] = []
    for wanted in screenshots.pages():
        if wanted.name in LEFT_OUT:
            continue
        page = contexts[wanted.who].new_page()
        page.goto(live_server.url + wanted.address)
        if wanted.click:
            page.locator(wanted.click).first.click()
        found += [f"{wanted.name}: {line}" for line in violations(page)]
        page.close()
    assert not found, "\n".join(found)


def test_axe_finds_nothing_in_the_simulator(open_page: OpenPage, site: str) -> None:
    page = open_page()
    found = violations(page)
    page.goto(f"{site}/accounts/login/")
    page.get_by_role("button", name="Sign in with Discord").click()
    page.get_by_role("heading", name="Sparkle wants to access your account").wait_for()
    found += violations(page)
    assert not found, "\n".join(found)


def test_axe_finds_what_is_wrong(chromium: Browser) -> None:
    page = chromium.new_page()
    page.set_content("<button></button><p style='color: #ccc; background: #fff'>Pale</p>")
    found = "\n".join(violations(page))
    page.close()
    assert "button-name" in found
    assert "color-contrast" in found


def test_the_first_page_of_the_admin_is_light(contexts: dict[str, BrowserContext], live_server: Any) -> None:
    """What a browser without a cache transfers for the dashboard; text is compressed, as WhiteNoise stores it."""
    page = contexts["operator"].new_page()
    sizes = {}

    def weigh(answer: Any) -> None:
        if answer.status == 200 and answer.url.startswith(live_server.url):
            body = answer.body()
            packed = "image" in answer.headers.get("content-type", "") or answer.url.endswith(".woff2")
            sizes[answer.url.removeprefix(live_server.url)] = len(body if packed else gzip.compress(body))

    page.on("response", weigh)
    page.goto(f"{live_server.url}/admin/", wait_until="networkidle")
    page.close()
    assert any(address.endswith("styles.css") for address in sizes)
    assert sum(sizes.values()) < MAX_FIRST_PAGE_BYTES, sorted(sizes.items(), key=lambda each: -each[1])
