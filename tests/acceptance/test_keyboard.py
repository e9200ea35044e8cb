"""The admin by keyboard alone: every control is reached, and the focus moves into dialogs and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.guilds.test_model_inspection import described

from .conftest import PATIENCE_MS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
expect.set_options(timeout=PATIENCE_MS)
NOW_FOCUSED = """() => {
    const copy = document.activeElement.cloneNode(true);
    copy.querySelectorAll("[aria-hidden=true]").forEach(hidden => hidden.remove());
    return copy.getAttribute("aria-label") || copy.textContent.trim();
}"""


@pytest.fixture
def page(chromium: Browser, live_server: Any, make_guild: Callable[..., Any]) -> Iterator[Page]:
    """The admin, in which an operator is signed in."""
    from devtools import screenshots
    from guilds.models import Ban, Usage

    guild = make_guild(name="Apple Orchard")
    Ban.objects.create(guild=guild, user_id=5, reason="Flooding")
    Usage.objects.create(
        guild=guild, subject_id=5, window="day", starts_at=datetime(2026, 11, 23, tzinfo=UTC), images=3
    )
    context = chromium.new_context(viewport={"width": 1360, "height": 860}, base_url=live_server.url)
    context.set_default_timeout(PATIENCE_MS)
    session = screenshots.sessions_by_person()["operator"]
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    yield context.new_page()
    context.close()


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the focus is on the control of that name."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(NOW_FOCUSED) == name:
            return
    raise AssertionError(f"no control named {name!r} was reached with Tab")


def test_the_first_tab_leads_past_the_menu(page: Page) -> None:
    page.goto("/admin/")
    tab_to(page, "Skip to the content")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_rows_action_is_confirmed_and_the_focus_returns(page: Page) -> None:
    page.goto("/admin/guilds/usage/")
    tab_to(page, "More actions")
    opener = page.locator(":focus")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Grant more")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("spinbutton", name="Images")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.closest('[role=dialog]') !== null")
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()


def test_filters_open_take_the_focus_and_give_it_back(page: Page) -> None:
    page.goto("/admin/guilds/usage/")
    tab_to(page, "Filters")
    opener = page.locator(":focus")
    page.keyboard.press(" ")
    page.wait_for_function("document.activeElement.closest('#changelist-filter')")
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()


def test_a_servers_settings_are_tabs_that_arrows_change(page: Page) -> None:
    page.goto("/admin/guilds/guild/")
    page.get_by_role("link", name="Apple Orchard").first.click()
    tabs = page.get_by_role("tablist", name="Settings").get_by_role("tab")
    expect(tabs.first).to_have_attribute("aria-selected", "true")
    tab_to(page, tabs.first.inner_text().strip())
    page.keyboard.press("ArrowRight")
    expect(tabs.nth(1)).to_be_focused()
    expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel", name=tabs.nth(1).inner_text().strip())).to_be_visible()


def test_the_menu_can_be_hidden(page: Page) -> None:
    page.goto("/admin/")
    tab_to(page, "Menu")
    page.keyboard.press("Enter")
    expect(page.get_by_role("navigation", name="Main menu")).to_be_hidden()


def test_what_has_the_focus_shows_it(page: Page) -> None:
    page.goto("/admin/guilds/platform/1/change/")
    tab_to(page, "Menu")
    for _ in range(8):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        shadow = page.evaluate("getComputedStyle(document.activeElement).boxShadow")
        assert outline != "none" or shadow != "none", page.evaluate("document.activeElement.outerHTML")


def test_the_charts_values_show_on_focus_and_updates_can_be_paused(page: Page, make_ask: Callable[..., Any]) -> None:
    from django.utils import timezone

    from guilds.models import Guild
    from jobs import submission, transitions
    from jobs.submission import Accepted

    made = submission.submit(make_ask(Guild.objects.get(name="Apple Orchard")), now=timezone.now())
    assert isinstance(made, Accepted)
    assert transitions.cancel(made.job.pk, by=1, now=timezone.now())
    page.goto("/admin/")
    tab_to(page, "Pause updates")
    page.keyboard.press(" ")
    page.reload()
    expect(page.get_by_role("button", name="Pause updates")).to_have_attribute("aria-pressed", "true")
    bars = page.locator(".sp-chart__bar")
    bars.last.focus()
    assert "1 cancelled" in page.evaluate("getComputedStyle(document.activeElement, '::after').content")
    page.keyboard.press("ArrowLeft")
    expect(bars.nth(-2)).to_be_focused()
    assert "nothing" in page.evaluate("getComputedStyle(document.activeElement, '::after').content")


def test_inspecting_a_model_chooses_its_family_and_samplers(page: Page, httpserver: Any, settings: Any) -> None:
    settings.HF_ENDPOINT = httpserver.url_for("").rstrip("/")
    httpserver.expect_request("/api/models/owner/name").respond_with_json(described("ZImagePipeline"))
    page.goto("/admin/guilds/modelprofile/add/")
    page.get_by_label("Source").focus()
    page.keyboard.type("owner/name")
    tab_to(page, "Inspect the source")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No (needs bf16)")).to_be_visible()
    expect(page.locator("#id_family")).to_have_value("z-image")
    sampler = page.locator("#id_default_sampler")
    expect(sampler).to_have_value("flow_euler")
    assert sampler.locator("option:not([hidden])").evaluate_all("options => options.map(option => option.value)") == [
        "flow_euler", "flow_dpmpp_2m", "flow_unipc",
    ]  # fmt: skip


def test_a_refused_form_shows_the_field_that_is_wrong(page: Page) -> None:
    page.goto("/admin/guilds/guild/")
    page.get_by_role("link", name="Apple Orchard").first.click()
    page.get_by_role("tab", name="Limits").click()
    page.locator("#id_cooldown_s").fill("-5")
    page.get_by_role("tab", name="Access").click()
    page.get_by_role("button", name="Save", exact=True).click()
    wrong = page.locator("#id_cooldown_s")
    expect(wrong).to_be_focused()
    expect(wrong).to_be_in_viewport()
    page.goto("/admin/guilds/guild/")
    page.get_by_role("link", name="Apple Orchard").first.click()
    page.get_by_role("link", name="Quota rules").click()
    page.get_by_role("link", name="Add another Quota rule").click()
    page.locator("#id_quota_rules-0-subject").select_option("member")
    page.get_by_role("link", name="General").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#id_quota_rules-0-limit")).to_be_focused()
