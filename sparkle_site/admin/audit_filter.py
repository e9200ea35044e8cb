"""Which changes the audit shows: by person, by what was changed, and by date, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from discord_api import snowflakes
from guilds.models import GuildMember
from sparkle_site.audit.models import AUDITED

from . import actor_names
from .access import Access

PAGE = 50
GRANTS = "usage"
_MAX_NAME = 100
_MAX_PEOPLE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """`what` is the name of an audited model, GRANTS or "" for all; `who` a part of a name.

    `first_day` and `last_day` are days in the site's time zone, both included. `before`: where a page begins.
    """

    what: str = ""
    who: str = ""
    first_day: date | None = None
    last_day: date | None = None
    before: datetime | None = None

    def shows(self, what: str) -> bool:
        return self.what in ("", what)

    def in_time(self, rows: QuerySet[Any], column: str) -> QuerySet[Any]:
        """Return the rows that were written in the filter's time."""
        if self.first_day is not None:
            rows = rows.filter(**{f"{column}__gte": _midnight(self.first_day)})
        if self.last_day is not None:
            rows = rows.filter(**{f"{column}__lt": _midnight(self.last_day) + timedelta(days=1)})
        return rows.filter(**{f"{column}__lt": self.before}) if self.before is not None else rows


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def parse(query: Mapping[str, str]) -> AuditFilter:
    """Return the filter of a page's address. What cannot be read is left out."""
    what = query.get("what", "")
    return AuditFilter(
        what=what if what in dict(choices()) else "",
        who=query.get("who", "").strip()[:_MAX_NAME],
        first_day=_day(query.get("from", "")),
        last_day=_day(query.get("to", "")),
        before=_moment(query.get("before", "")),
    )


def _day(text: str) -> date | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    # Further away, a day more or less is no date any more.
    return day if day is not None and 2000 <= day.year <= 2200 else None


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    if moment is None or not 2000 <= moment.year <= 2200:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def choices() -> list[tuple[str, str]]:
    """Return the names of what can be changed, by the code in the page's address."""
    named = [(str(model._meta.model_name), str(model._meta.verbose_name)) for model in AUDITED]
    return sorted([*named, (GRANTS, "grants and resets")], key=lambda choice: choice[1].lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Accounts of the site and Discord users whose name has the text."""

    accounts: frozenset[int]
    discord_ids: frozenset[int]


def find_people(who: str, *, viewer: Access) -> People | None:
    """Return those whose name contains `who`, as the viewer sees it; None for an empty text: everyone."""
    if not who:
        return None
    users = User.objects.all()
    operators = Q(is_superuser=True) | Q(is_staff=True) | ~Q(username__startswith=actor_names.PREFIX)
    named = Q(first_name__icontains=who) | Q(last_name__icontains=who) | Q(username__icontains=who)
    if not viewer.sees_all_guilds:
        # Operators are one name for moderators.
        named = named & ~operators
        if who.lower() in actor_names.OPERATORS.lower():
            named |= operators
    members = GuildMember.objects.filter(name__icontains=who)
    if viewer.guild_ids is not None:
        members = members.filter(guild_id__in=viewer.guild_ids)
    found = list(users.filter(named).values_list("pk", "username")[:_MAX_PEOPLE])
    ids = set(members.values_list("user_id", flat=True)[:_MAX_PEOPLE])
    ids |= {pk for _, name in found if (pk := snowflakes.parse(name.removeprefix(actor_names.PREFIX))) is not None}
    names = [f"{actor_names.PREFIX}{pk}" for pk in ids]
    more = User.objects.filter(username__in=names)
    if not viewer.sees_all_guilds:
        more = more.exclude(operators)
    accounts = {pk for pk, _ in found} | set(more.values_list("pk", flat=True))
    return People(accounts=frozenset(accounts), discord_ids=frozenset(ids))
