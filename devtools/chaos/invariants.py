"""Invariants after a run, checked from outside: rows, storage, queue, logs, and what members saw."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from discord_api import custom_id

from . import example_guilds
from .environment import ChaosEnvironment, say
from .failing_engine import Poison
from .request_buttons import is_open

# Reasons that only requests which break engines may fail with.
POISONED = {"engine_failed", "model_unavailable", "not_possible"}
FINAL = {"completed", "failed", "cancelled", "expired"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """One invariant. `broken` describes up to ten violations; empty when it holds."""

    name: str
    checked: int
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.broken


@dataclass(slots=True, kw_only=True)
class Observed:
    """Observations made during the run; one entry for each injected fault of the kind."""

    most_active: list[int] = field(default_factory=list)
    """Requests active at once at a month's boundary, in the server whose concurrency is 1."""
    erased_in_outage: list[bool] = field(default_factory=list)
    """Whether upkeep erased what was due before Discord was back."""
    closed_at: datetime | None = None
    """Since when nothing can be delivered in the closed server."""


def platform_rows(url: str) -> dict[str, list[dict[str, Any]]]:
    """Read the platform's own rows."""
    with psycopg.connect(url, row_factory=dict_row, connect_timeout=10) as connection:
        return {
            "jobs": connection.execute("SELECT * FROM jobs_job WHERE status <> 'refused' ORDER BY id").fetchall(),
            "images": connection.execute("SELECT * FROM jobs_jobimage ORDER BY job_id, index").fetchall(),
            "usage": connection.execute("SELECT * FROM guilds_usage").fetchall(),
            "ends": connection.execute(
                "SELECT job_id, count(*) AS n FROM jobs_jobevent WHERE kind = ANY(%s) GROUP BY job_id", [list(FINAL)]
            ).fetchall(),
        }


def outside_rows(url: str) -> list[dict[str, Any]]:
    """Read the messages that are visible in Discord, and how many attachments each has."""
    with psycopg.connect(url, row_factory=dict_row, connect_timeout=10) as connection:
        return connection.execute(
            """
            SELECT m.id, m.content, m.components::text AS components, m.interaction_id, m.channel_id,
                   (SELECT count(*) FROM simulator_simattachment a WHERE a.message_id = m.id) AS attachments
            FROM simulator_simmessage m WHERE m.deleted_at IS NULL
            """
        ).fetchall()


def check(
    *, accepted: set[int], platform: dict[str, list[dict[str, Any]]], messages: list[dict[str, Any]], media: Path,
    dead_letters: list[str], logs: Path, secrets: Iterable[str], observed: Observed,
) -> list[Invariant]:  # fmt: skip
    """Return every invariant. `accepted`: the interactions that were answered with "Submitted"."""
    jobs = platform["jobs"]
    by_interaction = {job["interaction_id"]: job for job in jobs}
    images: dict[int, list[dict[str, Any]]] = {}
    for image in platform["images"]:
        images.setdefault(image["job_id"], []).append(image)
    completed = [job for job in jobs if job["status"] == "completed"]
    return [
        _named("accepted requests have a row", accepted, lambda each: each in by_interaction),
        *_ends(jobs, platform["ends"], messages, images, observed),
        _within_quota(completed),
        _named("one request at a time on both sides of a month's boundary", observed.most_active, lambda n: n <= 1),
        _named("upkeep erased what was due while Discord was down", observed.erased_in_outage, lambda erased: erased),
        _named("no message still says that it is waiting or being made", messages, lambda m: not _unfinished(m)),
        *_results(jobs, completed, images, media),
        _quota(jobs, platform["usage"]),
        _named("settled once it has ended", jobs, lambda job: job["settled_at"] is not None),
        _named("no lease is left", jobs, lambda job: job["lease_expires_at"] is None),
        _named("no token is left", jobs, lambda job: not job["encrypted_token"]),
        _silent(logs, secrets),
        _named("nothing lies in the dead-letter queue", dead_letters, lambda body: False),
    ]


