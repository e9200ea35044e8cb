"""What admission reads and writes, in one statement each, under the lock of the guild's row (jobs.guild_lock)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, models
from psycopg.types.numeric import Int8

from guilds import gpu_ledger
from guilds.models import Guild
from guilds.policy import GuildPolicy, ModelOptions, StyleOptions
from guilds.pseudonyms import guild_pseudonym, member_pseudonym
from guilds.quota import GUILD_SUBJECT, Counter, Rule
from guilds.quota_clock import Window

from . import prepared_statements
from .fair_queue import AHEAD, Backlog, backlog_ahead_of
from .lifecycle import Status
from .models import Job

# One round trip instead of nine. Every part is an index look-up; none grows with the guild's history.
_FACTS = """
SELECT json_build_object(
  'existing', (SELECT id FROM jobs_job WHERE interaction_id = %(interaction)s),
  'platform', (SELECT json_build_object('maintenance', maintenance, 'notice', notice)
               FROM guilds_platform WHERE id = 1),
  'ban', (SELECT json_build_array(reason) FROM guilds_ban
          WHERE user_id = %(user)s AND (guild_id = %(guild)s OR guild_id IS NULL) AND (until IS NULL OR until > %(now)s)
          LIMIT 1),
  'terms', (SELECT json_agg(json_build_array(folded, phrase, nsfw)) FROM (
              SELECT folded, phrase, nsfw FROM guilds_blockedterm WHERE guild_id = %(guild)s
              UNION ALL SELECT folded, phrase, nsfw FROM guilds_blockedterm WHERE guild_id IS NULL) AS term),
  'models', (SELECT json_agg(model ORDER BY id) FROM (
               SELECT id, slug, name, default_steps, max_steps, default_guidance, default_sampler, sizes,
                      coalesce(learned_gpu_ms_per_step, gpu_ms_per_step) AS gpu_ms_per_step, is_default
               FROM guilds_modelprofile m
               WHERE enabled AND (
                 NOT EXISTS (SELECT 1 FROM guilds_guild_models_offered o WHERE o.guild_id = %(guild)s)
                 OR EXISTS (SELECT 1 FROM guilds_guild_models_offered o
                            WHERE o.guild_id = %(guild)s AND o.modelprofile_id = m.id))) AS model),
  'styles', (SELECT json_agg(style) FROM (
               SELECT slug, template, negative_prompt FROM guilds_stylepreset
               WHERE guild_id = %(guild)s AND slug = %(style)s AND enabled
               UNION ALL SELECT slug, template, negative_prompt FROM guilds_stylepreset
               WHERE guild_id IS NULL AND slug = %(style)s AND enabled
               -- Named in the refusal of a style that is not there.
               UNION ALL (SELECT slug, template, negative_prompt FROM guilds_stylepreset
                          WHERE %(style)s <> '' AND (guild_id = %(guild)s OR guild_id IS NULL) AND enabled
                          ORDER BY slug LIMIT 25)) AS style),
  'quota', (SELECT json_agg(rule) FROM (
              SELECT subject, role_id, role_name, metric, "window", "limit" FROM guilds_quotarule
              WHERE guild_id = %(guild)s) AS rule),
  -- OFFSET 0 keeps each window's look-up by itself: joined as one, all that the guild ever counted would be walked.
  'usage', (SELECT json_agg(counter) FROM (
              SELECT used.subject_id, used."window", pictures, gpu_ms, granted_pictures, granted_gpu_ms
              FROM unnest(%(windows)s::text[], %(starts)s::timestamptz[]) AS open("window", starts_at)
              CROSS JOIN LATERAL (
                SELECT * FROM guilds_usage u
                WHERE u.guild_id = %(guild)s AND u.subject_id IN (0, %(user)s, %(erased_user)s)
                  AND u."window" = open."window" AND u.starts_at = open.starts_at
                OFFSET 0) AS used) AS counter),
  'used_ms', (SELECT used_ms FROM guilds_gpuledger WHERE guild_key = %(guild_key)s AND month = %(month)s::date),
  'open', (SELECT json_build_object(
             'active', count(*) FILTER (WHERE status IN ('queued', 'running')),
             'waiting', count(*) FILTER (WHERE status = 'waiting'),
             'reserved_ms', coalesce(sum(reserved_gpu_ms) FILTER (WHERE images_stored_at IS NULL), 0),
             'mine', count(*) FILTER (WHERE status = 'waiting' AND user_id = %(user)s))
           FROM jobs_job WHERE guild_id = %(guild)s AND status IN ('waiting', 'queued', 'running')),
  'ahead', {ahead}
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionData:
    """`existing` is the job of the same interaction; `ahead` is of a new job.

    `used` is keyed by (subject_id, window). `spent_ms` is the guild's GPU time of this UTC month, with what its open
    jobs have reserved.
    """

    existing: int | None
    rules: GuildPolicy
    quota: tuple[Rule, ...]
    used: Mapping[tuple[int, str], Counter]
    spent_ms: int
    active: int
    waiting: int
    mine_waiting: int
    ahead: Backlog


@functools.cache
def _query() -> str:
    return prepared_statements.minify(_FACTS.format(ahead=AHEAD))


def read(
    guild: Guild,
    *,
    interaction_id: int,
    user_id: int,
    style: str | None,
    windows: Mapping[str, Window],
    now: datetime,
) -> AdmissionData:
    """Read all that decides about a request of a guild whose row is locked; its counters in the open `windows`."""
    with prepared_statements.cursor() as cursor:
        cursor.execute(
            _query(),
            {
                **backlog_ahead_of(guild_id=guild.pk, user_id=user_id, now=now),
                "interaction": Int8(interaction_id),
                "style": style or "",
                "now": now,
                "windows": list(windows),
                "starts": [window.start for window in windows.values()],
                "erased_user": Int8(member_pseudonym(user_id)),
                "guild_key": Int8(guild_pseudonym(guild.pk)),
                "month": gpu_ledger.month_of(now),
            },
        )
        (found,) = cursor.fetchone()
    return _parse(guild, user_id, found)


def _parse(guild: Guild, user_id: int, found: dict[str, Any]) -> AdmissionData:
    used: dict[tuple[int, str], Counter] = {}
    for row in found["usage"] or []:
        # What a member used before they erased their data counts as theirs.
        subject = GUILD_SUBJECT if row.pop("subject_id") == GUILD_SUBJECT else user_id
        key = subject, row.pop("window")
        used[key] = used.get(key, Counter()) + Counter(**row)
    platform = found["platform"] or {"maintenance": False, "notice": ""}
    terms = found["terms"] or []
    return AdmissionData(
        existing=found["existing"],
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
            max_pictures=guild.max_pictures,
            default_negative_prompt=guild.default_negative_prompt,
            nsfw_rule=guild.nsfw_rule,
            results_ephemeral=guild.results_ephemeral,
            ban_reason=found["ban"][0] if found["ban"] else None,
            blocked_terms={folded: phrase for folded, phrase, nsfw in terms if not nsfw},
            nsfw_terms={folded: phrase for folded, phrase, nsfw in terms if nsfw},
            models=[ModelOptions(**row) for row in found["models"] or []],
            styles=[StyleOptions(**row) for row in found["styles"] or []],
        ),
        quota=tuple(Rule(**row) for row in found["quota"] or []),
        used=used,
        spent_ms=(found["used_ms"] or 0) + int(found["open"]["reserved_ms"]),
        active=found["open"]["active"],
        waiting=found["open"]["waiting"],
        mine_waiting=found["open"]["mine"],
        ahead=Backlog(**found["ahead"]),
    )


