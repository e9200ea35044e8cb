"""What a signed-in person may see and change. Every queryset of the admin is narrowed here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from guilds.models import Guild, Staff
from sparkle_site.accounts import second_factor

OBSERVERS = "Observers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The guilds that a person may see: all of them (None) for operators, else those Discord lets them manage."""

    guild_ids: frozenset[int] | None
    can_change: bool
    """Whether anything may be changed at all; observers only look."""

    @property
    def sees_all_guilds(self) -> bool:
        return self.guild_ids is None

    @property
    def can_enter(self) -> bool:
        return self.guild_ids is None or bool(self.guild_ids)

    def includes(self, guild_id: int | None) -> bool:
        return self.guild_ids is None or guild_id in self.guild_ids


NOTHING = Access(guild_ids=frozenset(), can_change=False)


def discord_id(user: User | AnonymousUser) -> int | None:
    """The snowflake a user signed in with, or None."""
    from allauth.socialaccount.models import SocialAccount

    if not user.is_authenticated:
        return None
    uid = SocialAccount.objects.filter(user=user, provider="discord").values_list("uid", flat=True).first()
    return int(uid) if uid else None


def of(request: HttpRequest) -> Access:
    """Return the access of the request's user, read once per request. Stale Staff rows give no access."""
    known: Access | None = getattr(request, "_sparkle_scope", None)
    if known is None:
        known = _read(request)
        request._sparkle_scope = known  # type: ignore[attr-defined]
    return known


def _read(request: HttpRequest) -> Access:
    user = getattr(request, "user", AnonymousUser())
    if not user.is_active or not user.is_authenticated:
        return NOTHING
    if not second_factor.missing(request):
        if user.is_superuser:
            return Access(guild_ids=None, can_change=True)
        if user.is_staff and user.groups.filter(name=OBSERVERS).exists():
            return Access(guild_ids=None, can_change=False)
    snowflake = discord_id(user)
    if snowflake is None:
        return NOTHING
    fresh = Staff.objects.filter(
        user_id=snowflake, synced_at__gt=timezone.now() - Staff.FRESH_FOR, guild__left_at=None
    ).values_list("guild_id", flat=True)
    return Access(guild_ids=frozenset(fresh), can_change=True)


def guilds_of(request: HttpRequest) -> QuerySet[Guild]:
    """The guilds in scope."""
    ids = of(request).guild_ids
    return Guild.objects.all() if ids is None else Guild.objects.filter(pk__in=ids)
