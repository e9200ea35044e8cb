"""What admission reads and writes, one statement each. The caller holds the lock of the guild's row."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, models
from psycopg.types.numeric import Int8

from guilds import gpu_ledger
from guilds.lora_selection import LoraOptions
from guilds.models import Guild
from guilds.policy import GuildPolicy, ModelOptions, StyleOptions
from guilds.pseudonyms import guild_pseudonym, member_pseudonym
from guilds.quota import GUILD_SUBJECT, Counter, Rule, counter_subject
from guilds.quota_clock import Window
from guilds.term_search import TermRules

from . import prepared_statements
from .fair_queue import backlog_parameters
from .job_status import Status
from .models import Job
from .named_queries import load
from .wait_estimate import Backlog


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionData:
    """The facts that admission decides by.

    `existing` is the id of the interaction's job, if there is one. `used` is keyed by (subject_id, window). `spent_ms`
    is the guild's GPU time in this UTC month, including the reservations of open jobs. `active` and `waiting` leave out
    relaxed jobs that are not due. `ahead` is a new job's backlog.
    """

    existing: int | None
    rules: GuildPolicy
    quota: tuple[Rule, ...]
    used: Mapping[tuple[int, str], Counter]
    spent_ms: int
    active: int
    waiting: int
    relaxed_waiting: int
    mine_waiting: int
    mine_relaxed_waiting: int
    ahead: Backlog


@functools.cache
def _facts_query() -> str:
    return load("admission_facts").replace("{backlog}", load("backlog"))


def read(
    guild: Guild,
    *,
    interaction_id: int,
    user_id: int,
    style: str | None,
    names_lora: bool,
    windows: Mapping[str, Window],
    now: datetime,
) -> AdmissionData:
    """Read the facts about a request; usage counters are those of the open `windows`. The guild's row is locked.

    `names_lora`: whether the request names a LoRA itself. They are read only if it or its style does.
    """
    with prepared_statements.cursor() as cursor:
        cursor.execute(
            _facts_query(),
            {
                **backlog_parameters(guild_id=guild.pk, user_id=user_id, now=now),
                "interaction": Int8(interaction_id),
                "style": style or "",
                "windows": list(windows),
                "starts": [window.start for window in windows.values()],
                "erased_user": Int8(member_pseudonym(user_id)),
                "guild_key": Int8(guild_pseudonym(guild.pk)),
                "month": gpu_ledger.month_of(now),
            },
        )
        (facts,) = cursor.fetchone()
        has_loras = names_lora or any(row["loras"] for row in facts["styles"] or [] if row["slug"] == style)
        usable = _read_usable_loras(cursor, guild) if has_loras else []
    return _parse(guild, user_id, facts, usable)


def usable_loras(guild: Guild) -> list[LoraOptions]:
    """Return the LoRAs that the guild may use."""
    with connection.cursor() as cursor:
        return _read_usable_loras(cursor, guild)


def _read_usable_loras(cursor: Any, guild: Guild) -> list[LoraOptions]:
    cursor.execute(load("usable_loras"), {"guild": Int8(guild.pk)})
    names = [column[0] for column in cursor.description]
    return [LoraOptions(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _parse(guild: Guild, user_id: int, facts: dict[str, Any], usable_loras: Sequence[LoraOptions]) -> AdmissionData:
    used: dict[tuple[int, str], Counter] = {}
    for row in facts["usage"] or []:
        # Usage before an erasure of the member's data counts too.
        subject = GUILD_SUBJECT if row.pop("subject_id") == GUILD_SUBJECT else user_id
        key = subject, row.pop("window")
        used[key] = used.get(key, Counter()) + Counter(**row)
    platform = facts["platform"] or {"maintenance": False, "notice": ""}
    terms = facts["terms"] or []
    return AdmissionData(
        existing=facts["existing"],
        rules=GuildPolicy(
            maintenance=platform["maintenance"],
            notice=platform["notice"],
            enabled=guild.enabled and guild.left_at is None,
            allowed_channel_ids=frozenset(guild.allowed_channel_ids),
            allowed_role_ids=frozenset(guild.allowed_role_ids),
            max_waiting=guild.max_waiting,
            max_waiting_per_member=guild.max_waiting_per_member,
            default_steps=guild.default_steps,
            max_steps=guild.max_steps,
            allowed_sizes=guild.allowed_sizes,
            max_images=guild.max_images,
            default_negative_prompt=guild.default_negative_prompt,
            nsfw_rule=guild.nsfw_rule,
            results_ephemeral=guild.results_ephemeral,
            switched_off=frozenset(guild.switched_off),
            ban_reason=facts["ban"][0] if facts["ban"] else None,
            blocked_terms={folded: phrase for folded, phrase, nsfw, allowed, _ in terms if not (nsfw or allowed)},
            nsfw_terms={folded: phrase for folded, phrase, nsfw, allowed, _ in terms if nsfw and not allowed},
            term_rules=TermRules(
                platform_terms=frozenset(folded for folded, _, _, allowed, own in terms if not (allowed or own)),
                platform_exceptions=frozenset(folded for folded, _, _, allowed, own in terms if allowed and not own),
                exceptions=frozenset(folded for folded, _, _, allowed, own in terms if allowed and own),
                spaced_too=guild.find_spaced_letters,
            ),
            models=[ModelOptions(**row) for row in facts["models"] or []],
            styles=[StyleOptions(**row) for row in facts["styles"] or []],
            loras=usable_loras,
        ),
        quota=tuple(Rule(**row) for row in facts["quota"] or []),
        used=used,
        spent_ms=(facts["used_ms"] or 0) + int(facts["open"]["reserved_ms"]),
        active=facts["open"]["active"],
        waiting=facts["open"]["waiting"],
        relaxed_waiting=facts["open"]["later"],
        mine_waiting=facts["open"]["mine"],
        mine_relaxed_waiting=facts["open"]["mine_later"],
        ahead=Backlog(**facts["ahead"], active=facts["open"]["active"]),
    )


# Columns that are set later, with their first values as SQL: psycopg caches statements of at most 50 parameters.
_LATER_COLUMNS = {
    **dict.fromkeys(("reason", "detail", "worker_id", "grid_key", "delivered_via", "erasure"), "''"),
    **dict.fromkeys(("attempts", "progress_step", "progress_total", "gpu_ms"), "0"),
    **dict.fromkeys(("lease_expires_at", "cancel_requested_at", "started_at", "images_stored_at", "ended_at"), "NULL"),
    **dict.fromkeys(("message_id", "notified_at", "notify_after", "refunded_at", "settled_at"), "NULL"),
    "usage_ids": "(SELECT array_agg(id) FROM usage)",
}


@functools.cache
def _parameter_columns() -> tuple[str, ...]:
    return tuple(
        field.attname
        for field in Job._meta.concrete_fields
        if not field.primary_key and field.attname not in _LATER_COLUMNS
    )


@functools.cache
def _insert_query() -> str:
    # A foreign key's column has the name of its attribute.
    columns = {name: f"%({name})s" for name in _parameter_columns()} | _LATER_COLUMNS
    names = ", ".join(f'"{name}"' for name in columns)
    return load("insert_job").replace("{columns}", names).replace("{values}", ", ".join(columns.values()))


def write(job: Job, windows: Mapping[str, Window], channel_rules: Sequence[Rule] = ()) -> None:
    """Insert the new job, waiting or queued, with its reserved usage. Set its id and `usage_ids`.

    `channel_rules`: the rules for its channel that apply, whose counters it uses too.

    Raises IntegrityError if the interaction has a job already.
    """
    counters: list[tuple[int, int | None, str]] = [
        (subject, None, name) for subject in (GUILD_SUBJECT, job.user_id) for name in windows
    ]
    for rule in channel_rules:
        counters.append((counter_subject(rule, job.user_id), rule.channel_id, rule.window))
    counters = list(dict.fromkeys(counters))
    kinds = [Status.WAITING.value, Status.QUEUED.value] if job.queued_at else [Status.WAITING.value]
    values = {name: _jsonable(getattr(job, name)) for name in _parameter_columns()} | {
        "subjects": [Int8(subject) for subject, _, _ in counters],
        "channels": [channel if channel is None else Int8(channel) for _, channel, _ in counters],
        "windows": [name for _, _, name in counters],
        "starts": [windows[name].start for _, _, name in counters],
        "kinds": kinds,
        "old_statuses": ["", Status.WAITING.value][: len(kinds)],
    }
    with prepared_statements.cursor() as cursor:
        cursor.execute(_insert_query(), values)
        job.pk, job.usage_ids = cursor.fetchone()
    job._state.adding = False
    job._state.db = connection.alias


def _jsonable(value: Any) -> Any:
    # psycopg types an int by its size; with one type there is one prepared statement for all values.
    return Int8(value) if type(value) is int else str(value) if isinstance(value, models.Choices) else value