# The job with all that belongs to it: what it holds of the counters, its first events, its member's turn. Foreign keys
# are checked at the commit, so nothing here waits for anything else.
_WRITE = """
WITH usage AS (
  INSERT INTO guilds_usage AS u (guild_id, subject_id, "window", starts_at, pictures, gpu_ms,
                                 granted_pictures, granted_gpu_ms)
  SELECT %(guild_id)s::bigint, counter.subject_id, counter."window", counter.starts_at,
         %(reserved_pictures)s::bigint, %(reserved_gpu_ms)s::bigint, 0, 0
  FROM unnest(%(subjects)s::bigint[], %(windows)s::text[], %(starts)s::timestamptz[])
         AS counter(subject_id, "window", starts_at)
  ON CONFLICT (guild_id, subject_id, "window", starts_at)
    DO UPDATE SET pictures = u.pictures + excluded.pictures, gpu_ms = u.gpu_ms + excluded.gpu_ms
  RETURNING u.id
), job AS (
  INSERT INTO jobs_job ({columns})
  VALUES ({values})
  RETURNING id, usage_ids
), events AS (
  INSERT INTO jobs_jobevent (job_id, at, kind, old_status, detail)
  SELECT job.id, %(created_at)s::timestamptz, e.kind, e.old_status, '{{}}'
  FROM job, unnest(%(kinds)s::text[], %(old_statuses)s::text[]) WITH ORDINALITY AS e(kind, old_status, place)
  ORDER BY e.place
), turn AS (
  INSERT INTO jobs_memberturn (guild_id, user_id, served_at)
  SELECT %(guild_id)s::bigint, %(user_id)s::bigint, %(queued_at)s::timestamptz
  WHERE %(queued_at)s::timestamptz IS NOT NULL
  ON CONFLICT (guild_id, user_id) DO UPDATE SET served_at = excluded.served_at
)
SELECT id, usage_ids FROM job
"""

