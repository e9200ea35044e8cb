"""Logs contain only the path of a URL: no OAuth2 code, no state, no signature, in any process."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client

from sparkle_site.pages import signed_urls
from telemetry.logs import JsonFormatter, redact

ROOT = Path(__file__).resolve().parents[2]
PLANTED = "planted-secret-value"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What Django's loggers write, as production formats it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


@pytest.mark.django_db
def test_djangos_own_lines_hold_no_query_and_no_signature(written):
    client = Client(raise_request_exception=False)
    signed = signed_urls.signed_url(77)
    for address in (
        f"/no/such/page/?code={PLANTED}",
        f"{signed}?w={PLANTED}",
        f"/p/{PLANTED}/",
        f"/accounts/set-password/MQ/{PLANTED}/",
        f"/?next=%00{PLANTED}",
    ):
        client.get(address)
    client.post(f"/accounts/login/?next={PLANTED}", HTTP_HOST=f"bad_host?{PLANTED}")
    client.get(f"/accounts/discord/login/callback/?code={PLANTED}&state={PLANTED}")
    Client(enforce_csrf_checks=True).post(f"/accounts/login/?state={PLANTED}", {"login": "x"})
    text = written.getvalue()
    assert "/no/such/page/" in text
    assert PLANTED not in text
    assert signed.split(":")[-1].strip("/") not in text


@pytest.mark.parametrize(
    "line",
    [
        f"Not Found: /p/12:1abcde:{PLANTED}",
        f"GET /accounts/discord/login/callback/?code={PLANTED}&state=x HTTP/1.1",
        f"Invalid HTTP request line: 'GET /x?code={PLANTED}'",
        f"https://bucket.s3.amazonaws.com/1/2/3.png?X-Amz-Signature={PLANTED}",
        f"/data/12%3A1abcde%3A{PLANTED}/",
        f"/x/?{PLANTED}",
        f"?code={PLANTED}",
    ],
)
def test_what_is_secret_in_an_address_is_cut(line):
    assert PLANTED not in redact(line)


@pytest.mark.parametrize("line", ["Is it there? Yes", "at 12:30:45 it ended", "/admin/jobs/job/77/change/", "a:b:c"])
def test_other_text_is_left(line):
    assert redact(line) == line


@pytest.mark.django_db(transaction=True)
@pytest.mark.processes
def test_a_real_gunicorn_writes_paths_alone(tmp_path, transactional_db):
    from django.db import connection

    settings = connection.settings_dict
    user, host, port, name = (settings[key] for key in ("USER", "HOST", "PORT", "NAME"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        at = taken.getsockname()[1]
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.test",
        "DATABASE_URL": f"postgres://{user or 'postgres'}:{settings['PASSWORD'] or ''}@{host}:{port}/{name}",
        "SPARKLE_LOCAL_DIR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    # The command that the container runs, but for its address.
    docker = (ROOT / "sparkle_site" / "Dockerfile").read_text()
    [command] = [json.loads(line.removeprefix("CMD ")) for line in docker.splitlines() if line.startswith("CMD [")]
    command = [each for each in command if not each.startswith("--bind=")] + [f"--bind=127.0.0.1:{at}"]
    signed = signed_urls.signed_url(77)
    with (tmp_path / "log").open("wb") as log:
        site = subprocess.Popen(
            [str(Path(sys.executable).parent / command[0]), *command[1:], "--no-control-socket"],
            cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while status(at, "/healthz") != 200:
                assert site.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.2)
            status(at, f"/accounts/discord/login/callback/?code={PLANTED}&state={PLANTED}")
            status(at, f"/nowhere/?X-Amz-Signature={PLANTED}", referer=f"http://127.0.0.1/?code={PLANTED}")
            status(at, f"{signed}?w=96")
            with socket.create_connection(("127.0.0.1", at)) as raw:
                raw.sendall(f"GET /x?code={PLANTED} HTTP/9.9 more\r\n\r\n".encode())
                raw.recv(1000)
        finally:
            site.terminate()
            site.wait(30)
    text = (tmp_path / "log").read_text()
    assert PLANTED not in text
    assert signed.split(":")[-1].strip("/") not in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    seen = {line["path"]: line["status"] for line in lines if line.get("event") == "request"}
    assert seen["/nowhere/"] == 404
    assert seen["/accounts/discord/login/callback/"] == 401


def status(port: int, path: str, *, referer: str = "") -> int:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Referer": referer})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
