"""`./dev screenshots`: every page of the site in light and dark, and on a phone, as docs/images/screens/*.png.

It fails on a server error, on anything that a page asks of another host or that its policy refuses, and on a page wider
than the phone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from .database import ensure

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "images" / "screens"
DESKTOP = {"width": 1360, "height": 860}
PHONE = {"width": 390, "height": 844}
EVERY = ("light", "dark", "phone")
BOTH = ("light", "dark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page: whose session, which address, and how it is looked at. `whole` scrolls to its end."""

    name: str
    address: str
    who: str = "operator"
    looks: tuple[str, ...] = ("light",)
    whole: bool = True


def pages() -> list[Page]:
    """The pages, with the ids of the example data."""
    from jobs.lifecycle import Status
    from jobs.models import Job, JobImage

    from .example_data import GUILDS

    garden = next(iter(GUILDS))
    done = Job.objects.filter(status=Status.COMPLETED, images__isnull=False, guild_id=garden).latest("pk")
    failed = Job.objects.filter(status=Status.FAILED).latest("pk")
    running = Job.objects.filter(status=Status.RUNNING).latest("pk")
    reported = JobImage.objects.filter(reported_at__isnull=False).latest("pk")
    jobs, guilds = "/admin/jobs", "/admin/guilds"
    return [
        Page(name="sign-in", address="/accounts/login/", who="visitor", looks=EVERY, whole=False),
        Page(name="second-factor", address="/accounts/2fa/", looks=EVERY, whole=False),
        Page(name="home", address="/", who="member", looks=EVERY),
        Page(name="home-of-a-visitor", address="/", who="visitor", looks=EVERY, whole=False),
        Page(name="dashboard", address="/admin/", looks=EVERY),
        Page(name="dashboard-of-a-moderator", address="/admin/", who="moderator"),
        Page(name="requests", address=f"{jobs}/job/", looks=EVERY, whole=False),
        Page(name="request", address=f"{jobs}/job/{done.pk}/change/", looks=EVERY),
        Page(name="request-running", address=f"{jobs}/job/{running.pk}/change/"),
        Page(name="request-failed", address=f"{jobs}/job/{failed.pk}/change/", looks=BOTH),
        Page(name="pictures", address=f"{jobs}/jobimage/", looks=EVERY, whole=False),
        Page(name="picture-reported", address=f"{jobs}/jobimage/{reported.pk}/change/", looks=EVERY),
        Page(name="servers", address=f"{guilds}/guild/", looks=EVERY, whole=False),
        Page(name="server", address=f"{guilds}/guild/{garden}/change/", who="moderator", looks=EVERY),
        Page(name="server-audit", address=f"{guilds}/guild/{garden}/audit/", who="moderator", looks=EVERY),
        Page(name="usage", address=f"{guilds}/usage/", looks=("light", "phone"), whole=False),
        Page(name="bans", address=f"{guilds}/ban/", whole=False),
        Page(name="ban", address=f"{guilds}/ban/add/", who="moderator", whole=False),
        Page(name="blocked-terms", address=f"{guilds}/blockedterm/", whole=False),
        Page(name="dry-run", address=f"{guilds}/blockedterm/dry-run/?phrase=lighthouse", looks=EVERY),
        Page(name="styles", address=f"{guilds}/stylepreset/", whole=False),
        Page(name="models", address=f"{guilds}/modelprofile/", whole=False),
        Page(name="workers", address=f"{jobs}/worker/", whole=False),
        Page(name="trouble", address="/admin/trouble/", looks=EVERY),
        Page(name="switches", address=f"{guilds}/platform/1/change/", looks=BOTH),
        Page(name="people", address="/admin/auth/user/", whole=False),
        Page(name="not-found", address="/no-such-page", who="visitor", looks=EVERY, whole=False),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Take the pictures; returns the exit status."""
    parser = argparse.ArgumentParser(prog="./dev screenshots", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", help="only pages whose name contains this")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=FOLDER)
    options = parser.parse_args(argv)
    with ExitStack() as stack:
        site = stack.enter_context(_site())
        people = _people()
        wanted = [page for page in pages() if not options.only or any(part in page.name for part in options.only)]
        from playwright.sync_api import sync_playwright

        options.out.mkdir(parents=True, exist_ok=True)
        chromium = stack.enter_context(sync_playwright()).chromium
        browser = chromium.launch(executable_path=shutil.which("chromium") or None, args=["--no-sandbox"])
        problems = 0
        for page in wanted:
            for look in page.looks:
                problems += _shoot(browser, site, page, look, people=people, folder=options.out)
        browser.close()
    return 1 if problems else 0


def _shoot(browser: Any, site: str, page: Page, look: str, *, people: dict[str, str], folder: Path) -> int:
    context = browser.new_context(
        viewport=PHONE if look == "phone" else DESKTOP,
        color_scheme="dark" if look == "dark" else "light",
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    if people.get(page.who):
        context.add_cookies([{"name": "sessionid", "value": people[page.who], "url": site}])
    tab = context.new_page()
    wrong: set[str] = set()
    tab.on("console", lambda message: wrong.add(message.text[:120]) if "Content Security" in message.text else None)
    tab.on("pageerror", lambda error: wrong.add(str(error)[:120]))
    tab.on("request", lambda request: wrong.add(f"outside: {request.url}") if _outside(request.url, site) else None)
    answer = tab.goto(site + page.address, wait_until="networkidle")
    if answer and answer.status >= 500:
        wrong.add(f"answered {answer.status}")
    width = tab.evaluate("document.documentElement.scrollWidth")
    if look == "phone" and width > PHONE["width"]:
        wrong.add(f"{width} px wide")
    name = page.name if look == "light" else f"{page.name}-{look}"
    tab.screenshot(path=str(folder / f"{name}.png"), full_page=page.whole)
    context.close()
    print(f"{name:<32} {answer.status if answer else '-'} {'; '.join(sorted(wrong))}", flush=True)
    return int(bool(wrong))


def _outside(address: str, site: str) -> bool:
    return not address.startswith((site, "data:", "blob:", "about:"))


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def _site() -> Iterator[str]:
    """A site of its own with the example data; yields its address."""
    folder = Path(tempfile.mkdtemp(prefix="sparkle-screens-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with ensure(folder / "postgres") as url:
            os.environ |= {
                "DATABASE_URL": url,
                "SPARKLE_LOCAL_DIR": str(folder),
                "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.local",
                "LOG_LEVEL": "WARNING",
                # Playwright runs a loop in this thread, and nothing of ours is in it.
                "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
            }
            import django

            django.setup()
            from django.core.management import call_command
            from django.core.wsgi import get_wsgi_application
            from django.db import connections

            from . import example_data

            call_command("migrate", verbosity=0)
            example_data.fill()
            server = make_server("127.0.0.1", 0, get_wsgi_application(), _Server, _Quiet)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                connections.close_all()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _people() -> dict[str, str]:
    """A session of each kind of person, as the value of its cookie."""
    from allauth.socialaccount.models import SocialAccount
    from django.contrib.auth.models import User

    from .example_data import member_id

    operator = User.objects.create(username="olivia", first_name="Olivia", is_superuser=True, is_staff=True)
    moderator = User.objects.create(username="discord-0", first_name="Ada")
    SocialAccount.objects.create(user=moderator, provider="discord", uid=str(member_id(0)))
    member = User.objects.create(username="discord-2", first_name="Chiyo")
    SocialAccount.objects.create(user=member, provider="discord", uid=str(member_id(2)))
    return {"operator": _session(operator), "moderator": _session(moderator), "member": _session(member)}


def _session(user: Any) -> str:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


if __name__ == "__main__":
    sys.exit(main())
