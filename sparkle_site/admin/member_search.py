"""Members by the start of their name, for the lists in forms and filters."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from guilds import directory
from guilds.models import Guild, GuildMember
from sparkle_site import discord_client

from . import access

# Discord is asked about so many servers at most; the known names of all others are searched.
MAX_ASKED = 3


@require_GET
def search(request: HttpRequest) -> JsonResponse:
    """Return the members whose name starts with `term`, in the servers that the viewer may see."""
    term = request.GET.get("term", "").strip()[:100]
    guilds = dict(access.guilds_of(request).filter(left_at=None).values_list("pk", "name")[: MAX_ASKED + 1])
    rows = _ask(list(guilds), term) if len(guilds) <= MAX_ASKED else _known(request, term)
    several = len({row.guild_id for row in rows}) > 1
    names = dict(Guild.objects.filter(pk__in={row.guild_id for row in rows}).values_list("pk", "name"))
    found: dict[int, str] = {}
    for row in rows:
        found.setdefault(row.user_id, f"{row.name} · {names[row.guild_id]}" if several else row.name)
    return JsonResponse(
        {
            "results": [{"id": str(user_id), "text": text} for user_id, text in found.items()],
            "pagination": {"more": False},
        }
    )


def _ask(guild_ids: list[int], term: str) -> list[GuildMember]:
    client, now = discord_client.client(), timezone.now()
    return [row for guild_id in guild_ids for row in directory.search_members(guild_id, term, client, now=now)]


def _known(request: HttpRequest, term: str) -> list[GuildMember]:
    ids = access.of(request).guild_ids
    rows = GuildMember.objects.filter(name__istartswith=term)
    if ids is not None:
        rows = rows.filter(guild_id__in=ids)
    return list(rows.order_by("name", "user_id")[: directory.MAX_FOUND])
