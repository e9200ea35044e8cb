"""`./dev fuzz`: send many hostile interactions to the real handler over real PostgreSQL.

Values come from hypothesis and from a list of values that have broken bots before. They replace parts of well-formed
payloads, whose parts are also dropped, copied and swapped. What must hold: no exception leaves the handler, no status
5xx, no answer after three seconds, no second job of one interaction, and no content that could ping anyone.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from devtools.cli import arguments
from devtools.hardware import describe

LIMIT_S = 3.0
_ACTIONS = ("image", "reroll", "vary", "enlarge", "edit", "more", "delete", "report", "cancel", "history", "nothing")
SIGNING_KEY = "f0" * 32
ALLOWED = {200, 204, 400, 401, 404, 405, 413}
NASTY: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, -(2**63), 1e308, -0.0, 0.1, "", " ", "\0", "\ud83d",
    "0", "-1", "1.5", "NaN", "9" * 40, "１２", "a" * 6000, "a" * 6001, "`" * 4000, "```\n@everyone\n```",
    "<@1><@&2><#3>", "@here", "\u202e", "\u0000' OR 1=1 --", "{prompt}", "%s%n", "../../etc/passwd", "🦊" * 3000,
    "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", [], [[]], {}, {"a": {}}, [None] * 30, "𝓰𝓸𝓻𝓮",
]  # fmt: skip


def well_formed(chance: random.Random, *, guild: int, application: int) -> dict[str, Any]:
    """Return an interaction of a random kind, as Discord sends it."""
    kind = chance.choice(["sparkle", "sparkle", "command", "component", "autocomplete", "modal", "message", "dm"])
    payload = _base(chance, guild=guild, application=application) | BUILDERS[kind](chance)
    if kind == "dm":
        payload["user"] = payload.pop("member")["user"]
        payload.pop("guild_id")
        payload["context"] = 1
    return payload


def _base(chance: random.Random, *, guild: int, application: int) -> dict[str, Any]:
    """Return what interactions of all kinds have."""
    return {
        "id": str(chance.randrange(10**18, 2 * 10**18)),
        "application_id": str(application),
        "type": 2,
        "token": f"token-{chance.randrange(10**9)}",
        "version": 1,
        "guild_id": str(guild),
        "channel_id": "77",
        "channel": {"id": "77", "type": 0, "nsfw": False, "guild_id": str(guild)},
        "member": {
            "user": {"id": str(chance.randrange(1, 50)), "username": "fox", "global_name": "Fox", "discriminator": "0"},
            "roles": [str(chance.randrange(1, 5))],
            "permissions": str(chance.choice([0, 0x20, 0x8, 2**50 - 1])),
            "nick": None,
            "joined_at": "2025-01-01T00:00:00+00:00",
        },
        "app_permissions": str(2**50 - 1),
        "locale": chance.choice(["en-US", "de", "ja", "xx", ""]),
        "guild_locale": "en-US",
        "context": 0,
        "authorizing_integration_owners": {"0": str(guild)},
        "attachment_size_limit": 10485760,
        "entitlements": [],
    }


def _sparkle(chance: random.Random) -> dict[str, Any]:
    options = [
        {"name": "prompt", "type": 3, "value": chance.choice(["a red circle", "gore", "a fox in the snow"])},
        {"name": "steps", "type": 4, "value": chance.randrange(1, 30)},
        {"name": "sampler", "type": 3, "value": chance.choice(["k_lms", "DDIM"])},
        {"name": "seed", "type": 4, "value": chance.randrange(2**32)},
        {"name": "guidance", "type": 10, "value": 7.5},
        {"name": "size", "type": 3, "value": "512x512"},
    ]
    return {"data": {"id": "1", "name": "sparkle", "type": 1, "options": options[: chance.randrange(1, 7)]}}


def _other_command(chance: random.Random) -> dict[str, Any]:
    name = chance.choice(
        [
            "sparkle-quota",
            "sparkle-history",
            "sparkle-show",
            "sparkle-cancel",
            "sparkle-defaults",
            "sparkle-settings",
            "sparkle-help",
        ]
    )
    return {"data": {"id": "1", "name": name, "type": 1, "options": [{"name": "id", "type": 3, "value": "1"}]}}


def _component(chance: random.Random) -> dict[str, Any]:
    index = chance.choice(["", ":0", ":3", ":9"])
    custom_id = f"s1:{chance.choice(_ACTIONS)}:{chance.randrange(1, 400)}{index}"
    return {
        "type": 3,
        "message": {"id": "5", "channel_id": "77", "content": "", "attachments": []},
        "data": {
            "custom_id": custom_id,
            "component_type": 3 if ":image:" in custom_id else 2,
            "values": [f"{chance.choice(['vary', 'upscale', 'full', ''])}:{chance.randrange(12)}"],
        },
    }


def _autocomplete(chance: random.Random) -> dict[str, Any]:
    option = {"name": chance.choice(["model", "style", "id"]), "type": 3, "value": "s", "focused": True}
    return {"type": 4, "data": {"id": "1", "name": "sparkle", "type": 1, "options": [option]}}


def _modal(chance: random.Random) -> dict[str, Any]:
    rows = [{"type": 1, "components": [{"type": 4, "custom_id": "prompt", "value": "a blue star"}]}]
    return {"type": 5, "data": {"custom_id": f"s1:edit:{chance.randrange(1, 99)}", "components": rows}}


def _message_command(chance: random.Random) -> dict[str, Any]:
    attachment = {
        "id": "6", "filename": "a.png", "url": "https://cdn.discordapp.com/a.png", "size": 9,
        "content_type": "image/png", "proxy_url": "https://media.discordapp.net/a.png",
    }  # fmt: skip
    message = {"id": "5", "content": "", "attachments": [attachment]}
    resolved = {"messages": {"5": message}}
    return {"data": {"id": "1", "name": "Remix with Sparkle", "type": 3, "target_id": "5", "resolved": resolved}}


BUILDERS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "sparkle": _sparkle,
    "command": _other_command,
    "component": _component,
    "autocomplete": _autocomplete,
    "modal": _modal,
    "message": _message_command,
    "dm": _sparkle,
}


def mutate(payload: dict[str, Any], chance: random.Random, pool: list[Any]) -> dict[str, Any]:
    """Drop, replace, double or move up to four parts of the payload."""
    payload = copy.deepcopy(payload)
    for _ in range(chance.randrange(5)):
        places = list(_places(payload))
        if not places:
            break
        holder, key = chance.choice(places)
        act = chance.randrange(4)
        if act == 0:
            del holder[key]
        elif act == 1:
            holder[key] = copy.deepcopy(chance.choice(NASTY))
        elif act == 2 and pool:
            holder[key] = copy.deepcopy(chance.choice(pool))
        else:
            other, other_key = chance.choice(places)
            holder[key] = copy.deepcopy(other[other_key])
    return payload


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    pairs = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    for key, value in pairs:
        yield node, key
        yield from _places(value)


def drawn_values(seed: int, count: int) -> list[Any]:
    """Return JSON values of every kind and depth, drawn by hypothesis."""
    import hypothesis
    from hypothesis import strategies as st

    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=60)
        | st.integers(0, 2**64).map(str)
    )
    names = st.sampled_from(["id", "type", "name", "value", "options", "user", "custom_id", "components", "x"])
    values: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(
        st.recursive(
            scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=8
        )
    )
    def collect(value: Any) -> None:
        values.append(value)

    collect()
    return values


def raw_bodies(payload: dict[str, Any], chance: random.Random) -> bytes:
    """Return the payload as bytes; sometimes truncated, not UTF-8, or not JSON."""
    body = json.dumps(payload).encode()
    luck = chance.random()
    if luck < 0.01:
        return body[: chance.randrange(len(body))]
    if luck < 0.015:
        return b"\xff\xfe" + body
    if luck < 0.02:
        return chance.choice([b"", b"[]", b"null", b"1", b"[" * 5000, b'{"type":1e999}', b'{"type":NaN}'])
    return body


def faults_of(answer: dict[str, Any], seconds: float) -> list[str]:
    """Return what is wrong with an answer; empty if nothing is."""
    found = []
    status = answer.get("statusCode")
    if status not in ALLOWED:
        found.append(f"status {status}")
    if seconds > LIMIT_S:
        found.append(f"{seconds:.1f} s")
    if status == 200 and answer.get("body"):
        body = json.loads(answer["body"])
        if isinstance(body, dict) and "type" in body:
            data = body.get("data") or {}
            if body["type"] not in {1, 4, 5, 6, 7, 8, 9}:
                found.append(f"callback {body['type']}")
            if len(data.get("content") or "") > 2000:
                found.append("content too long")
            if body["type"] in {4, 7} and (data.get("allowed_mentions") or {}).get("parse") != []:
                found.append("may ping")
    return found


class Failures(logging.Handler):
    """Counts failures that the handler caught and answered: they are still faults of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.places: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            frame = traceback.extract_tb(record.exc_info[2])[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            why = str(record.exc_info[1]).partition("\n")[0][:100]
            self.places[f"{type(record.exc_info[1]).__name__} at {place}: {why}"] += 1


def finish_open_jobs() -> None:
    """End queued jobs, so that queues do not stay full and buttons find ended jobs.

    One in five is completed, the others are cancelled, which is faster.
    """
    from jobs import transitions
    from jobs.models import Job
    from jobs.transitions import StoredImage

    while queued := list(Job.objects.filter(status="queued")[:50]):
        now = datetime.now(UTC)
        for job in queued:
            if job.pk % 5 and transitions.cancel(job.pk, by=job.user_id, now=now):
                continue
            transitions.claim(job.pk, worker_id="fuzz", now=now)
            made = [
                StoredImage(index=index, key=f"{job.pk}-{index}", seed=job.seed + index, width=8, height=8, bytes=1)
                for index in range(job.count)
            ]
            transitions.record_images(job.pk, worker_id="fuzz", images=made, grid_key="g", gpu_ms=1, now=now)
            transitions.complete(job.pk, worker_id="fuzz", delivered_via="original", message_id=1, now=now)


def signed(body: bytes, key: SigningKey, chance: random.Random) -> dict[str, str]:
    """Return the headers that Discord sends with `body`; sometimes the signature is invalid."""
    stamp = str(int(time.time()))
    signature = key.sign(stamp.encode() + body).signature.hex()
    if chance.random() < 0.02:
        signature = chance.choice(["", "zz", signature[:-1], "0" * 128])
    return {"X-Signature-Ed25519": signature, "X-Signature-Timestamp": stamp, "Content-Type": "application/json"}


class Fuzz:
    """One run. Django and the database must be set up."""

    def __init__(self, *, count: int, seed: int) -> None:
        from guilds.models import Guild

        self.count, self.seed = count, seed
        self.chance = random.Random(seed)
        self.key = SigningKey(bytes.fromhex(SIGNING_KEY))
        self.guild = Guild.objects.get_or_create(
            pk=910_000_000_000_000_000 + seed % 1000,
            defaults={"name": "Fuzz", "concurrency": 4, "max_waiting": 50, "max_waiting_per_member": 5},
        )[0]
        self.values = drawn_values(seed, 400)
        self.statuses: Counter[str] = Counter()
        self.faults: list[dict[str, Any]] = []
        self.times_s: list[float] = []
        self.failures = Failures()
        self._last = b""
        self._stopping = threading.Event()

    def run(self) -> dict[str, Any]:
        """Send the interactions; return counts and the first faults. A signal ends it early, with its result."""
        from django.db.models import Count

        from jobs.models import Job

        began = time.monotonic()
        jobs_before = Job.objects.count()
        logging.getLogger().addHandler(self.failures)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self._stopping.set())
        for number in range(self.count):
            if self._stopping.is_set():
                break
            self._send(number, self._next_body())
            if number % 100 == 99:
                finish_open_jobs()
            if number % max(1, self.count // 50) == 0:
                self._show_progress(number)
        if repeated := Job.objects.values("interaction_id").annotate(jobs=Count("pk")).filter(jobs__gt=1).count():
            self._note(self.count, [f"{repeated} interactions have more than one job"], b"")
        return self._result(seconds=time.monotonic() - began, jobs=Job.objects.count() - jobs_before)

    def _next_body(self) -> bytes:
        """Return the bytes to send: mostly a mutated payload, sometimes a well-formed one, sometimes the last again."""
        from django.conf import settings

        chance = self.chance
        payload = well_formed(chance, guild=self.guild.pk, application=settings.DISCORD_APPLICATION_ID)
        body = raw_bodies(mutate(payload, chance, self.values) if chance.random() < 0.85 else payload, chance)
        if self._last and chance.random() < 0.05:
            body = self._last
        self._last = body
        return body

    def _send(self, number: int, body: bytes) -> None:
        from devtools.api_gateway import event
        from interactions_lambda.handler import handler

        request = event("POST", "/interactions", signed(body, self.key, self.chance), body)
        started = time.perf_counter()
        try:
            answer = handler(request, None)
        except Exception as error:
            self._note(number, [f"{type(error).__name__} escaped"], body)
            return
        self.times_s.append(time.perf_counter() - started)
        self.statuses[str(answer.get("statusCode"))] += 1
        if found := faults_of(answer, self.times_s[-1]):
            self._note(number, found, body)

    def _note(self, number: int, fault: list[str], body: bytes) -> None:
        self.faults.append({"number": number, "fault": fault, "body": repr(body[:300]) if body else ""})

    def _show_progress(self, number: int) -> None:
        end = "\r" if sys.stderr.isatty() else "\n"
        line = f"{number * 100 // self.count:3d} % of {self.count}, {len(self.faults)} faults"
        print(line, end=end, file=sys.stderr, flush=True)

    def _result(self, *, seconds: float, jobs: int) -> dict[str, Any]:
        times_s = sorted(self.times_s)
        return {
            "interactions": len(times_s),
            "asked_for": self.count,
            "seed": self.seed,
            "seconds": round(seconds),
            "drawn_values": len(self.values),
            "statuses": dict(self.statuses),
            "p50_ms": round(1000 * times_s[len(times_s) // 2], 1),
            "p99_ms": round(1000 * times_s[len(times_s) * 99 // 100], 1),
            "slowest_s": round(times_s[-1], 3),
            "jobs": jobs,
            "failures": dict(self.failures.places),
            "faults": len(self.faults) + self.failures.places.total(),
            "first_faults": self.faults[:20],
        }


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev fuzz", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--count", type=arguments.whole(1), default=20_000, help="number of interactions (default: 20000)"
    )
    parser.add_argument(
        "--seed", type=arguments.whole(0), default=1, help="the same seed sends the same interactions (default: 1)"
    )
    parser.add_argument("--json", type=arguments.file_to_write, help="file for the result")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = read_arguments(argv)
    from devtools import run_directory
    from devtools.embedded_postgres import ensure

    # The Lambda's own settings, with messages that stay in this process.
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.headless",
        "DJANGO_SECRET_KEY": "fuzz-" + "x" * 40,
        "DISCORD_APPLICATION_ID": "1000000000000000001",
        "DISCORD_PUBLIC_KEY": SigningKey(bytes.fromhex(SIGNING_KEY)).verify_key.encode().hex(),
        "JOB_DISPATCHER": "jobs.dispatch.memory.MemoryDispatcher",
        "LOG_LEVEL": "ERROR",
        # Links to images are signed locally.
        "IMAGE_BUCKET": "fuzz",
        "AWS_ACCESS_KEY_ID": "fuzz",
        "AWS_SECRET_ACCESS_KEY": "fuzz",
        "AWS_DEFAULT_REGION": "us-east-1",
    }

    with run_directory.run_folder("fuzz") as folder, ensure(folder) as url:
        os.environ["DATABASE_URL"] = url
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        machine = describe()
        result = {"machine": machine, "at": f"{datetime.now(UTC):%Y-%m-%d}"} | Fuzz(
            count=options.count, seed=options.seed
        ).run()
        from django.db import connections

        connections.close_all()
    text = json.dumps(result, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
