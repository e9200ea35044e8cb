"""How much may still be used. The arithmetic is pure; `standing` reads the counters for a member who asks.

Usage is one counter row per subject and window (guilds.models.Usage), so a check costs the same whatever the history.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .policy import Refusal

WINDOWS = ("hour", "day", "month")
GUILD_SUBJECT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A QuotaRule as a value; `limit` None is unlimited."""

    subject: str
    role_id: int | None
    role_name: str = ""
    metric: str
    window: str
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A counter in its window. Milliseconds for GPU time."""

    pictures: int = 0
    gpu_ms: int = 0
    granted_pictures: int = 0
    granted_gpu_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleStanding:
    """A rule that applies to a member, what is used of it, and when it starts anew. Pictures or GPU seconds."""

    rule: Rule
    limit: int | None
    used: float
    resets_at: datetime

    @property
    def left(self) -> float | None:
        return None if self.limit is None else max(0.0, self.limit - self.used)


def window_start(window: str, now: datetime, time_zone: str) -> datetime:
    """The start of `window` around `now`, on the clock of `time_zone` (an hour is an hour everywhere)."""
    local = now.astimezone(zoneinfo.ZoneInfo(time_zone))
    if window == "hour":
        return now.astimezone(zoneinfo.ZoneInfo("UTC")).replace(minute=0, second=0, microsecond=0)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return (day.replace(day=1) if window == "month" else day).astimezone(zoneinfo.ZoneInfo("UTC"))


def window_end(window: str, now: datetime, time_zone: str) -> datetime:
    """When the window around `now` ends; a day may be 23 or 25 hours long."""
    start = window_start(window, now, time_zone)
    if window == "hour":
        return start + timedelta(hours=1)
    # Well into the next day or month, then back to its start on the local clock.
    return window_start(window, start + timedelta(hours=36 if window == "day" else 24 * 33), time_zone)


def starts(now: datetime, time_zone: str) -> dict[str, datetime]:
    """The starts of all windows around `now`."""
    return {window: window_start(window, now, time_zone) for window in WINDOWS}


def applicable(rules: Iterable[Rule], role_ids: frozenset[int]) -> list[Rule]:
    """The rules that bind a member with `role_ids`.

    The guild's always; of the member's roles the one with the highest limit, and only without any the members' rule.
    """
    chosen: list[Rule] = []
    slots: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        if rule.subject == "guild":
            chosen.append(rule)
        elif rule.subject == "member" or rule.role_id in role_ids:
            slots.setdefault((rule.metric, rule.window), []).append(rule)
    for candidates in slots.values():
        by_role = [rule for rule in candidates if rule.subject == "role"]
        chosen.append(max(by_role or candidates, key=lambda rule: float("inf") if rule.limit is None else rule.limit))
    return chosen


def stand(
    rules: Iterable[Rule], used: Mapping[tuple[int, str], Used], *, user_id: int, now: datetime, time_zone: str
) -> list[RuleStanding]:
    """Put each applicable rule beside its counter; `used` is keyed by (subject_id, window)."""
    found = []
    for rule in rules:
        subject = GUILD_SUBJECT if rule.subject == "guild" else user_id
        counter = used.get((subject, rule.window), Used())
        pictures = rule.metric == "pictures"
        granted = counter.granted_pictures if pictures else counter.granted_gpu_ms // 1000
        found.append(
            RuleStanding(
                rule=rule,
                limit=None if rule.limit is None else rule.limit + granted,
                used=counter.pictures if pictures else counter.gpu_ms / 1000,
                resets_at=window_end(rule.window, now, time_zone),
            )
        )
    return found


def decide(standings: Sequence[RuleStanding], *, pictures: int, gpu_ms: int) -> Refusal | None:
    """Refuse with the rule that would be overdrawn (the one that resets last), or None when all bear it."""
    overdrawn = [
        each
        for each in standings
        if each.limit is not None
        and each.used + (pictures if each.rule.metric == "pictures" else gpu_ms / 1000) > each.limit
    ]
    if not overdrawn:
        return None
    worst = max(overdrawn, key=lambda each: each.resets_at)
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
            "needed": pictures if worst.rule.metric == "pictures" else round(gpu_ms / 1000, 1),
            "resets_at": int(worst.resets_at.timestamp()),
        },
    )


def decide_budget(
    budget_seconds: int | None, used: Mapping[tuple[int, str], Used], *, gpu_ms: int, now: datetime, time_zone: str
) -> Refusal | None:
    """Refuse when the guild's month has no room for `gpu_ms` more."""
    if budget_seconds is None:
        return None
    month = used.get((GUILD_SUBJECT, "month"), Used())
    if month.gpu_ms + gpu_ms <= budget_seconds * 1000 + month.granted_gpu_ms:
        return None
    return Refusal(
        code="budget_spent",
        params={"limit": budget_seconds, "resets_at": int(window_end("month", now, time_zone).timestamp())},
    )


def standing(guild_id: int, user_id: int, role_ids: frozenset[int], *, now: datetime) -> tuple[RuleStanding, ...]:
    """Read what a member may still use: each rule that applies, used and left, and its reset."""
    from .models import Guild, QuotaRule, Usage

    guild = Guild.objects.get(pk=guild_id)
    rules = [
        Rule(
            subject=rule.subject,
            role_id=rule.role_id,
            role_name=rule.role_name,
            metric=rule.metric,
            window=rule.window,
            limit=rule.limit,
        )
        for rule in QuotaRule.objects.filter(guild=guild)
    ]
    begun = starts(now, guild.time_zone)
    counters = Usage.objects.filter(
        guild=guild, subject_id__in=[GUILD_SUBJECT, user_id], starts_at__in=list(begun.values())
    )
    used = {
        (row.subject_id, row.window): Used(
            pictures=row.pictures,
            gpu_ms=row.gpu_ms,
            granted_pictures=row.granted_pictures,
            granted_gpu_ms=row.granted_gpu_ms,
        )
        for row in counters
        if begun[row.window] == row.starts_at
    }
    bound = applicable(rules, role_ids)
    return tuple(stand(bound, used, user_id=user_id, now=now, time_zone=guild.time_zone))
