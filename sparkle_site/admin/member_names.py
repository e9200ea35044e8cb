"""Members' names for lists and forms, from the directory and from their requests."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Case, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from guilds.models import GuildMember
from jobs.models import Job

UNKNOWN = "Unknown member"


def in_guilds(user_ids: Collection[int], guild_ids: frozenset[int] | None) -> dict[int, str]:
    """Return the known names of users in the guilds (None: in all)."""
    if not user_ids:
        return {}
    named = GuildMember.objects.filter(user_id__in=user_ids).exclude(name="")
    jobs = Job.objects.filter(user_id__in=user_ids).exclude(member_name="")
    if guild_ids is not None:
        named, jobs = named.filter(guild_id__in=guild_ids), jobs.filter(guild_id__in=guild_ids)
    names: dict[int, str] = dict(named.order_by("pk").values_list("user_id", "name"))
    for user_id in set(user_ids) - set(names):
        newest = jobs.filter(user_id=user_id).order_by("-pk").values_list("member_name", flat=True).first()
        if newest:
            names[user_id] = newest
    return names


def with_names(rows: QuerySet[Any], *, user: str = "user_id") -> QuerySet[Any]:
    """Add `member_name` to rows with a guild and a user: the name in the guild, else the one in their newest request.

    A row without a guild, which only operators see, gets a name from any guild.
    """
    known = GuildMember.objects.filter(user_id=OuterRef(user)).exclude(name="")
    here = known.filter(guild_id=OuterRef("guild_id")).values("name")[:1]
    newest = Job.objects.filter(guild_id=OuterRef("guild_id"), user_id=OuterRef(user)).order_by("-pk")
    anywhere = known.order_by("-pk").values("name")[:1]
    return rows.annotate(
        member_name=Case(
            When(guild_id=None, then=Subquery(anywhere)),
            default=Coalesce(Subquery(here), Subquery(newest.values("member_name")[:1])),
        )
    )
