"""What admission reads and writes, in one statement each.

Reading locks nothing. Writing locks the guild's row, and writes nothing where another of the guild's requests was
admitted since: the guild's counter of this month, which each of them raises, is no longer as it was read. Who was too
late, and who must wait in the guild's line, reads again under the lock (jobs/actions.py).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, models
from psycopg.types.numeric import Int8

from guilds.models import Guild
from guilds.policy import ModelFacts, Rules, StyleFacts
from guilds.quota import GUILD_SUBJECT, Rule, Used, starts

from . import prepared
from .lifecycle import Status
from .line import AHEAD, Ahead, ahead_of
from .models import Job

# One round trip instead of nine. Every part is an index look-up; none grows with the guild's history.
_FACTS = """
SELECT {columns}, json_build_object(
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
                      gpu_ms_per_step, is_default
               FROM guilds_modelprofile m
               WHERE enabled AND (
                 NOT EXISTS (SELECT 1 FROM guilds_guild_models_offered o WHERE o.guild_id = %(guild)s)
                 OR EXISTS (SELECT 1 FROM guilds_guild_models_offered o
                            WHERE o.guild_id = %(guild)s AND o.modelprofile_id = m.id))) AS model),
  'styles', (SELECT json_agg(style) FROM (
               SELECT slug, template, negative_prompt FROM guilds_stylepreset
               WHERE guild_id = %(guild)s AND slug = %(style)s AND enabled
               UNION ALL SELECT slug, template, negative_prompt FROM guilds_stylepreset
               WHERE guild_id IS NULL AND slug = %(style)s AND enabled) AS style),
  'quota', (SELECT json_agg(rule) FROM (
              SELECT subject, role_id, role_name, metric, "window", "limit" FROM guilds_quotarule
              WHERE guild_id = %(guild)s) AS rule),
  -- A day and a month begin by the guild's clock, which is not known yet: the last two of each are read. OFFSET 0 keeps
  -- each window's look-up by itself: joined as one, all that the guild ever counted would be walked.
  'usage', (SELECT json_agg(counter) FROM (
              SELECT id, version, subject_id, used."window", extract(epoch FROM starts_at)::bigint AS starts_at,
                     pictures, gpu_ms, granted_pictures, granted_gpu_ms
              FROM (VALUES ('hour', %(now)s::timestamptz - interval '1 hour'),
                           ('day', %(now)s::timestamptz - interval '26 hours'),
                           ('month', %(now)s::timestamptz - interval '32 days')) AS recent("window", since)
              CROSS JOIN LATERAL (
                SELECT *, xmin::text AS version FROM guilds_usage u
                WHERE u.guild_id = %(guild)s AND u.subject_id IN (0, %(user)s) AND u."window" = recent."window"
                  AND u.starts_at > recent.since
                OFFSET 0) AS used) AS counter),
  'open', (SELECT json_build_object(
             'active', count(*) FILTER (WHERE status IN ('queued', 'running')),
             'waiting', count(*) FILTER (WHERE status = 'waiting'),
             'mine', count(*) FILTER (WHERE status = 'waiting' AND user_id = %(user)s))
           FROM jobs_job WHERE guild_id = %(guild)s AND status IN ('waiting', 'queued', 'running')),
  'ahead', {ahead}
)
FROM guilds_guild WHERE id = %(guild)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The guild's counter of this month, which every admitted request raises: its id, and its row's version.

    PostgreSQL names a row's version by the transaction that wrote it (xmin).
    """

    counter: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`existing` is the job of the same interaction; `begun` has each window's start by the guild's clock.

    `used` is keyed by (subject_id, window); `seen` is None until the month's first request; `ahead` is of a new job.
    """

    existing: int | None
    rules: Rules
    quota: tuple[Rule, ...]
    begun: dict[str, datetime]
    used: dict[tuple[int, str], Used]
    seen: Seen | None
    active: int
    waiting: int
    mine_waiting: int
    ahead: Ahead


@functools.cache
def _facts() -> str:
    columns = ", ".join(f'"{field.column}"' for field in Guild._meta.concrete_fields)
    return prepared.short(_FACTS.format(columns=columns, ahead=AHEAD))


_LOCK = "SELECT 1 FROM guilds_guild WHERE id = %(guild)s FOR NO KEY UPDATE"


def lock_guild(guild_id: int) -> None:
    """Lock the guild's row, if there is one, until the transaction ends: what is read then stays true so long."""
    with prepared.cursor() as cursor:
        cursor.execute(_LOCK, {"guild": Int8(guild_id)})


