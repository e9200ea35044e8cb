"""If the database or the queue is down or slow, the member gets a message, and no accepted request is lost."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from discord_api import i18n
from guilds.models import Guild
from interactions_lambda import deadline, error_response
from interactions_lambda.verification import VerifiedRequest
from jobs.dispatch import sending
from jobs.dispatch.message import DispatchFailed, JobMessage
from jobs.models import Job

from .conftest import KEY, event, message_text, payload

_LAMBDA = """
import json, sys
from interactions_lambda.handler import handler
for line in sys.stdin:
    print(json.dumps(handler(json.loads(line), None)), flush=True)
"""


def in_a_lambda(body: dict[str, Any], *, database_url: str, **environment: str) -> dict[str, Any]:
    """Return the callback of a separate process that is set up like the Lambda."""
    done = subprocess.run(
        [sys.executable, "-c", _LAMBDA],
        input=json.dumps(event(json.dumps(body).encode())) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.headless",
            "DJANGO_SECRET_KEY": "x" * 40,
            "DATABASE_URL": database_url,
            "DISCORD_PUBLIC_KEY": KEY.verify_key.encode().hex(),
            "JOB_DISPATCHER": "jobs.dispatch.memory.MemoryDispatcher",
            # Everything is imported before the request: on a busy machine that alone takes longer than the deadline.
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            **environment,
        },
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["statusCode"] == 200
    callback: dict[str, Any] = json.loads(answer["body"])
    reference = callback["data"]["content"].rsplit("`", 2)[1] if "Reference" in done.stdout else None
    if reference:
        line = next(line for line in done.stderr.splitlines() if "interaction_failed" in line)
        assert json.loads(line)["reference"] == reference
        assert "lighthouse" not in done.stderr
        assert "A_UNIQUE_TOKEN" not in done.stderr
    return callback


@pytest.mark.processes
def test_a_database_that_is_down_is_told_with_a_reference() -> None:
    sentence = message_text(in_a_lambda(payload("slash"), database_url="postgres://sparkle@127.0.0.1:9/sparkle"))
    assert "try again in a minute" in sentence
    assert "Reference" in sentence


@pytest.mark.processes
def test_a_missing_setting_is_told_as_an_error_of_ours() -> None:
    answer = in_a_lambda(payload("slash"), database_url="", AWS_LAMBDA_INITIALIZATION_TYPE="on-demand")
    assert "on our side" in message_text(answer)


@pytest.mark.processes
def test_a_direct_message_needs_no_database() -> None:
    answer = in_a_lambda(payload("slash_in_dm"), database_url="postgres://sparkle@127.0.0.1:9/sparkle")
    assert "server" in message_text(answer)


def _database_url() -> str:
    now = connection.settings_dict
    return f"postgres://{now['USER']}:{now['PASSWORD']}@{now['HOST'] or '127.0.0.1'}:{now['PORT']}/{now['NAME']}"


@pytest.mark.django_db(transaction=True)
@pytest.mark.processes
def test_a_guild_that_is_locked_for_too_long_is_told_and_nothing_is_reserved(
    make_guild: Callable[..., Guild], slash: Callable[..., Any], django_db_serialized_rollback: None
) -> None:
    guild = make_guild()
    body = payload("slash", guild_id=str(guild.pk))
    with transaction.atomic():
        Guild.objects.select_for_update().get(pk=guild.pk)
        answer = in_a_lambda(body, database_url=_database_url(), DATABASE_STATEMENT_TIMEOUT_MS="700")
    assert "Reference" in message_text(answer)
    assert Job.objects.count() == 0
    # Without the lock the same request is accepted.
    assert slash(guild, values={"prompt": "a cat"})["data"]["content"].startswith("**Submitted")
    assert Job.objects.count() == 1


class Stuck:
    """A queue that accepts the call and never answers."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.release = threading.Event()

    def send(self, messages: Sequence[JobMessage]) -> None:
        self.called.set()
        self.release.wait(30)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    found = Stuck()
    yield found
    found.release.set()


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave time to begin, and none to end what is stuck."""
    monkeypatch.setattr(deadline, "SEND_BY_S", 2)
    monkeypatch.setattr(deadline, "RESPOND_BY_S", 0)


MESSAGE = JobMessage(job_id=1, group="g", dedup_id="1-1")


def accepted(send: Callable[[], None], missed: Callable[[], None]) -> str:
    deadline.send_after_commit(send, missed)
    return "Submitted"


def test_a_queue_that_does_not_answer_is_left_to_upkeep(stuck: Stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "SEND_BY_S", 0)
    missed = threading.Event()
    answer = deadline.run(lambda: accepted(lambda: stuck.send([MESSAGE]), missed.set), started=time.monotonic())
    assert answer == "Submitted"
    assert stuck.called.wait(60)
    assert missed.is_set()


def test_a_failing_queue_is_left_to_upkeep_too() -> None:
    def broken() -> None:
        raise DispatchFailed("refused")

    missed = threading.Event()
    assert deadline.run(lambda: accepted(broken, missed.set), started=time.monotonic()) == "Submitted"
    assert missed.is_set()


def test_what_is_committed_is_sent_although_the_answer_failed() -> None:
    sent = threading.Event()

    def act() -> None:
        accepted(sent.set, lambda: None)
        raise ValueError("no words for it")

    with pytest.raises(ValueError, match="no words"):
        deadline.run(act, started=time.monotonic())
    assert sent.wait(60)


def test_what_is_committed_is_sent_although_the_answer_came_too_late(stuck: Stuck, short_deadline: None) -> None:
    sent = threading.Event()

    def act() -> None:
        accepted(sent.set, lambda: None)
        stuck.send([MESSAGE])

    with pytest.raises(deadline.ResponseDeadlineExceeded):
        deadline.run(act, started=time.monotonic())
    assert not sent.is_set()
    stuck.release.set()
    assert sent.wait(60)


def test_an_accepted_request_is_told_although_the_database_left_after_it(caplog: pytest.LogCaptureFixture) -> None:
    def refused() -> None:
        raise DispatchFailed("refused")

    def away() -> None:
        raise OperationalError("gone")

    assert deadline.run(lambda: accepted(refused, away), started=time.monotonic()) == "Submitted"
    assert "send_failed" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_request_is_accepted_although_the_queue_is_stuck(
    make_guild: Callable[..., Guild],
    slash: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    stuck: Stuck,
    django_db_serialized_rollback: None,
) -> None:
    monkeypatch.setattr(sending, "current_dispatcher", lambda: stuck)
    monkeypatch.setattr(deadline, "SEND_BY_S", 0)
    answer = slash(make_guild(), values={"prompt": "a cat"})
    assert answer["data"]["content"].startswith("**Submitted")
    assert Job.objects.get().message_sent_at is None, "upkeep sends a message for it again"


@pytest.mark.django_db
def test_no_statement_begins_when_the_time_is_up(
    make_guild: Callable[..., Guild], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_guild()
    assert deadline.run(Guild.objects.count, started=time.monotonic()) == 1
    monkeypatch.setattr(deadline, "LAST_STATEMENT_S", 0)
    with pytest.raises(deadline.StatementDeadlineExceeded):
        deadline.run(Guild.objects.count, started=time.monotonic())


@pytest.mark.django_db(transaction=True)
def test_nothing_is_written_when_the_time_is_up(
    make_guild: Callable[..., Guild], monkeypatch: pytest.MonkeyPatch
) -> None:
    guild = make_guild(name="As it was")
    monkeypatch.setattr(deadline, "LAST_STATEMENT_S", 0)
    renamed = Guild.objects.filter(pk=guild.pk).update
    with pytest.raises(deadline.StatementDeadlineExceeded):
        deadline.run(lambda: renamed(name="Too late"), started=time.monotonic())
    guild.refresh_from_db()
    assert guild.name == "As it was"
    assert deadline.run(Guild.objects.count, started=time.monotonic()) == 1, "reading does no harm"


def test_what_is_stuck_does_not_hold_up_the_answer(stuck: Stuck, short_deadline: None) -> None:
    with pytest.raises(deadline.ResponseDeadlineExceeded):
        deadline.run(lambda: stuck.send([MESSAGE]), started=time.monotonic())
    assert stuck.called.is_set()


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_closed_is_replaced_within_seconds_of_its_last_use(
    make_guild: Callable[..., Guild], django_db_serialized_rollback: None
) -> None:
    def backend() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    def ask() -> int:
        return deadline.run(backend, started=time.monotonic())

    try:
        served = {ask() for _ in range(5)}
        with connection.cursor() as cursor:
            cursor.executemany("SELECT pg_terminate_backend(%s, 5000)", [(each,) for each in served])
        assert not served & {ask() for _ in range(5)}
    finally:
        for _ in range(16):
            deadline.run(lambda: connection.close(), started=time.monotonic())  # noqa: PLW0108  # of that thread


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (deadline.ResponseDeadlineExceeded(), "error.late"),
        (deadline.StatementDeadlineExceeded(), "error.unavailable"),
        (OperationalError(), "error.unavailable"),
        (ValueError(), "error.unexpected"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_each_kind_of_error_has_its_own_message(error: Exception, expected: str) -> None:
    request = VerifiedRequest(kind="interaction", payload=payload("slash"))
    body = error_response.create(error, request).body
    assert body is not None
    message = body["data"]["content"]
    reference = message.rsplit("`", 2)[1]
    assert message == i18n.translate("en-US", expected, reference=reference)


def test_an_error_in_time_is_the_error_itself() -> None:
    def broken() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        deadline.run(broken, started=time.monotonic())


@pytest.mark.django_db(transaction=True)
@pytest.mark.processes
def test_a_database_behind_a_slow_line_is_told_in_time_and_nothing_is_kept(
    make_guild: Callable[..., Guild], django_db_serialized_rollback: None
) -> None:
    guild = make_guild()
    now = connection.settings_dict
    with Slowed(now["HOST"] or "127.0.0.1", int(now["PORT"]), delay_s=1) as port:
        url = f"postgres://{now['USER']}:{now['PASSWORD']}@127.0.0.1:{port}/{now['NAME']}"
        sentence = message_text(in_a_lambda(payload("slash", guild_id=str(guild.pk)), database_url=url))
    assert "Reference" in sentence
    assert Job.objects.count() == 0


class Slowed:
    """A TCP proxy to the database that delays each packet."""

    def __init__(self, host: str, port: int, *, delay_s: float) -> None:
        self._target = (host, port)
        self._delay_s = delay_s
        self._server = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._accept, daemon=True).start()
        port: int = self._server.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._target)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self._delay_s / 2)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
