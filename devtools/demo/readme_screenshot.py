"""Takes the README's screenshot: a completed request in the simulator, in headless Chromium."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from devtools.embedded_postgres import DatabaseUnavailable
from devtools.processes import interrupt_on_termination

from .main import CannotRun, free_port, run_platform

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "images" / "simulator.png"
PROMPT = "a rainbow in the sky"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_MS = 180_000


def main() -> int:
    """Take the screenshot and return the exit status."""
    interrupt_on_termination()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("readme_screenshot: Chromium is not installed. Run: apt install chromium", file=sys.stderr)
        return 1
    # A separate folder, so that requests from a manual demo are not in the screenshot.
    folder = ROOT / ".local" / "front-page"
    shutil.rmtree(folder, ignore_errors=True)
    os.environ["SPARKLE_LOCAL_DIR"] = str(folder)
    try:
        with run_platform(free_port(), say=print):
            take(browser, address=f"{os.environ['SITE_URL']}/simulator/")
    except (CannotRun, DatabaseUnavailable) as error:
        print(f"readme_screenshot: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def take(executable: str, *, address: str) -> None:
    """Submit a request on the page, wait for its image and take the screenshot."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1060}, color_scheme="light", locale="en-US")
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(address)
        page.get_by_label(re.compile("^Message ")).fill(f"/sparkle {PROMPT}")
        page.keyboard.press("Enter")
        page.get_by_text("Completed your Sparkle!").wait_for()
        page.get_by_role("img", name=PROMPT).first.wait_for()
        page.wait_for_timeout(1500)  # Animations end.
        OUT.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=OUT)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
