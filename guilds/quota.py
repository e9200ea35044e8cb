"""Quota checks: which rules apply to a member, what is used, and whether a request fits.

Usage is one counter row per subject and window (guilds.models.Usage), so a check costs the same for any history.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from . import gpu_ledger
from .policy import Refusal
from .pseudonyms import channel_pseudonym, member_pseudonym
from .quota_clock import QuotaClock, Window

if TYPE_CHECKING:
    from .models import Guild

GUILD_SUBJECT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The values of a QuotaRule; `limit` None is unlimited. `channel_id`: it counts what is requested there."""

    subject: str
    role_id: int | None
    role_name: str = ""
    channel_id: int | None = None
    metric: str
    window: str
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A subject's usage in a window; GPU time in milliseconds."""

    images: int = 0
    gpu_ms: int = 0
    granted_images: int = 0
    granted_gpu_ms: int = 0

    def __add__(self, other: Counter) -> Counter:
        return Counter(
            images=self.images + other.images,
            gpu_ms=self.gpu_ms + other.gpu_ms,
            granted_images=self.granted_images + other.granted_images,
            granted_gpu_ms=self.granted_gpu_ms + other.granted_gpu_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaStatus:
    """A rule that applies to a member, with its use and reset. `limit` and `used` are images or GPU seconds."""

    rule: Rule
    limit: int | None
    used: float
    resets_at: datetime

    @property
    def left(self) -> float | None:
        return None if self.limit is None else max(0.0, self.limit - self.used)


def load_clock(guild: Guild, now: datetime) -> QuotaClock:
    """Return the guild's quota clock at `now`.

    It adopts a changed time zone here, at its first use, and not where the zone is saved, so that no code path that
    saves the zone can forget it.
    """
    return QuotaClock.load(guild.quota_clock, time_zone=guild.time_zone).moved(guild.time_zone, now)


def applicable(
    rules: Iterable[Rule], role_ids: frozenset[int], *, places: frozenset[int | None] | None = frozenset()
) -> list[Rule]:
    """Return the rules that apply to a member with `role_ids` in a channel.

    Guild rules always apply. Of the rules for the member's roles the highest limit applies, else the member rule.
    A rule of a channel applies if `places` has it: the channel, its category, a thread's channel; None: every one.
    """
    chosen: list[Rule] = []
    slots: dict[tuple[int | None, str, str], list[Rule]] = {}
    for rule in rules:
        if rule.channel_id is not None and places is not None and rule.channel_id not in places:
            continue
        if rule.subject == "guild":
            chosen.append(rule)
        elif rule.subject == "member" or rule.role_id in role_ids:
            slots.setdefault((rule.channel_id, rule.metric, rule.window), []).append(rule)
    for candidates in slots.values():
        by_role = [rule for rule in candidates if rule.subject == "role"]
        chosen.append(max(by_role or candidates, key=lambda rule: float("inf") if rule.limit is None else rule.limit))
    return chosen


def counter_subject(rule: Rule, user_id: int) -> int:
    """Return the subject of the counter that a rule reads for a member."""
    subject = GUILD_SUBJECT if rule.subject == "guild" else user_id
    return subject if rule.channel_id is None else channel_pseudonym(rule.channel_id, subject)


def evaluate(
    rules: Iterable[Rule],
    used: Mapping[tuple[int, str], Counter],
    *,
    user_id: int,
    windows: Mapping[str, Window],
) -> list[QuotaStatus]:
    """Return the status of each applicable rule; `used` is keyed by (subject_id, window)."""
    statuses = []
    for rule in rules:
        counter = used.get((counter_subject(rule, user_id), rule.window), Counter())
        images = rule.metric == "images"
        granted = counter.granted_images if images else counter.granted_gpu_ms // 1000
        statuses.append(
            QuotaStatus(
                rule=rule,
                limit=None if rule.limit is None else rule.limit + granted,
                used=counter.images if images else counter.gpu_ms / 1000,
                resets_at=windows[rule.window].end,
            )
        )
    return statuses


def decide(statuses: Sequence[QuotaStatus], *, images: int, gpu_ms: int) -> Refusal | None:
    """Return a refusal with the exceeded rule that resets last, or None if all rules allow the request."""
    exceeded = [
        status
        for status in statuses
        if status.limit is not None
        and status.used + (images if status.rule.metric == "images" else gpu_ms / 1000) > status.limit
    ]
    if not exceeded:
        return None
    worst = max(exceeded, key=lambda status: status.resets_at)
    return Refusal(
        code="quota_exceeded",
        params={
            "subject": worst.rule.subject,
            "role_id": worst.rule.role_id,
            "metric": worst.rule.metric,
            "window": worst.rule.window,
            "limit": worst.limit,
            "used": round(worst.used, 1),
            "left": round(worst.left or 0, 1),
            "needed": images if worst.rule.metric == "images" else round(gpu_ms / 1000, 1),
            "resets_at": int(worst.resets_at.timestamp()),
        }
        | ({} if worst.rule.channel_id is None else {"channel_id": worst.rule.channel_id}),
    )


def decide_cooldown(cooldown_s: int, *, last_at: datetime | None, images: int, now: datetime) -> Refusal | None:
    """Return a refusal if the member's last request, at `last_at`, is less than `cooldown_s` seconds ago."""
    if not cooldown_s or last_at is None:
        return None
    free_at = last_at + timedelta(seconds=cooldown_s)
    if now >= free_at:
        return None
    # Rounded up, so that the time that the member reads is never too early. `needed` is for replays.
    resets_at = math.ceil(free_at.timestamp())
    return Refusal(
        code="cooldown",
        params={"seconds": cooldown_s, "resets_at": resets_at, "metric": "images", "needed": images},
    )


def decide_budget(budget_seconds: int | None, *, spent_ms: int, gpu_ms: int, now: datetime) -> Refusal | None:
    """Return a refusal if `gpu_ms` more exceeds the operators' budget for the guild in this UTC month.

    `spent_ms` is the ledger's GPU time plus the reservations of open jobs.
    """
    if budget_seconds is None or spent_ms + gpu_ms <= budget_seconds * 1000:
        return None
    return Refusal(
        code="budget_spent",
        params={"limit": budget_seconds, "resets_at": int(gpu_ledger.month_end(now).timestamp())},
    )


def load_status(
    guild_id: int,
    user_id: int,
    role_ids: frozenset[int],
    *,
    now: datetime,
    places: frozenset[int | None] | None = None,
) -> tuple[QuotaStatus, ...]:
    """Read the status of each rule that applies to a member, in the `places` as for `applicable`."""
    from .models import Guild, QuotaRule

    guild = Guild.objects.get(pk=guild_id)
    rules = [
        Rule(
            subject=rule.subject,
            role_id=rule.role_id,
            role_name=rule.role_name,
            channel_id=rule.channel_id,
            metric=rule.metric,
            window=rule.window,
            limit=rule.limit,
        )
        for rule in QuotaRule.objects.filter(guild=guild)
    ]
    windows = load_clock(guild, now).windows(now)
    rules = applicable(rules, role_ids, places=places)
    of_channels = [counter_subject(rule, user_id) for rule in rules if rule.channel_id is not None]
    subjects = {each: each for each in of_channels}
    subjects |= {
        GUILD_SUBJECT: GUILD_SUBJECT,
        user_id: user_id,
        member_pseudonym(user_id): user_id,
    }
    used = load_counters(guild_id, subjects, windows)
    return tuple(evaluate(rules, used, user_id=user_id, windows=windows))


def load_counters(
    guild_id: int, subjects: Mapping[int, int], windows: Mapping[str, Window]
) -> dict[tuple[int, str], Counter]:
    """Read the counters of subjects in the open windows. `subjects`: by subject, the one that it counts for."""
    from .models import Usage

    starts = [window.start for window in windows.values()]
    used: dict[tuple[int, str], Counter] = {}
    for row in Usage.objects.filter(guild_id=guild_id, subject_id__in=list(subjects), starts_at__in=starts):
        if windows[row.window].start == row.starts_at:
            key = subjects[row.subject_id], row.window
            used[key] = used.get(key, Counter()) + Counter(
                images=row.images,
                gpu_ms=row.gpu_ms,
                granted_images=row.granted_images,
                granted_gpu_ms=row.granted_gpu_ms,
            )
    return used


# A member may erase their data several times in a window: kept counters are added up.
_MOVE_TO_PSEUDONYM = """
INSERT INTO guilds_usage AS u (guild_id, subject_id, "window", starts_at, images, gpu_ms,
                               granted_images, granted_gpu_ms)
SELECT guild_id, %(pseudonym)s, "window", starts_at, images, gpu_ms, granted_images, granted_gpu_ms
FROM guilds_usage WHERE guild_id = %(guild)s AND subject_id = %(user)s AND (
  ("window" = 'hour' AND starts_at = %(hour)s) OR ("window" = 'day' AND starts_at = %(day)s)
  OR ("window" = 'month' AND starts_at = %(month)s))
ORDER BY id
ON CONFLICT (guild_id, subject_id, "window", starts_at) DO UPDATE SET
  images = u.images + excluded.images, gpu_ms = u.gpu_ms + excluded.gpu_ms,
  granted_images = u.granted_images + excluded.granted_images,
  granted_gpu_ms = u.granted_gpu_ms + excluded.granted_gpu_ms
RETURNING u.id, u."window", u.starts_at
"""


def forget_member(guild: Guild, user_id: int, *, now: datetime) -> dict[int, int]:
    """Delete a member's counters in a guild; those of open windows move to the member's pseudonym.

    Return the replacing counter's id by the old id. The caller holds the lock of the guild's row.
    """
    from django.db import connection

    from .models import Usage

    starts = {name: window.start for name, window in load_clock(guild, now).windows(now).items()}
    with connection.cursor() as cursor:
        values = {"guild": guild.pk, "user": user_id, "pseudonym": member_pseudonym(user_id)}
        cursor.execute(_MOVE_TO_PSEUDONYM, values | starts)
        kept = {(window, starts_at): pk for pk, window, starts_at in cursor.fetchall()}
    old = list(Usage.objects.filter(guild=guild, subject_id=user_id))
    Usage.objects.filter(pk__in=[row.pk for row in old]).delete()
    return {row.pk: kept[key] for row in old if (key := (row.window, row.starts_at)) in kept}
