"""What admission reads and writes, in one statement each, while the guild's row is locked."""

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

# One round trip instead of nine: the guild's row is locked meanwhile, and its members wait for one another.
# Every part is an index look-up; none grows with the guild's history.
_FACTS = f"""
SELECT json_build_object(
  'existing', (SELECT id FROM jobs_job WHERE interaction_id = %(interaction)s),
  'platform', (SELECT json_build_object('maintenance', maintenance, 'notice', notice)
               FROM guilds_platform WHERE id = 1),
  'ban', (SELECT json_build_array(reason) FROM guilds_ban
          WHERE user_id = %(user)s AND (guild_id = %(guild)s OR guild_id IS NULL) AND (until IS NULL OR until > %(now)s)
          LIMIT 1),
  'terms', (SELECT json_agg(json_build_array(folded, nsfw)) FROM (
              SELECT folded, nsfw FROM guilds_blockedterm WHERE guild_id = %(guild)s
              UNION ALL SELECT folded, nsfw FROM guilds_blockedterm WHERE guild_id IS NULL) AS term),
  'models', (SELECT json_agg(json_build_object(
               'id', m.id, 'slug', slug, 'name', name, 'default_steps', default_steps, 'max_steps', max_steps,
               'default_guidance', default_guidance, 'default_sampler', default_sampler, 'sizes', sizes,
               'gpu_ms_per_step', gpu_ms_per_step, 'is_default', is_default) ORDER BY m.id)
             FROM guilds_modelprofile m
             WHERE enabled AND (
               NOT EXISTS (SELECT 1 FROM guilds_guild_models_offered o WHERE o.guild_id = %(guild)s)
               OR EXISTS (SELECT 1 FROM guilds_guild_models_offered o
                          WHERE o.guild_id = %(guild)s AND o.modelprofile_id = m.id))),
  'styles', (SELECT json_agg(json_build_object('slug', slug, 'template', template, 'negative_prompt', negative_prompt))
             FROM (SELECT * FROM guilds_stylepreset WHERE guild_id = %(guild)s AND slug = %(style)s
                   UNION ALL SELECT * FROM guilds_stylepreset WHERE guild_id IS NULL AND slug = %(style)s) AS style
             WHERE enabled),
  'quota', (SELECT json_agg(json_build_object('subject', subject, 'role_id', role_id, 'role_name', role_name,
              'metric', metric, 'window', "window", 'limit', "limit"))
            FROM guilds_quotarule WHERE guild_id = %(guild)s),
  'usage', (SELECT json_agg(json_build_object('subject_id', subject_id, 'window', "window", 'pictures', pictures,
              'gpu_ms', gpu_ms, 'granted_pictures', granted_pictures, 'granted_gpu_ms', granted_gpu_ms))
            FROM (VALUES ('hour', %(hour)s::timestamptz), ('day', %(day)s), ('month', %(month)s))
                   AS current("window", starts_at)
            JOIN guilds_usage u USING ("window", starts_at)
            WHERE u.guild_id = %(guild)s AND u.subject_id IN (0, %(user)s)),
  'open', (SELECT json_build_object(
             'active', count(*) FILTER (WHERE status IN ('queued', 'running')),
             'waiting', count(*) FILTER (WHERE status = 'waiting'),
             'mine', count(*) FILTER (WHERE status = 'waiting' AND user_id = %(user)s))
           FROM jobs_job WHERE guild_id = %(guild)s AND status IN ('waiting', 'queued', 'running')),
  'ahead', {AHEAD}
)
"""  # noqa: S608  # nosec B608  # our own text


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`existing` is the job of the same interaction; `used` is keyed by (subject_id, window); `ahead` of a new job."""

    existing: int | None
    rules: Rules
    quota: tuple[Rule, ...]
    used: dict[tuple[int, str], Used]
    active: int
    waiting: int
    mine_waiting: int
    ahead: Ahead


@functools.cache
def _lock() -> str:
    columns = ", ".join(f'"{field.column}"' for field in Guild._meta.concrete_fields)
    return f"SELECT {columns} FROM guilds_guild WHERE id = %(guild)s FOR NO KEY UPDATE"  # noqa: S608  # nosec B608  # our own columns


def lock_guild(guild_id: int) -> Guild:
    """Lock the guild's row until the transaction ends, and return it. Raises Guild.DoesNotExist."""
    with prepared.cursor() as cursor:
        cursor.execute(_lock(), {"guild": Int8(guild_id)})
        row = cursor.fetchone()
    if row is None:
        raise Guild.DoesNotExist(f"no guild {guild_id}")
    return Guild.from_db(connection.alias, [field.attname for field in Guild._meta.concrete_fields], row)