def _ends(
    jobs: list[dict[str, Any]], ends: list[dict[str, Any]], messages: list[dict[str, Any]],
    images: dict[int, list[dict[str, Any]]], observed: Observed,
) -> list[Invariant]:  # fmt: skip
    """Every request ended once, and its requester saw that once."""
    times_ended = {row["job_id"]: row["n"] for row in ends}
    final_messages = told_ends(jobs, messages)
    return [
        _named("every request has ended", jobs, lambda job: job["status"] in FINAL),
        _named("every request ended once", jobs, lambda job: times_ended.get(job["id"]) == 1),
        _named(
            "each requester saw exactly one final message, or the row says why none",
            [job for job in jobs if job["guild_id"] != example_guilds.CLOSED.id],
            lambda job: final_messages[job["id"]] == (0 if job["delivered_via"] == "gallery" else 1),
        ),
        _named(
            "where nothing can be delivered, images are kept in the gallery and other ends have a reason",
            _closed(jobs, observed),
            lambda job: (
                job["notified_at"] is not None
                and (bool(images.get(job["id"])) if job["status"] == "completed" else bool(job["reason"]))
            ),
        ),
        _named(
            "only where nothing can be delivered, an end stayed in the gallery",
            [job for job in jobs if job["delivered_via"] == "gallery"],
            lambda job: job["guild_id"] == example_guilds.CLOSED.id,
        ),
    ]


def _results(
    jobs: list[dict[str, Any]], completed: list[dict[str, Any]], images: dict[int, list[dict[str, Any]]], media: Path
) -> list[Invariant]:
    """Completed requests have their images, and only requests that break engines failed."""
    return [
        _named(
            "as many images as promised, each once, all in storage",
            completed,
            lambda job: (
                [image["index"] for image in images.get(job["id"], [])] == list(range(job["count"]))
                and all((media / image["key"]).is_file() for image in images[job["id"]])
                and (media / job["grid_key"]).is_file()
            ),
        ),
        _named(
            "the images have the requested seeds",
            completed,
            lambda job: (
                [image["seed"] for image in images[job["id"]]]
                == [job["seed"] + number for number in range(job["count"])]
            ),
        ),
        _named(
            "requests that no worker can make failed with a reason, unless they were cancelled",
            [job for job in jobs if is_poisoned(job["prompt"])],
            lambda job: job["status"] == "cancelled" or (job["status"] == "failed" and job["reason"]),
        ),
        _named(
            "every other request was made, or cancelled",
            [job for job in jobs if not is_poisoned(job["prompt"]) and job["reason"] in POISONED],
            lambda job: False,
        ),
    ]


def check_environment(
    environment: ChaosEnvironment, *, accepted: set[int], platform: dict[str, list[dict[str, Any]]], observed: Observed
) -> list[Invariant]:
    """Return every invariant of an environment that has drained, and print each with what breaks it."""
    invariants = check(
        accepted=accepted,
        platform=platform,
        messages=outside_rows(environment.outside_db.direct),
        media=environment.folder / "local" / "media",
        dead_letters=environment.dead_letters(),
        logs=environment.logs,
        secrets=environment.secrets(),
        observed=observed,
    )
    for invariant in invariants:
        say(f"{'holds ' if invariant.holds else 'BROKEN'}  {invariant.name} ({invariant.checked})")
        for line in invariant.broken:
            say(f"          {line}")
    return invariants


def _silent(logs: Path, secrets: Iterable[str]) -> Invariant:
    """No process's log holds a token, a prompt or a member's name."""
    written = {log.name: log.read_text(errors="replace") for log in logs.glob("*.log")}
    told = set(secrets)
    # The output must not name the secret either.
    broken = [name for name, text in written.items() if any(secret in text for secret in told)]
    return Invariant(name="no log holds a token, a prompt or a name", checked=len(told), broken=broken)


def told_ends(jobs: list[dict[str, Any]], messages: list[dict[str, Any]]) -> Counter[int]:
    """Return how many messages show each job's end, by job id.

    Counted are the job's reply, and messages in its channel with the job's id in a button."""
    by_interaction = {job["interaction_id"]: job["id"] for job in jobs}
    by_message = {job["message_id"]: job["id"] for job in jobs if job["message_id"]}
    told: Counter[int] = Counter()
    for message in messages:
        if _unfinished(message):
            continue
        job_id = by_interaction.get(message["interaction_id"]) or by_message.get(message["id"])
        if job_id is None and message["interaction_id"] is None:
            # An answer to another interaction, such as /sparkle-show, is no final message.
            job_id = _named_job(message)
        if job_id:
            told[job_id] += 1
    return told


