"""Signing in with Discord end to end: the site, Discord's page, the token, the servers that the user manages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from .conftest import PATIENCE_MS, OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
expect.set_options(timeout=PATIENCE_MS)


def sign_in(page: Page, site: str, member: str) -> None:
    page.goto(f"{site}/accounts/login/")
    page.get_by_role("button", name="Sign in with Discord").click()
    expect(page.get_by_role("heading", name="Sparkle wants to access your account")).to_be_visible()
    page.get_by_role("button", name=member).click()
    page.wait_for_url(f"{site}/")


def test_an_owner_signs_in_and_manages_that_server_alone(open_page: OpenPage, site: str) -> None:
    from guilds.models import Staff

    page = open_page()
    sign_in(page, site, "Ada")
    page.goto(f"{site}/admin/guilds/guild/", wait_until="domcontentloaded")
    listed = page.get_by_role("main").or_(page.locator("#content"))
    expect(listed.get_by_role("link", name="Pixel Garden").first).to_be_visible()
    for other in ("Night Owls", "Retro Arcade"):
        expect(page.get_by_text(other)).to_have_count(0)
    assert [(staff.guild.name, staff.role) for staff in Staff.objects.all()] == [("Pixel Garden", "owner")]


def test_who_manages_nothing_has_no_way_into_the_admin(open_page: OpenPage, site: str) -> None:
    from guilds.models import Staff

    page = open_page()
    sign_in(page, site, "Guest")
    assert Staff.objects.count() == 0
    answer = page.request.get(f"{site}/admin/guilds/guild/")
    assert "Pixel Garden" not in answer.text()


def test_who_refuses_is_not_signed_in(open_page: OpenPage, site: str) -> None:
    from django.contrib.auth.models import User

    page = open_page()
    page.goto(f"{site}/accounts/login/")
    page.get_by_role("button", name="Sign in with Discord").click()
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url("**/accounts/**")
    assert User.objects.count() == 0