def read(guild_id: int, *, interaction_id: int, user_id: int, style: str | None, now: datetime) -> tuple[Guild, Facts]:
    """Read all that decides about a request. Raises Guild.DoesNotExist."""
    with prepared.cursor() as cursor:
        cursor.execute(
            _facts(),
            {
                **ahead_of(guild_id=guild_id, user_id=user_id, now=now),
                "interaction": Int8(interaction_id),
                "style": style or "",
                "now": now,
            },
        )
        row = cursor.fetchone()
    if row is None:
        raise Guild.DoesNotExist(f"no guild {guild_id}")
    *columns, found = row
    guild = Guild.from_db(connection.alias, [field.attname for field in Guild._meta.concrete_fields], columns)
    return guild, _understood(guild, found, now=now)


def _understood(guild: Guild, found: dict[str, Any], *, now: datetime) -> Facts:
    begun = starts(now, guild.time_zone)
    counters = {
        (row.pop("subject_id"), window): (Seen(counter=row.pop("id"), version=row.pop("version")), Used(**row))
        for row in found["usage"] or []
        if row.pop("starts_at") == begun[window := row.pop("window")].timestamp()
    }
    seen, _ = counters.get((GUILD_SUBJECT, "month"), (None, None))
    platform = found["platform"] or {"maintenance": False, "notice": ""}
    terms = found["terms"] or []
    return Facts(
        existing=found["existing"],
        rules=Rules(
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
            models=[ModelFacts(**row) for row in found["models"] or []],
            styles=[StyleFacts(**row) for row in found["styles"] or []],
        ),
        quota=tuple(Rule(**row) for row in found["quota"] or []),
        begun=begun,
        used={key: used for key, (_, used) in counters.items()},
        seen=seen,
        active=found["open"]["active"],
        waiting=found["open"]["waiting"],
        mine_waiting=found["open"]["mine"],
        ahead=Ahead(**found["ahead"]),
    )


# The guild's row first, as everywhere, so that nobody waits for whom he keeps waiting. Then its month's counter, by
# compare-and-set: a row that had to be waited for is compared as it is then, not as it was when the statement began.
# https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED
_RAISE = """
  UPDATE guilds_usage u
  SET pictures = u.pictures + %(reserved_pictures)s::bigint, gpu_ms = u.gpu_ms + %(reserved_gpu_ms)s::bigint
  FROM guild
  WHERE u.id = %(counter)s AND u.guild_id = guild.id AND u.xmin = %(version)s::xid
  RETURNING u.id"""
_COUNT = """
  INSERT INTO guilds_usage AS u (guild_id, subject_id, "window", starts_at, pictures, gpu_ms,
                                 granted_pictures, granted_gpu_ms)
  SELECT guild.id, 0, 'month', %(month)s::timestamptz, %(reserved_pictures)s::bigint, %(reserved_gpu_ms)s::bigint, 0, 0
  FROM guild
  ON CONFLICT (guild_id, subject_id, "window", starts_at) """
_ADD = "DO UPDATE SET pictures = u.pictures + excluded.pictures, gpu_ms = u.gpu_ms + excluded.gpu_ms"
_FIRST = f"{_COUNT} DO NOTHING RETURNING u.id"
_LOCKED = f"{_COUNT} {_ADD} RETURNING u.id"

# The job with all that belongs to it: what it holds of the counters, its first events, its member's turn. Foreign keys
# are checked at the commit, so nothing here waits for anything else.
_WRITE = f"""
WITH guild AS MATERIALIZED (
  SELECT id FROM guilds_guild WHERE id = %(guild_id)s FOR NO KEY UPDATE
), month AS ({{month}}
), usage AS (
  INSERT INTO guilds_usage AS u (guild_id, subject_id, "window", starts_at, pictures, gpu_ms,
                                 granted_pictures, granted_gpu_ms)
  SELECT %(guild_id)s::bigint, other.subject_id, other."window", other.starts_at, %(reserved_pictures)s::bigint,
         %(reserved_gpu_ms)s::bigint, 0, 0
  FROM month, unnest(%(subjects)s::bigint[], %(windows)s::text[], %(starts)s::timestamptz[])
                AS other(subject_id, "window", starts_at)
  ON CONFLICT (guild_id, subject_id, "window", starts_at) {_ADD}
  RETURNING u.id
), job AS (
  INSERT INTO jobs_job ({{columns}})
  SELECT {{values}} FROM month
  RETURNING id, usage_ids
), events AS (
  INSERT INTO jobs_jobevent (job_id, at, kind, old_status, detail)
  SELECT job.id, %(created_at)s::timestamptz, e.kind, e.old_status, '{{{{}}}}'
  FROM job, unnest(%(kinds)s::text[], %(old_statuses)s::text[]) WITH ORDINALITY AS e(kind, old_status, place)
  ORDER BY e.place
), turn AS (
  INSERT INTO jobs_turn (guild_id, user_id, served_at)
  SELECT %(guild_id)s::bigint, %(user_id)s::bigint, %(queued_at)s::timestamptz
  FROM month WHERE %(queued_at)s::timestamptz IS NOT NULL
  ON CONFLICT (guild_id, user_id) DO UPDATE SET served_at = excluded.served_at
)
SELECT id, usage_ids FROM job
"""  # noqa: S608  # nosec B608  # our own text
_SETTLE = """
UPDATE guilds_usage SET pictures = pictures - %(pictures)s, gpu_ms = gpu_ms - %(gpu_ms)s WHERE id = ANY(%(ids)s)
"""

