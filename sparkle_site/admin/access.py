"""Which guilds a signed-in user may see and change."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from guilds.models import Guild, Staff
from sparkle_site.accounts import second_factor_requirement

OBSERVERS = "Observers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a user may see and do. `guild_ids` is None for all guilds, else those that Discord lets them manage."""

    guild_ids: frozenset[int] | None
    can_change: bool
    """Whether they may change anything; observers may not."""

    @property
    def sees_all_guilds(self) -> bool:
        return self.guild_ids is None

    @property
    def can_enter(self) -> bool:
        return self.guild_ids is None or bool(self.guild_ids)

    def includes(self, guild_id: int | None) -> bool:
        return self.guild_ids is None or guild_id in self.guild_ids


NO_ACCESS = Access(guild_ids=frozenset(), can_change=False)


def discord_id(user: User | AnonymousUser) -> int | None:
    """Return the user's Discord id, or None without a Discord account."""
    from allauth.socialaccount.models import SocialAccount

    if not user.is_authenticated:
        return None
    uid = SocialAccount.objects.filter(user=user, provider="discord").values_list("uid", flat=True).first()
    return int(uid) if uid else None


def of(request: HttpRequest) -> Access:
    """Return the access of the request's user, read once per request. Expired rows of Staff are ignored."""
    cached: Access | None = getattr(request, "_sparkle_access", None)
    if cached is None:
        cached = _read(request)
        request._sparkle_access = cached  # type: ignore[attr-defined]
    return cached


def _read(request: HttpRequest) -> Access:
    user = getattr(request, "user", AnonymousUser())
    if not user.is_active or not user.is_authenticated:
        return NO_ACCESS
    if not second_factor_requirement.missing(request):
        if user.is_superuser:
            return Access(guild_ids=None, can_change=True)
        if user.is_staff and user.groups.filter(name=OBSERVERS).exists():
            return Access(guild_ids=None, can_change=False)
    snowflake = discord_id(user)
    if snowflake is None:
        return NO_ACCESS
    fresh = Staff.objects.filter(
        user_id=snowflake, synced_at__gt=timezone.now() - Staff.FRESH_FOR, guild__left_at=None
    ).values_list("guild_id", flat=True)
    return Access(guild_ids=frozenset(fresh), can_change=True)


def guilds_of(request: HttpRequest) -> QuerySet[Guild]:
    """Return the guilds that the request's user may see."""
    ids = of(request).guild_ids
    return Guild.objects.all() if ids is None else Guild.objects.filter(pk__in=ids)