# What comes later in a job's life stands in the statement as it is at the start: psycopg keeps a statement in its
# parsed form only up to 50 parameters.
_LATER = {
    **dict.fromkeys(("reason", "detail", "worker_id", "grid_key", "delivered_via"), "''"),
    **dict.fromkeys(("attempts", "progress_step", "progress_total", "gpu_ms"), "0"),
    **dict.fromkeys(("lease_expires_at", "cancel_requested_at", "started_at", "images_stored_at", "ended_at"), "NULL"),
    **dict.fromkeys(("message_id", "notified_at", "refunded_at", "settled_at"), "NULL"),
    "usage_ids": "(SELECT array_agg(id) FROM usage)",
}


@functools.cache
def _named_tuple() -> tuple[str, ...]:
    return tuple(
        field.attname for field in Job._meta.concrete_fields if not field.primary_key and field.attname not in _LATER
    )


@functools.cache
def _write() -> str:
    # Every foreign key's column is named as its attribute is.
    columns = {name: f"%({name})s" for name in _named_tuple()} | _LATER
    names = ", ".join(f'"{name}"' for name in columns)
    return prepared_statements.minify(_WRITE.format(columns=names, values=", ".join(columns.values())))


def write(job: Job, windows: Mapping[str, Window]) -> None:
    """Insert the new `job`, waiting or queued, reserve what it holds and set its id and its `usage_ids`.

    Raises IntegrityError where the interaction has a job already.
    """
    counters = [(subject, name) for subject in (GUILD_SUBJECT, job.user_id) for name in windows]
    kinds = [Status.WAITING.value, Status.QUEUED.value] if job.queued_at else [Status.WAITING.value]
    values = {name: _jsonable(getattr(job, name)) for name in _named_tuple()} | {
        "subjects": [Int8(subject) for subject, _ in counters],
        "windows": [name for _, name in counters],
        "starts": [windows[name].start for _, name in counters],
        "kinds": kinds,
        "old_statuses": ["", Status.WAITING.value][: len(kinds)],
    }
    with prepared_statements.cursor() as cursor:
        cursor.execute(_write(), values)
        job.pk, job.usage_ids = cursor.fetchone()
    job._state.adding = False
    job._state.db = connection.alias


def _jsonable(value: Any) -> Any:
    # A number's size would else be part of the statement's name: one plan, not one for each combination.
    return Int8(value) if type(value) is int else str(value) if isinstance(value, models.Choices) else value