def _closed(jobs: list[dict[str, Any]], observed: Observed) -> list[dict[str, Any]]:
    closed_at = observed.closed_at
    if closed_at is None:
        return []
    return [job for job in jobs if job["guild_id"] == example_guilds.CLOSED.id and job["created_at"] >= closed_at]


def _within_quota(completed: list[dict[str, Any]]) -> Invariant:
    """No member has more than the month's images, no server more than the day's, in any time zone.

    A server's images are in one window, unless the run passes midnight in UTC.
    """
    made: Counter[tuple[str, int, int]] = Counter()
    limits: dict[tuple[str, int, int], int] = {}
    periods: dict[tuple[str, int, int], set[str]] = {}
    for job in completed:
        for server in (each for each in (example_guilds.LIMITED, example_guilds.SINGLE) if each.id == job["guild_id"]):
            at = job["created_at"].astimezone(UTC)
            for name, subject, limit, period in (
                ("month", job["user_id"], server.month, f"{at:%Y-%m}"),
                ("day", 0, server.day, f"{at:%Y-%m-%d}"),
            ):
                if limit is not None:
                    key = (name, server.id, subject)
                    made[key] += job["count"]
                    limits[key] = limit
                    periods.setdefault(key, set()).add(period)
    broken = [
        f"{name}'s quota of {limits[key]} in server {server}, subject {subject}: {made[key]} images"
        for key in made
        for name, server, subject in [key]
        if made[key] > limits[key] * len(periods[key])
    ]
    return Invariant(name="no quota was exceeded across a month or a time zone", checked=len(made), broken=broken[:10])


def is_poisoned(prompt: str) -> bool:
    """Whether the request was sent to break engines."""
    return any(poison in prompt for poison in Poison)


def _named_job(message: dict[str, Any]) -> int | None:
    for row in json.loads(message["components"]):
        for component in row.get("components", []):
            action = custom_id.parse(component.get("custom_id", ""))
            if action is not None:
                return action.job_id
    return None


def _unfinished(message: dict[str, Any]) -> bool:
    return is_open(json.loads(message["components"]))


def _named(name: str, things: Any, holds: Any) -> Invariant:
    things = list(things)
    broken = [_label(thing) for thing in things if not holds(thing)]
    return Invariant(name=name, checked=len(things), broken=broken[:10])


def _label(thing: Any) -> str:
    if isinstance(thing, dict):
        kept = ("id", "status", "reason", "delivered_via", "attempts", "message_id", "interaction_id", "content")
        return ", ".join(f"{key}={str(thing[key])[:60]}" for key in kept if key in thing)
    return str(thing)[:100]


def _quota(jobs: list[dict[str, Any]], usage: list[dict[str, Any]]) -> Invariant:
    """Counters equal what the jobs used: images of completed ones, GPU time as measured at any end."""
    images: Counter[tuple[int, int]] = Counter()
    gpu_ms: Counter[tuple[int, int]] = Counter()
    for job in jobs:
        if job["status"] != "refused":
            for subject in (0, job["user_id"]):
                images[job["guild_id"], subject] += job["count"] if job["status"] == "completed" else 0
                gpu_ms[job["guild_id"], subject] += job["gpu_ms"]
    broken = []
    counted: dict[tuple[int, int, str], tuple[int, int]] = {}
    for row in usage:
        key = (row["guild_id"], row["subject_id"], row["window"])
        before = counted.get(key, (0, 0))
        counted[key] = (before[0] + row["images"], before[1] + row["gpu_ms"])
    for (guild, subject, window), (made, spent) in counted.items():
        if (made, spent) != (images[guild, subject], gpu_ms[guild, subject]):
            broken.append(f"guild {guild}, subject {subject}, {window}: {made} images counted, "
                          f"{images[guild, subject]} delivered; {spent} ms, {gpu_ms[guild, subject]} ms")  # fmt: skip
    return Invariant(name="quota equals what was delivered", checked=len(counted), broken=broken[:10])
