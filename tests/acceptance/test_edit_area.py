"""A member marks a part of an image by mouse, touch and keyboard, and gets the result in Discord."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from .conftest import PATIENCE_MS, OpenPage
from .test_accessibility import violations
from .test_sign_in import sign_in
from .test_simulator_page import ask, completed, last

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def editor(open_page: OpenPage, site: str, worker: None) -> Page:
    """The page for one of Yuki's own images, on a phone of 390 pixels."""
    from jobs import edit_links
    from jobs.models import Job

    page = open_page("Yuki", phone=True)
    ask(page, "a lighthouse")
    completed(page)
    sign_in(page, site, "Yuki")
    page.goto(site + edit_links.path(Job.objects.get(), 0))
    page.get_by_role("application", name="Image to paint on").wait_for()
    return page


def canvas(page: Page) -> Locator:
    return page.get_by_role("application", name="Image to paint on")


def painted(page: Page) -> int:
    """How many pixels are painted."""
    count = """canvas => { const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        let painted = 0; for (let at = 3; at < pixels.length; at += 4) painted += pixels[at] > 127; return painted; }"""
    return int(canvas(page).evaluate(count))


def point_of(page: Page, x: float, y: float) -> tuple[float, float]:
    """Return where on the screen this part of the image's width and height is."""
    canvas(page).scroll_into_view_if_needed()
    box = canvas(page).bounding_box()
    assert box
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """Draw with the mouse; points are parts of the image's width and height."""
    at = [point_of(page, x, y) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def mask() -> Any:
    from jobs import storage
    from jobs.models import Job

    return np.asarray(Image.open(io.BytesIO(storage.fetch(Job.objects.latest("pk").painted_area))))


def test_a_marked_part_is_sent_and_the_result_comes_to_discord(editor: Page, site: str) -> None:
    from jobs.models import Job

    assert editor.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(editor) == []
    create = editor.get_by_role("button", name="Create")
    create.click()
    expect(editor.get_by_role("alert")).to_contain_text("Nothing is marked")
    # By finger,
    editor.touchscreen.tap(*point_of(editor, 0.25, 0.25))
    dot = painted(editor)
    assert dot > 500
    # and by mouse, with what was painted taken back, rubbed out and cleared.
    stroke(editor, (0.5, 0.75), (0.9, 0.75))
    line = painted(editor)
    assert line > 2 * dot
    editor.get_by_role("button", name="Undo").click()
    assert painted(editor) == dot
    editor.get_by_role("button", name="Eraser").click()
    stroke(editor, (0.2, 0.25), (0.3, 0.25))
    assert painted(editor) < dot
    editor.get_by_role("button", name="Clear").click()
    assert painted(editor) == 0
    editor.get_by_role("button", name="Eraser").click()
    stroke(editor, (0.5, 0.75), (0.9, 0.75))
    editor.get_by_role("textbox", name="What should be there?").fill("a boat")
    create.click()
    editor.wait_for_url(f"{site}/")
    expect(editor.get_by_role("status")).to_contain_text("You'll get the result in Discord")
    sent = mask()
    assert sent[384, 360]
    assert not sent[128].any()
    assert not sent[384, 100]
    made = Job.objects.latest("pk")
    assert (made.prompt, made.member_name) == ("a boat", "Yuki")
    editor.goto(f"{site}/simulator/?server={made.guild_id}&channel={made.channel_id}&as={made.user_id}")
    expect(last(editor)).to_contain_text("Completed your Sparkle!")
    expect(last(editor)).to_contain_text("a boat")
    expect(last(editor)).to_contain_text("Edited area")


def test_the_keyboard_paints_too(editor: Page) -> None:
    canvas(editor).focus()
    press = editor.keyboard.press
    for key in ("ArrowUp", "ArrowUp", "Space", "Shift+ArrowRight", "Shift+ArrowRight"):
        press(key)
    expect(editor.locator("#said")).to_have_text("Brush down.")
    press("Space")
    expect(editor.locator("#said")).to_have_text("Brush up.")
    press("Control+z")
    expect(editor.locator("#said")).to_have_text("Undone.")
    for key in ("+", "Enter", "ArrowLeft", "Enter"):
        press(key)
    editor.get_by_role("button", name="Create").focus()
    press("Enter")
    expect(editor.get_by_role("status")).to_contain_text(re.compile(r"Request #\d+ was submitted"))
    sent = mask()
    assert sent[196, 480]
    assert 2000 < sent.sum() < 20_000
