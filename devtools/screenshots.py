"""`./dev screenshots`: take screenshots of the site's pages in light, dark and phone layout (docs/images/screens).

Fails on a server error, a request to another host, a violation of the content security policy, or a page wider than the
phone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from . import run_directory
from .cli import arguments
from .embedded_postgres import ensure

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "images" / "screens"
DESKTOP = {"width": 1360, "height": 860}
PHONE = {"width": 390, "height": 844}
EVERY = ("light", "dark", "phone")
FILTERS = "text=Filters"
RETRY = "text=Retry >> visible=true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page to photograph: session, address, layout. `whole` captures it to its end.

    `click` is a selector that is clicked first, for what only then shows.
    """

    name: str
    address: str
    who: str = "operator"
    looks: tuple[str, ...] = EVERY
    whole: bool = True
    click: str = ""


def pages() -> list[Page]:
    """The pages, with the ids of the example data."""
    from jobs.job_status import Status
    from jobs.models import Job, JobImage

    from .demo.example_data import GUILDS, member_id

    garden = next(iter(GUILDS))
    done = Job.objects.filter(status=Status.COMPLETED, images__isnull=False, guild_id=garden).latest("pk")
    failed = Job.objects.filter(status=Status.FAILED).latest("pk")
    running = Job.objects.filter(status=Status.RUNNING).latest("pk")
    reported = JobImage.objects.filter(reported_at__isnull=False).latest("pk")
    jobs, guilds = "/admin/jobs", "/admin/guilds"
    mine = Job.objects.filter(status=Status.COMPLETED, images__isnull=False, user_id=member_id(2)).latest("pk")
    return [
        Page(name="sign-in", address="/accounts/login/", who="visitor", whole=False),
        Page(name="sign-in-cancelled", address="/accounts/discord/cancelled/", who="visitor", whole=False),
        Page(name="sign-in-failed", address="/accounts/discord/error/", who="visitor", whole=False),
        Page(name="sign-out", address="/accounts/logout/", who="member", whole=False),
        Page(name="second-factor", address="/accounts/2fa/", whole=False),
        Page(name="home", address="/", who="member"),
        Page(name="home-of-a-visitor", address="/", who="visitor", whole=False),
        Page(name="home-empty", address="/", who="newcomer", whole=False),
        Page(name="gallery", address=f"/gallery/{mine.guild_id}/{mine.pk}/", who="member"),
        Page(name="edit-area", address=f"/gallery/{mine.guild_id}/{mine.pk}/1/edit/", who="member"),
        Page(name="delete-everything", address="/data/delete/", who="member", whole=False),
        Page(name="nothing-to-manage", address="/admin/login/", who="member", whole=False),
        Page(name="dashboard", address="/admin/"),
        Page(name="dashboard-of-a-moderator", address="/admin/", who="moderator"),
        Page(name="dashboard-empty", address="/admin/", who="newcomer"),
        Page(name="requests", address=f"{jobs}/job/", whole=False),
        Page(name="requests-none", address=f"{jobs}/job/?q=zzz", whole=False),
        Page(name="requests-chosen", address=f"{jobs}/job/", whole=False, click="input.action-select"),
        Page(name="requests-filters", address=f"{jobs}/job/?status__exact=failed", whole=False, click=FILTERS),
        Page(name="request", address=f"{jobs}/job/{done.pk}/change/"),
        Page(name="request-running", address=f"{jobs}/job/{running.pk}/change/"),
        Page(name="request-failed", address=f"{jobs}/job/{failed.pk}/change/"),
        Page(name="request-retry", address=f"{jobs}/job/{failed.pk}/change/", whole=False, click=RETRY),
        Page(name="images", address=f"{jobs}/jobimage/", whole=False),
        Page(name="image-reported", address=f"{jobs}/jobimage/{reported.pk}/change/"),
        Page(name="server-quotas", address=f"{guilds}/guild/{garden}/change/#quota_rules", who="moderator"),
        Page(name="server-setup", address=f"{guilds}/guild/{garden}/setup/", who="moderator"),
        Page(name="reports", address="/admin/reports/", who="moderator"),
        Page(name="member", address=f"/admin/members/{garden}/{member_id(6)}/", who="moderator"),
        Page(name="servers", address=f"{guilds}/guild/", whole=False),
        Page(name="server", address=f"{guilds}/guild/{garden}/change/", who="moderator"),
        Page(
            name="server-generation",
            address=f"{guilds}/guild/{garden}/change/",
            who="moderator",
            click="[role=tab]:has-text('Generation')",
        ),
        Page(name="server-audit", address=f"{guilds}/guild/{garden}/audit/", who="moderator"),
        Page(name="usage", address=f"{guilds}/usage/", whole=False),
        Page(name="bans", address=f"{guilds}/ban/", whole=False),
        Page(name="ban", address=f"{guilds}/ban/add/", who="moderator", whole=False),
        Page(name="blocked-terms", address=f"{guilds}/blockedterm/", whole=False),
        Page(name="blocked-term", address=f"{guilds}/blockedterm/add/", who="moderator", whole=False),
        Page(name="term-import", address=f"{guilds}/blockedterm/import/", who="moderator", whole=False),
        Page(name="dry-run", address=f"{guilds}/blockedterm/dry-run/?phrase=lighthouse"),
        Page(name="styles", address=f"{guilds}/stylepreset/", whole=False),
        Page(name="style", address=f"{guilds}/stylepreset/add/", whole=False),
        Page(name="api-keys", address=f"{jobs}/apikey/", who="moderator", whole=False),
        Page(name="api-key", address=f"{jobs}/apikey/add/", who="moderator", whole=False),
        Page(name="models", address=f"{guilds}/modelprofile/", whole=False),
        Page(name="model", address=f"{guilds}/modelprofile/1/change/"),
        Page(name="model-new", address=f"{guilds}/modelprofile/add/"),
        Page(name="workers", address=f"{jobs}/worker/", whole=False),
        Page(name="stuck-jobs", address="/admin/stuck-jobs/"),
        Page(name="audit", address="/admin/audit/", whole=False),
        Page(name="platform-settings", address=f"{guilds}/platform/1/change/"),
        Page(name="people", address="/admin/auth/user/", whole=False),
        Page(name="person", address="/admin/auth/user/add/"),
        Page(name="moderators", address=f"{guilds}/staff/", whole=False),
        Page(name="forbidden", address=f"{guilds}/ban/add/", who="observer", whole=False),
        Page(name="not-found", address="/no-such-page", who="visitor", whole=False),
        Page(name="broken", address="/broken/", who="visitor", whole=False),
    ]


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev screenshots", description=__doc__ or "")
    parser.add_argument(
        "--only",
        metavar="NAME",
        type=arguments.text(100),
        action="append",
        help="only pages whose name contains NAME",
    )
    parser.add_argument(
        "--look",
        metavar="LOOK",
        type=arguments.one_of(EVERY),
        action="append",
        help=f"{', '.join(EVERY)} (default: all)",
    )
    parser.add_argument("--out", metavar="FOLDER", type=arguments.folder_to_write, default=FOLDER)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Take the screenshots; return the exit status."""
    options = read_arguments(argv)
    with ExitStack() as stack:
        site = stack.enter_context(_site())
        people = sessions_by_person()
        wanted = [page for page in pages() if not options.only or any(part in page.name for part in options.only)]
        from playwright.sync_api import sync_playwright

        options.out.mkdir(parents=True, exist_ok=True)
        chromium = stack.enter_context(sync_playwright()).chromium
        browser = chromium.launch(executable_path=shutil.which("chromium") or None, args=["--no-sandbox"])
        problems = 0
        for page in wanted:
            for look in options.look or page.looks:
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
    if answer and answer.status >= 500 and page.name != "broken":
        wrong.add(f"answered {answer.status}")
    if page.click:
        tab.locator(page.click).first.click()
        tab.wait_for_timeout(600)
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
    with run_directory.run_folder("screens") as folder, ensure(folder / "postgres") as url:
        os.environ |= {
            "DATABASE_URL": url,
            "SPARKLE_LOCAL_DIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.local",
            "LOG_LEVEL": "WARNING",
            # Playwright runs an event loop in this thread; our code does not use it.
            "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
        }
        import django

        django.setup()
        from django.core.management import call_command
        from django.core.wsgi import get_wsgi_application
        from django.db import connections
        from django.urls import path

        from sparkle_site import urls
        from sparkle_site.pages import error_views

        from .demo import example_data

        call_command("migrate", verbosity=0)
        example_data.add_example_data()
        urls.urlpatterns.append(path("broken/", error_views.server_error))
        server = make_server("127.0.0.1", 0, get_wsgi_application(), _Server, _Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            connections.close_all()


def sessions_by_person() -> dict[str, str]:
    """A session of each kind of person, as the value of its cookie."""
    from allauth.socialaccount.models import SocialAccount
    from django.contrib.auth.models import Group, User
    from django.utils import timezone

    from guilds.models import Guild, Staff

    from .demo.example_data import member_id

    operator = User.objects.create(username="olivia", first_name="Olivia", is_superuser=True, is_staff=True)
    moderator = User.objects.create(username="discord-0", first_name="Ada")
    SocialAccount.objects.create(user=moderator, provider="discord", uid=str(member_id(0)))
    member = User.objects.create(username="discord-2", first_name="Chiyo")
    SocialAccount.objects.create(user=member, provider="discord", uid=str(member_id(2)))
    quiet = Guild.objects.create(pk=1100000000000000048, name="Quiet Corner")
    Staff.objects.create(guild=quiet, user_id=member_id(9), role="owner", synced_at=timezone.now())
    newcomer = User.objects.create(username="discord-9", first_name="Ines")
    SocialAccount.objects.create(user=newcomer, provider="discord", uid=str(member_id(9)))
    observer = User.objects.create(username="otto", first_name="Otto", is_staff=True)
    observer.groups.add(Group.objects.get_or_create(name="Observers")[0])
    people = {"operator": operator, "moderator": moderator, "member": member, "newcomer": newcomer}
    return {name: _session(user) for name, user in (people | {"observer": observer}).items()}


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