def read_facts(guild: Guild, *, interaction_id: int, user_id: int, style: str | None, now: datetime) -> Facts:
    """Read all that decides about a request. The guild's row must be locked by this transaction."""
    begun = starts(now, guild.time_zone)
    with prepared.cursor() as cursor:
        cursor.execute(
            _FACTS,
            {
                **ahead_of(guild_id=guild.pk, user_id=user_id, now=now),
                "interaction": Int8(interaction_id),
                "style": style or "",
                "now": now,
                **begun,
            },
        )
        found: dict[str, Any] = cursor.fetchone()[0]
    platform = found["platform"] or {"maintenance": False, "notice": ""}
    terms = found["terms"] or []
    used = {(row.pop("subject_id"), row.pop("window")): Used(**row) for row in found["usage"] or []}
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
            blocked_terms=[term for term, nsfw in terms if not nsfw],
            nsfw_terms=[term for term, nsfw in terms if nsfw],
            models=[ModelFacts(**row) for row in found["models"] or []],
            styles=[StyleFacts(**row) for row in found["styles"] or []],
        ),
        quota=tuple(Rule(**row) for row in found["quota"] or []),
        used=used,
        active=found["open"]["active"],
        waiting=found["open"]["waiting"],
        mine_waiting=found["open"]["mine"],
        ahead=Ahead(**found["ahead"]),
    )


# The job with all that belongs to it: what it holds of the counters, its first events, its member's turn. Foreign keys
# are checked at the commit, so nothing here waits for anything else.
_WRITE = """
WITH usage AS (
  INSERT INTO guilds_usage AS u (guild_id, subject_id, "window", starts_at, pictures, gpu_ms,
                                 granted_pictures, granted_gpu_ms)
  SELECT %(guild_id)s::bigint, s.subject_id, w."window", w.starts_at, %(reserved_pictures)s::bigint,
         %(reserved_gpu_ms)s::bigint, 0, 0
  FROM unnest(%(subjects)s::bigint[]) AS s(subject_id),
       unnest(%(windows)s::text[], %(starts)s::timestamptz[]) AS w("window", starts_at)
  -- In one order everywhere, so that two requests never wait for each other's counters.
  ORDER BY s.subject_id, w."window"
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
  INSERT INTO jobs_turn (guild_id, user_id, served_at)
  SELECT %(guild_id)s::bigint, %(user_id)s::bigint, %(queued_at)s::timestamptz
  WHERE %(queued_at)s::timestamptz IS NOT NULL
  ON CONFLICT (guild_id, user_id) DO UPDATE SET served_at = excluded.served_at
)
SELECT id, usage_ids FROM job
"""
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
    "usage_ids": "(SELECT array_agg(id) FROM usage)",
}


@functools.cache
def _named() -> tuple[str, ...]:
    return tuple(
        field.attname for field in Job._meta.concrete_fields if not field.primary_key and field.attname not in _LATER
    )


@functools.cache
def _write() -> str:
    # Every foreign key's column is named as its attribute is.
    columns = {name: f"%({name})s" for name in _named()} | _LATER
    return _WRITE.format(columns=", ".join(f'"{name}"' for name in columns), values=", ".join(columns.values()))


def write(job: Job, guild: Guild, *, now: datetime) -> None:
    """Insert the new `job`, waiting or queued, reserve what it holds and set its id and its `usage_ids`.

    Raises IntegrityError where the interaction has a job already.
    """
    begun = starts(now, guild.time_zone)
    values = {name: _plain(getattr(job, name)) for name in _named()}
    kinds = [Status.WAITING.value, Status.QUEUED.value] if job.queued_at else [Status.WAITING.value]
    with prepared.cursor() as cursor:
        cursor.execute(
            _write(),
            values
            | {
                "subjects": [Int8(GUILD_SUBJECT), Int8(job.user_id)],
                "windows": list(begun),
                "starts": list(begun.values()),
                "kinds": kinds,
                "old_statuses": ["", Status.WAITING.value][: len(kinds)],
            },
        )
        job.pk, job.usage_ids = cursor.fetchone()
    job._state.adding = False
    job._state.db = connection.alias


def _plain(value: Any) -> Any:
    # A number's size would else be part of the statement's name: one plan, not one for each combination.
    return Int8(value) if type(value) is int else str(value) if isinstance(value, models.Choices) else value


def give_back(usage_ids: list[int], *, pictures: int, gpu_ms: int) -> None:
    """Take what was reserved and not used off the counters again."""
    if usage_ids and (pictures or gpu_ms):
        with connection.cursor() as cursor:
            cursor.execute(_SETTLE, {"ids": usage_ids, "pictures": pictures, "gpu_ms": gpu_ms})