# What comes later in a job's life stands in the statement as it is at the start: psycopg keeps a statement in its
# parsed form only up to 50 parameters.
_LATER = {
    **dict.fromkeys(("reason", "detail", "worker_id", "grid_key", "delivered_via"), "''"),
    **dict.fromkeys(("attempts", "progress_step", "progress_total", "gpu_ms"), "0"),
    **dict.fromkeys(("lease_expires_at", "cancel_requested_at", "started_at", "made_at", "ended_at"), "NULL"),
    **dict.fromkeys(("message_id", "announced_at", "refunded_at", "settled_at"), "NULL"),
    "usage_ids": "(SELECT array_agg(id) FROM (SELECT id FROM month UNION ALL SELECT id FROM usage) AS counter)",
}


@functools.cache
def _named() -> tuple[str, ...]:
    return tuple(
        field.attname for field in Job._meta.concrete_fields if not field.primary_key and field.attname not in _LATER
    )


@functools.cache
def _write(month: str) -> str:
    # Every foreign key's column is named as its attribute is.
    columns = {name: f"%({name})s" for name in _named()} | _LATER
    names = ", ".join(f'"{name}"' for name in columns)
    return prepared.short(_WRITE.format(month=month, columns=names, values=", ".join(columns.values())))


def write(job: Job, facts: Facts, *, locked: bool) -> bool:
    """Insert the new `job`, waiting or queued, reserve what it holds and set its id and its `usage_ids`.

    Unless the guild's row is `locked` by this transaction, the statement is one by itself, and returns False, with
    nothing written, where the month is no longer as the facts have seen it. Raises IntegrityError where the interaction
    has a job already.
    """
    begun, seen = facts.begun, facts.seen
    # The guild's month is counted first, by itself.
    others = [(subject, window) for subject in (GUILD_SUBJECT, job.user_id) for window in sorted(begun)]
    others.remove((GUILD_SUBJECT, "month"))
    kinds = [Status.WAITING.value, Status.QUEUED.value] if job.queued_at else [Status.WAITING.value]
    values = {name: _plain(getattr(job, name)) for name in _named()} | {
        "subjects": [Int8(subject) for subject, _ in others],
        "windows": [window for _, window in others],
        "starts": [begun[window] for _, window in others],
        "kinds": kinds,
        "old_statuses": ["", Status.WAITING.value][: len(kinds)],
    }
    if seen and not locked:
        month = _RAISE
        values |= {"counter": Int8(seen.counter), "version": seen.version}
    else:
        month = _LOCKED if locked else _FIRST
        values["month"] = begun["month"]
    with prepared.cursor() as cursor:
        cursor.execute(_write(month), values)
        written = cursor.fetchone()
    if written is None:
        return False
    job.pk, job.usage_ids = written
    job._state.adding = False
    job._state.db = connection.alias
    return True


def _plain(value: Any) -> Any:
    # A number's size would else be part of the statement's name: one plan, not one for each combination.
    return Int8(value) if type(value) is int else str(value) if isinstance(value, models.Choices) else value


def give_back(usage_ids: list[int], *, pictures: int, gpu_ms: int) -> None:
    """Take what was reserved and not used off the counters again."""
    if usage_ids and (pictures or gpu_ms):
        with connection.cursor() as cursor:
            cursor.execute(_SETTLE, {"ids": usage_ids, "pictures": pictures, "gpu_ms": gpu_ms})
